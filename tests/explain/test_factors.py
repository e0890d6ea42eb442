"""Dimensions of a dot product, and similar users."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import ParameterError


def test_terms_of_the_product(fitted):
    model = fitted("bpr")
    told = mm.explain.explain(model, 4, 3, how="factors")
    values = told.contributions.set_index("name")["value"]
    terms = model.user_factors_[4] * model.item_factors_[3]
    np.testing.assert_allclose([values[f"dimension {i}"] for i in range(8)], terms, rtol=1e-6)
    assert values.sum() == pytest.approx(told.score, abs=1e-5)
    assert told.sentence(n=1) == f"The score of item 3 comes above all from {values.index[0]}."
    assert told.sentence("zh", n=1) == f"物品3的得分主要来自{values.index[0].replace('dimension ', '维度')}。"


def test_biases_are_the_rest(fitted):
    model = fitted("biasedmf")
    told = mm.explain.explain(model, 4, 3, how="factors")
    rest = told.contributions.set_index("kind").loc["rest", "value"]
    assert rest == pytest.approx(model.mean_ + model.user_biases_[4] + model.item_biases_[3], abs=1e-5)
    with pytest.raises(ParameterError, match="no dot product"):
        mm.explain.explain(fitted("ease"), 4, 3, how="factors")


def test_similar_users(fitted):
    model = fitted("userknn")
    told = mm.explain.explain(model, 4, 3)
    assert told.how == "users"
    met = [u for u in range(60) if model.similarity_[4, u] and model.seen_[u, 3]]
    assert sorted(told.contributions["name"]) == sorted(f"user {u}" for u in met)
    assert told.contributions["value"].sum() == pytest.approx(told.score, rel=1e-5)
    assert told.sentence() == f"Of the people with a taste like yours, {len(met)} chose item 3."
