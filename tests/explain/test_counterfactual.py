"""Clicks without which an item would not be shown."""

import itertools

import numpy as np
import pytest
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.errors import ParameterError
from mmrec_lib.explain import rescoring


@pytest.fixture(scope="module")
def made():
    """``made(a, b, ...)``: ``a`` is what each of user 0's clicks says for the first new item, ``b`` for the second."""

    def make(*columns):
        clicks, n_items = len(columns[0]), len(columns[0]) + len(columns)
        train = mm.data.Interactions([0] * clicks + [1], [*range(clicks), clicks + 1], n_items=n_items)
        model = mm.models.create("slim").fit(train)
        weights = np.zeros((n_items, n_items), np.float32)
        weights[:clicks, clicks:] = np.transpose(columns)
        model.weights_ = sparse.csr_matrix(weights)
        return model

    return make


def test_by_hand(made):
    """Without item 0 it is 3 to 2.5; without 0 and 1, 1 to 1, where the lower code wins; without all, popularity."""
    model = made([3, 2, 1], [0, 1.5, 1])
    told = mm.explain.explain(model, 0, 3, how="counterfactual", k=1, n=2)
    assert (told.method, told.details["found"], told.details["rank"]) == ("not-found", False, 1)
    assert told.contributions.empty
    assert told.sentence().startswith("No 2 of your choices or fewer were found")
    told = mm.explain.explain(model, 0, 3, how="counterfactual", k=1, n=3)
    assert told.details["found"]
    assert sorted(told.contributions["item"]) == [0, 1, 2]
    assert told.details["new_rank"] == 2


def test_one_click_is_enough(made):
    """4 to 3.25; without 0 it is 1 to 2.5."""
    told = mm.explain.explain(made([3, 0, 1], [0.75, 1.5, 1]), 0, 3, how="counterfactual", k=1)
    assert told.contributions["item"].tolist() == [0]
    assert told.contributions["value"].tolist() == [1]
    assert told.sentence() == "Without item 0, you would not see item 3 among the first 1."
    assert told.sentence("zh", ["甲", "乙", "丙", "丁"]) == "如果没有《甲》，《丁》就不会出现在前1名。"


def test_a_click_that_is_not_needed_is_put_back(made):
    """9 to 6 and 5.5. Without 0 it is ahead by 1, then without 1 by 0.5, then without 2 behind; with 0, 3 to 3.5."""
    model = made([3, 3, 3, 0], [1, 2.5, 2.5, 0], [3, 1, 1, 0.5])
    told = mm.explain.explain(model, 0, 4, how="counterfactual", k=1)
    assert sorted(told.contributions["item"]) == [1, 2]


def test_a_list_that_shows_everything(made):
    told = mm.explain.explain(made([3, 2, 1], [0, 1.5, 1]), 0, 4, how="counterfactual", k=2)
    assert told.method == "not-found"


def test_what_is_not_in_the_list(made):
    told = mm.explain.explain(made([3, 2, 1], [0, 1.5, 1]), 0, 4, how="counterfactual", k=1)
    assert told.method == "not-listed"
    assert told.sentence() == "item 4 is not among your first 1."


def listed(model, user, history, k):
    """The first ``k`` of a history in which everything else that the user knows is left out, too."""
    rows = rescoring.as_rows(history, model.n_items_, np.ones((1, len(history)), bool))
    scores = rescoring.rescore(model, user, rows)[0] if len(history) else model.popularity_.copy()
    scores[model.seen_[[user]].indices] = -np.inf
    return np.argsort(-scores, kind="stable")[:k]


@pytest.mark.parametrize("name", ["ease", "itemknn", "als", "multvae"])
def test_the_item_is_gone_and_no_click_can_be_spared(name, fitted):
    model, found, smallest = fitted(name), 0, 0
    for user in range(0, 60, 4):
        item = int(model.recommend([user], 1)["item"][0])
        told = mm.explain.explain(model, user, item, how="counterfactual", k=1, n=5)
        history, gone = model.seen_[[user]].indices, told.contributions["item"].to_numpy(int)
        assert told.details["rank"] == 1
        if not told.details["found"]:
            continue
        found += 1
        assert item not in listed(model, user, np.setdiff1d(history, gone), 1)
        for spared in gone:
            assert item in listed(model, user, np.append(np.setdiff1d(history, gone), spared), 1)
        fewer = itertools.combinations(history, len(gone) - 1)
        smallest += all(item in listed(model, user, np.setdiff1d(history, part), 1) for part in fewer)
    assert found >= 5
    assert smallest >= 0.6 * found  # greedy, but mostly as small as can be


def test_refused(fitted):
    with pytest.raises(ParameterError, match="cannot score a changed history"):
        mm.explain.explain(fitted("bpr"), 4, 3, how="counterfactual")
    with pytest.raises(ParameterError, match="k="):
        mm.explain.explain(fitted("ease"), 4, 3, how="counterfactual", k=0)
