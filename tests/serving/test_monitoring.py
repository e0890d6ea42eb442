"""Shifts that are there are seen, and those that are not are not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.serving import Engine, ListMonitor, canary, drift, population_stability, shadow


def test_stability_by_hand():
    expected = ["a"] * 50 + ["b"] * 50
    observed = ["a"] * 25 + ["b"] * 75
    assert population_stability(expected, observed) == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))
    # two classes of numbers: below the median, and from it on
    assert population_stability([1, 1, 2, 2], [1, 2, 2, 2], bins=2) == pytest.approx(0.25 * np.log(3))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1), st.lists(st.integers(-5, 5), min_size=1))
def test_stability_is_never_negative_and_nothing_without_change(one, two):
    assert population_stability(one, one) == pytest.approx(0)
    value = population_stability(one, two)
    assert np.isfinite(value)
    assert value >= -1e-12


def test_drift_tells_shift_from_chance():
    rng = np.random.default_rng(0)
    before = pd.DataFrame({"score": rng.normal(size=2000), "how": rng.choice(["model", "history"], 2000)})
    same = pd.DataFrame({"score": rng.normal(size=300), "how": rng.choice(["model", "history"], 300)})
    shifted = same.assign(score=same["score"] + 1, other=1)
    assert (drift(before, same)["state"] == "ok").all()
    table = drift(before, shifted)
    assert table.loc["score", "state"] == "alarm"
    assert table.loc["how", "state"] == "ok"
    assert table.loc["score", "n"] == 300


def test_chance_is_what_it_is_said_to_be():
    rng = np.random.default_rng(1)
    values = [population_stability(rng.random(1000), rng.random(200)) for _ in range(200)]
    assert np.mean(values) == pytest.approx(9 * (1 / 1000 + 1 / 200), rel=0.15)


def test_wrong_tables():
    with pytest.raises(DataError, match="at least one"):
        population_stability([], [1])
    with pytest.raises(DataError, match="finite"):
        population_stability([1.0, np.nan], [1.0])
    with pytest.raises(DataError, match="in common"):
        drift(pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}))


def test_lists_are_watched(engine):
    monitor = ListMonitor(24, window=3)
    for user in ("u0", "u1", "u2", "guest"):
        monitor.add(engine.recommend(user, 4))
    assert len(monitor) == 3  # the oldest is gone
    figures = monitor.figures()
    shown = {hit.item for user in ("u1", "u2", "guest") for hit in engine.recommend(user, 4).items}
    assert figures["coverage"] == pytest.approx(len(shown) / 24)
    assert figures["fallbacks"] == 0
    assert monitor.table()["how"].tolist() == ["model", "model", "popularity"]


def test_shadow_compares_the_same_people(shop, bundle, engine):
    same = shadow(engine, Engine(bundle), ["u0", "u5", "guest"], k=5)
    assert same.summary["overlap"] == 1
    assert same.per_user["same_first"].all()
    popular = Engine(mm.serving.Bundle.of(mm.models.create("popularity").fit(shop.interactions), shop))
    other = shadow(engine, popular, ["u0", "u5"], k=5)
    assert other.summary["overlap"] < 1
    with pytest.raises(ParameterError, match="empty"):
        shadow(engine, popular, [])


def test_canary_is_steady_and_fair():
    people = [f"u{i}" for i in range(5000)]
    chosen = {u for u in people if canary(u, 0.1)}
    assert len(chosen) / 5000 == pytest.approx(0.1, abs=0.015)
    assert chosen <= {u for u in people if canary(u, 0.3)}
    assert not any(canary(u, 0) for u in people)
    assert all(canary(u, 1) for u in people)
