"""Paths from the user over other people to the item."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import ParameterError


@pytest.fixture(scope="module")
def clicks():
    """Ann met 0 and 1. Bob met 0 and 3, Cid 0, 1 and 3, Dee 2 and 3. So 0 leads to 3 by two people, 1 by one."""
    pairs = [(0, 0), (0, 1), (1, 0), (1, 3), (2, 0), (2, 1), (2, 3), (3, 2), (3, 3)]
    return mm.data.Interactions(*zip(*pairs, strict=True), n_users=4, n_items=4)


def test_by_hand(clicks):
    """1 / (n_click n_person sqrt(n_user n_item)): (1/2 + 1/3) / 3 over sqrt(2 * 3), and 1/3 / 2."""
    model = mm.models.create("lightgcn", dim=4, epochs=1, device="cpu").fit(clicks)
    told = mm.explain.explain(model, 0, 3, how="paths")
    assert (told.method, told.additive, told.details["count"]) == ("graph", False, 2)
    assert told.contributions["item"].tolist() == [0, 1]
    np.testing.assert_allclose(told.contributions["value"] * 6**0.5, [5 / 18, 1 / 6])
    assert told.sentence() == "People who chose item 0 or item 1, as you did, also chose item 3."
    assert told.sentence("zh", n=1) == "和你一样选择过物品0的人也选择了物品3。"


def test_it_is_the_third_step_of_the_propagation(fitted):
    model = fitted("lightgcn")
    from mmrec_lib.training.graph import normalise

    step = normalise(model.seen_)
    three = (step @ step.T @ step).toarray()
    told = mm.explain.explain(model, 4, 2, how="paths")
    assert 2 not in model.seen_[[4]].indices
    assert told.contributions["value"].sum() == pytest.approx(three[4, 2], rel=1e-5)


def test_a_random_walk_is_its_paths(clicks):
    """alpha 1, beta 0: 1 / (n_click n_person)."""
    model = mm.models.create("rp3beta", alpha=1.0, beta=0.0).fit(clicks)
    told = mm.explain.explain(model, 0, 3, how="paths")
    np.testing.assert_allclose(told.contributions["value"], [5 / 18, 1 / 6], rtol=1e-6)
    assert told.additive
    assert told.contributions["value"].sum() == pytest.approx(told.score)


def test_no_path(clicks):
    model = mm.models.create("rp3beta").fit(clicks)
    told = mm.explain.explain(model, 0, 2, how="paths")
    assert told.sentence() == "No path of clicks leads from your choices to item 2."
    with pytest.raises(ParameterError, match="does not walk"):
        mm.explain.explain(mm.models.create("ease").fit(clicks), 0, 2, how="paths")
