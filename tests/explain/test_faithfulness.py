"""Deleting what an explanation names."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError

EVERYBODY = np.arange(60)


def test_of_a_sum_by_its_terms(fitted):
    """Where the score is a sum, the named clicks take their own terms away, random ones their share of the score."""
    model = fitted("itemknn")
    result = mm.explain.faithfulness(model, [4, 9], n=2, repeats=400)
    for user, row in result.per_user.iterrows():
        told = mm.explain.explain(model, user, int(row["item"]))
        assert row["named"] == pytest.approx(told.contributions["value"][:2].sum(), rel=1e-5)
        assert row["random"] == pytest.approx(told.score * 2 / len(told.contributions), rel=0.1)
        assert row["difference"] == pytest.approx(row["named"] - row["random"])


@pytest.mark.parametrize("name", ["ease", "itemknn", "als", "multvae", "hybrid"])
def test_explanations_are_faithful(name, fitted):
    result = mm.explain.faithfulness(fitted(name), EVERYBODY, n=2, repeats=5, n_boot=200)
    assert result.summary["n_users"] == 60
    assert result.summary["ci_low"] > 0
    assert result.summary["p_t"] < 1e-4
    assert "60 users, 2 clicks deleted" in repr(result)


def test_paths_of_a_random_walk_are_its_clicks(fitted):
    model = fitted("rp3beta")
    by_click, by_path = (
        mm.explain.faithfulness(model, [4, 9], repeats=2, n_boot=2, how=how) for how in ("history", "paths")
    )
    assert by_path.per_user.equals(by_click.per_user)
    with pytest.raises(ParameterError, match="how"):
        mm.explain.faithfulness(model, [4, 9], how="users")


def test_an_untrue_explanation_is_found_out(fitted, monkeypatch):
    """Values at random: the clicks that are named matter no more than others."""
    rng = np.random.default_rng(0)
    noise = lambda question: rng.normal(size=len(question.history))  # noqa: E731
    monkeypatch.setitem(mm.explain.history._VALUES, "exact", noise)
    result = mm.explain.faithfulness(fitted("ease"), EVERYBODY, repeats=20, n_boot=200)
    assert result.summary["ci_low"] < 0 < result.summary["ci_high"]


def test_by_fitting_again(fitted, blocks):
    """What is deleted is what the explanation names; what is scored is the model that was fitted on the rest."""
    model, users, seen = fitted("bpr"), EVERYBODY[:12], []

    def refit(train):
        seen.append(train)
        return mm.models.create("als", dim=4, l2=2.0).fit(train)

    result = mm.explain.faithfulness(model, users, blocks, n=2, repeats=3, n_boot=50, refit=refit)
    assert len(seen) == 4
    for user, row in result.per_user.iterrows():
        told = mm.explain.explain(model, user, int(row["item"]))
        gone = np.setdiff1d(blocks.item[blocks.user == user], seen[0].item[seen[0].user == user])
        assert sorted(gone) == sorted(told.contributions["item"][:2])
        assert row["named"] == pytest.approx(told.score - refit(seen[0]).score([user])[0, int(row["item"])], rel=1e-4)
    for train in seen[:4]:
        assert len(train) == len(blocks) - 24


def test_questions_without_an_answer(fitted):
    with pytest.raises(ParameterError, match="give refit"):
        mm.explain.faithfulness(fitted("bpr"), EVERYBODY)
    with pytest.raises(ParameterError, match="give train"):
        mm.explain.faithfulness(fitted("bpr"), EVERYBODY, refit=lambda train: None)
    with pytest.raises(DataError, match="more than n=7"):
        mm.explain.faithfulness(fitted("ease"), EVERYBODY, n=7)
    with pytest.raises(ParameterError, match="method='exact'"):
        mm.explain.faithfulness(fitted("multvae"), EVERYBODY, method="exact")
