"""Probes of vectors: worked out by hand, ties by chance, labels that vectors cannot know."""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError

neighbours, probe = mm.evaluation.neighbour_accuracy, mm.evaluation.linear_probe


def test_neighbours_by_hand():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    assert neighbours(vectors, ["a", "a", "b", "b"])["accuracy"] == 1
    report = neighbours(vectors, ["a", "a", "b", "a"])
    assert report.per_user["accuracy"].tolist() == [1, 1, 0, 0]
    assert report.per_user.index.tolist() == [0, 1, 2, 3]


def test_majority_of_neighbours():
    vectors = np.array([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3]])
    assert neighbours(vectors, ["a", "b", "a", "a"], k=3).per_user["accuracy"].tolist() == [1, 0, 1, 1]


def test_masked_items_neither_ask_nor_answer():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]])
    report = neighbours(vectors, ["a", "a", "b", "b", None], mask=[True, True, True, True, False])
    assert report["accuracy"] == 1
    assert report.per_user.index.tolist() == [0, 1, 2, 3]


def test_ties_are_chance_and_do_not_follow_the_rows():
    """Vectors that know nothing, in a catalogue sorted by label: the first row must not answer for everybody."""
    labels = ["a"] * 300 + ["b"] * 100
    for order in (1, -1):
        accuracy = neighbours(np.zeros((400, 3)), labels[::order])["accuracy"]
        assert abs(accuracy - (0.75**2 + 0.25**2)) < 0.08


def test_linear_probe_finds_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 150)
    known = np.eye(3)[labels] + 0.1 * rng.normal(size=(150, 3))
    assert probe(known, labels)["accuracy"] > 0.95
    assert probe(rng.normal(size=(150, 3)), labels)["accuracy"] < 0.5


def test_reports_are_paired():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    good, bad = np.eye(2)[labels] + 0.1 * rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    row = mm.evaluation.compare(probe(good, labels), probe(bad, labels), test="t").loc["accuracy"]
    assert row["difference"] > 0.2
    assert row["ci_low"] > 0
    assert row["n_users"] == 60


def test_rare_label_counts_as_wrong_where_it_cannot_be_learned():
    vectors = np.r_[np.eye(2)[[0] * 10 + [1] * 10], [[5.0, 5.0]]]
    report = probe(vectors, ["a"] * 10 + ["b"] * 10 + ["c"])
    assert report.per_user["accuracy"].iloc[-1] == 0
    assert report.per_user["accuracy"].iloc[:20].all()


@pytest.mark.parametrize("judge", [neighbours, probe])
def test_wrong_arguments(judge):
    vectors = np.eye(4)
    with pytest.raises(DataError, match="one row and one label"):
        judge(vectors, ["a"])
    with pytest.raises(DataError, match="item 1 has no label"):
        judge(vectors, ["a", None, "b", "b"])
    with pytest.raises(DataError, match="NaN or infinity"):
        judge(np.full((4, 2), np.nan), list("aabb"))
    with pytest.raises(DataError, match="mask has shape"):
        judge(vectors, list("aabb"), mask=[True])
    with pytest.raises(DataError, match="at least 2"):
        judge(vectors, list("aabb"), mask=[True, False, False, False])
    name = "k" if judge is neighbours else "folds"
    with pytest.raises(ParameterError, match=f"{name}="):
        judge(vectors, list("aabb"), **{name: 9})
