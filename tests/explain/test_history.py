"""Contributions of clicks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.errors import DataError, NotFittedError, ParameterError, UnknownItemError, UnknownNameError

SUMS = ("ease", "propensityease", "sideease", "slim", "itemknn", "rp3beta", "contentknn", "contentprofile", "als")


@pytest.fixture(scope="module")
def small():
    """Cosine of items 2 and 0: one user in common, 1 / sqrt(2 * 2); of 2 and 1: two, 2 / sqrt(2 * 3)."""
    train = mm.data.Interactions([0, 0, 1, 1, 1, 2, 2], [0, 1, 0, 1, 2, 1, 2], n_users=4)
    return mm.models.create("itemknn", k=2).fit(train)


def test_by_hand(small):
    told = mm.explain.explain(small, 0, 2)
    assert (told.how, told.method, told.additive) == ("history", "exact", True)
    assert told.contributions["item"].tolist() == [1, 0]
    np.testing.assert_allclose(told.contributions["value"], [2 / 6**0.5, 0.5], rtol=1e-6)
    assert told.score == pytest.approx(2 / 6**0.5 + 0.5)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.sampled_from(SUMS))
def test_exact_contributions_sum_to_the_score(data, name):
    pairs = data.draw(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=6, max_size=30))
    users, items = np.array(sorted(pairs)).T
    vectors = np.random.default_rng(len(pairs)).normal(size=(6, 3))
    model = mm.models.create(name, **({"l2": 1.0, "dim": 3} if name == "als" else {}))
    model.fit(mm.data.Interactions(users, items, n_users=8, n_items=6), mm.data.Features({"look": vectors}))
    user, item = int(users[0]), data.draw(st.integers(0, 5))
    told = mm.explain.explain(model, user, item)
    assert told.method == "exact"
    assert sorted(told.contributions["item"]) == sorted(items[users == user])
    assert told.contributions["value"].sum() == pytest.approx(model.score([user])[0, item], rel=1e-4, abs=1e-5)


def test_leave_one_out_is_the_drop_of_the_score(fitted, blocks):
    model = fitted("multvae")
    told = mm.explain.explain(model, 4, 18)
    assert told.method == "leave-one-out"
    click, value = told.contributions.loc[0, ["item", "value"]]
    others = blocks.select((blocks.user != 4) | (blocks.item != click))
    assert value == pytest.approx(told.score - mm.explain.explain(model, 4, 18, others).score, abs=1e-6)


def test_two_tower_without_embeddings_agrees_with_new_people(fitted):
    model = fitted("twotower", users="history")
    told = mm.explain.explain(model, 4, 18)
    history = model.seen_[[4]].indices
    left = [np.delete(history, i) for i in range(len(history))]
    drops = model.score_histories([history])[0, 18] - model.score_histories(left)[:, 18]
    np.testing.assert_allclose(np.sort(told.contributions["value"]), np.sort(drops), atol=1e-5)


def test_profiles_that_are_means(fitted):
    """Not a sum over the clicks, as profiles have length 1; another's clicks give the other's scores."""
    model = fitted("contentprofile", how="mean")
    rows = model.seen_[[4, 9]]
    np.testing.assert_allclose(mm.explain.rescoring.rescore(model, 0, rows), model.score([4, 9]), atol=1e-5)
    assert mm.explain.explain(model, 4, 18).method == "leave-one-out"


@pytest.mark.parametrize("how", ["weighted", "borda", "votes", "rrf", "cascade"])
def test_hybrids_that_look_at_one_user_at_a_time(how, fitted):
    model = fitted("hybrid", how=how)
    rows = model.seen_[[9, 4, 4]]
    scores = mm.explain.rescoring.rescore(model, 0, rows)
    np.testing.assert_allclose(scores, model.score([9, 4, 4]), rtol=1e-3, atol=1e-4)
    assert mm.explain.explain(model, 4, 18).method == "leave-one-out"


def test_hybrids_that_do_not(fitted):
    assert mm.explain.kinds(fitted("hybrid", how="stacking")) == []
    with pytest.raises(ParameterError, match="weighted, borda, votes, rrf, cascade can"):
        mm.explain.explain(fitted("hybrid", how="switch"), 4, 18)


def test_similarity_is_said_to_be_one(fitted):
    told = mm.explain.explain(fitted("bpr"), 4, 18)
    assert told.method == "similarity"
    assert not told.additive
    vectors, best = fitted("bpr").item_factors_, int(told.contributions["item"][0])
    cosine = vectors[18] @ vectors[best] / np.linalg.norm(vectors[18]) / np.linalg.norm(vectors[best])
    assert told.contributions["value"][0] == pytest.approx(cosine, rel=1e-5)
    assert "resembles" in told.sentence()


def test_other_clicks_than_those_of_training(small):
    told = mm.explain.explain(small, 0, 2, train=mm.data.Interactions([0], [1], n_users=4, n_items=3))
    assert told.contributions["item"].tolist() == [1]
    assert told.score == pytest.approx(2 / 6**0.5)


def test_sentences_and_titles(small):
    told = mm.explain.explain(small, 0, 2)
    assert told.sentence() == "item 2 is recommended because you chose item 1 and item 0."
    assert told.sentence("zh", n=1) == "推荐物品2，因为你选择过物品1。"
    titles = {0: "Alien", 1: "Brazil", 2: "Cube"}
    assert told.sentence(titles=titles) == "“Cube” is recommended because you chose “Brazil” and “Alien”."
    assert told.sentence("zh", titles=["甲", "乙", "丙"]) == "推荐《丙》，因为你选择过《乙》和《甲》。"
    assert mm.explain.explain(small, 0, 1).sentence(n=1).startswith("item 1 is recommended because you chose item 0")
    with pytest.raises(ParameterError, match="language"):
        told.sentence("fr")


def test_nothing_speaks_for_an_item():
    lone = mm.models.create("itemknn").fit(mm.data.Interactions([0, 1], [0, 1]))
    assert mm.explain.explain(lone, 0, 1).sentence() == "Nothing that you chose speaks for item 1."


def test_titles_come_from_the_data_and_are_escaped(small):
    frame = pd.DataFrame({"user": list("aabbbccd"), "item": [0, 1, 0, 1, 2, 1, 2, 2]})
    items = pd.DataFrame({"item": [0, 1, 2], "title": ["Tom & Jerry", "<b>", None]})
    told = mm.explain.explain(small, 0, 2, data=mm.data.Dataset.from_frame(frame, items=items))
    assert told.contributions["name"].tolist() == ["<b>", "Tom & Jerry"]
    page = told._repr_html_()
    assert "<b>" not in page
    assert "“&lt;b&gt;” and “Tom &amp; Jerry”" in page


def test_questions_without_an_answer(small, fitted, blocks):
    with pytest.raises(DataError, match="user 3 has no clicks"):
        mm.explain.explain(small, 3, 1)
    with pytest.raises(UnknownItemError, match="codes 0 to 2"):
        mm.explain.explain(small, 0, 3)
    with pytest.raises(ParameterError, match="code of an item"):
        mm.explain.explain(small, 0, "Alien")
    with pytest.raises(UnknownNameError, match="hist0ry"):
        mm.explain.explain(small, 0, 1, how="hist0ry")
    with pytest.raises(ParameterError, match="no option 'depth'"):
        mm.explain.explain(small, 0, 1, depth=3)
    with pytest.raises(NotFittedError):
        mm.explain.kinds(mm.models.create("ease"))
    with pytest.raises(DataError, match="train counts"):
        mm.explain.explain(small, 0, 1, train=blocks)
    other = blocks.select((blocks.user != 4) | (blocks.item > 15))
    with pytest.raises(DataError, match="fit it anew"):
        mm.explain.explain(fitted("bpr"), 4, 3, train=other)
    with pytest.raises(ParameterError, match="does not look at the user"):
        mm.explain.explain(fitted("popularity"), 4, 3)
