"""Content-based neighbours, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.data import Features, Interactions
from mmrec_lib.errors import DataError, ParameterError

CHOICES = Interactions([0, 1], [0, 1], n_users=2, n_items=4)
VECTORS = np.array([[1, 0], [0, 1], [0.8, 0.6], [1, 0]])


def fitted(features, **options):
    return mm.models.create("contentknn", **options).fit(CHOICES, features=features)


def test_scores_by_hand():
    model = fitted(Features({"image": VECTORS}), scale="none")
    np.testing.assert_allclose(model.score([0, 1]), [[0, 0, 0.8, 1], [0, 0, 0.6, 0]], atol=1e-6)
    assert model.recommend([0], k=2)["item"].tolist() == [3, 2]  # neither was ever chosen by anybody


def test_modalities_are_weighted_and_missing_ones_add_nothing():
    features = Features({"image": VECTORS, "text": VECTORS[::-1]}, {"text": [True, True, True, False]})
    model = fitted(features, scale="none", weights={"text": 0.5})
    unit = VECTORS[::-1] / np.linalg.norm(VECTORS[::-1], axis=1, keepdims=True)
    assert model.score([0])[0, 2] == pytest.approx(0.8 + 0.5 * unit[0] @ unit[2], abs=1e-6)
    assert model.score([0])[0, 3] == pytest.approx(1.0, abs=1e-6)


def test_only_the_nearest_are_kept_and_never_the_item_itself():
    rng = np.random.default_rng(0)
    model = fitted(Features({"image": rng.normal(size=(4, 3))}), k=1)
    assert (np.diff(model.similarity_.indptr) <= 1).all()
    assert model.similarity_.diagonal().sum() == 0
    assert (model.similarity_.data > 0).all()


def test_shared_part_is_taken_out():
    """Vectors that all share a large component are alike only in the rest."""
    rng = np.random.default_rng(0)
    features = Features({"image": 100 + rng.normal(size=(4, 8))})
    assert (fitted(features, scale="none").similarity_.data > 0.99).all()
    assert fitted(features).similarity_.data.max(initial=0) < 0.9


def test_errors():
    with pytest.raises(DataError, match="needs item vectors"):
        mm.models.create("contentknn").fit(CHOICES)
    with pytest.raises(ParameterError, match="modality 'sound'"):
        fitted(Features({"image": VECTORS}), weights={"sound": 1})
    with pytest.raises(ParameterError, match="weights"):
        mm.models.create("contentknn", weights={"image": -1})
    with pytest.raises(ParameterError, match="scale"):
        mm.models.create("contentknn", scale="loud")
