import json
import math

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError, TrainingError
from mmrec_lib.training import search


class Blind:
    """A split whose test part must not be touched."""

    def __init__(self, train, valid):
        self.train, self.valid = train, valid

    @property
    def test(self):
        raise AssertionError("the search looked at the test part")


class Parabola:
    """A recommender in name only: its quality on validation is known in closed form."""

    def __init__(self, x=0.0, n=1, kind="a", offset=0.0):
        self.x, self.n, self.kind, self.offset = x, n, kind, offset

    def fit(self, train, features=None, valid=None):
        if self.kind == "broken":
            raise TrainingError("the loss became nan")
        self.best_epoch_ = 7
        return self


def quality(model, valid, train):
    return model.offset - (math.log10(model.x) - 1) ** 2 - abs(model.n - 3)


SPACE = {"x": ("log", 0.1, 1000.0), "n": ("int", 1, 5), "kind": ["a", "b"], "offset": 2.0}


@pytest.fixture(scope="module")
def split():
    events = mm.data.Interactions([0, 1], [0, 1], n_users=2, n_items=3)
    return Blind(events, mm.data.Interactions([0], [1], n_users=2, n_items=3))


def test_finds_the_top_of_a_parabola(split):
    result = search(Parabola, split, SPACE, n_trials=40, evaluate=quality, seed=1)
    assert result.best_params["n"] == 3
    assert 3 < result.best_params["x"] < 33
    assert result.best_params["offset"] == 2.0  # fixed, and handed on
    assert result.best_value == result.trials["value"].max() == quality(Parabola(**result.best_params), None, None)
    assert result.best_epoch == 7


def test_every_trial_is_recorded(split):
    trials = search(Parabola, split, SPACE, n_trials=6, evaluate=quality).trials
    assert len(trials) == 6
    assert {"value", "seconds", "state", "best_epoch", "error", "x", "n", "kind"} <= set(trials.columns)
    for row in trials.itertuples():
        assert row.value == pytest.approx(quality(Parabola(row.x, row.n, offset=2.0), None, None))
    assert trials["x"].between(0.1, 1000).all()
    assert trials["n"].isin(range(1, 6)).all()


def test_same_seed_same_trials_also_when_interrupted(split, tmp_path):
    file = tmp_path / "search.json"
    whole = search(Parabola, split, SPACE, n_trials=15, evaluate=quality, seed=4).trials
    search(Parabola, split, SPACE, n_trials=7, evaluate=quality, seed=4, path=file)
    resumed = search(Parabola, split, SPACE, n_trials=15, evaluate=quality, seed=4, path=file).trials
    columns = ["value", "x", "n", "kind"]
    assert whole[columns].equals(resumed[columns])
    assert len(json.loads(file.read_text())["trials"]) == 15
    other = search(Parabola, split, SPACE, n_trials=15, evaluate=quality, seed=5).trials
    assert not np.allclose(whole["x"], other["x"])


def test_start_is_tried_first(split):
    trials = search(Parabola, split, SPACE, n_trials=2, evaluate=quality, start={"x": 10.0, "n": 3}).trials
    assert trials.loc[0, ["x", "n"]].tolist() == [10.0, 3]


def test_a_failed_trial_is_recorded_and_the_search_goes_on(split):
    space = {**SPACE, "kind": ["a", "broken"]}
    result = search(Parabola, split, space, n_trials=12, evaluate=quality)
    failed = result.trials[result.trials["kind"] == "broken"]
    assert len(failed)
    assert (failed["state"] == "failed").all()
    assert failed["value"].isna().all()
    assert failed["error"].str.contains("nan").all()
    assert result.best_params["kind"] == "a"


def test_when_all_trials_fail(split):
    with pytest.raises(TrainingError, match="nan"):
        search(Parabola, split, {"kind": "broken", "n": ("int", 1, 3)}, n_trials=2, evaluate=quality)


def test_timeout_begins_no_further_trial(split):
    with pytest.raises(TrainingError, match="timeout"):
        search(Parabola, split, SPACE, n_trials=5, evaluate=quality, timeout=0)


def test_a_real_recommender_by_its_metric(blocks):
    parts = mm.data.split(blocks, seed=0)
    result = search(
        lambda **p: mm.models.create("popularity", **p), Blind(parts.train, parts.valid),
        {"half_life_days": ["none", 1e-3]}, n_trials=1, metric="recall@5", start={"half_life_days": 1e-3},
    )  # fmt: skip
    model = mm.models.create("popularity", half_life_days=1e-3).fit(parts.train)
    validator = mm.training.validation.Validator(parts.train.to_csr(), parts.valid, "recall@5")
    assert result.best_value == validator(model.score)


@pytest.mark.parametrize(
    "entry", [("log", 0, 1), ("float", 2, 1), ("int", 1), ("uniform", 0, 1), (1, 2, 3), []], ids=str
)
def test_a_space_that_cannot_be_searched(split, entry):
    with pytest.raises(ParameterError, match="x"):
        search(Parabola, split, {"x": entry}, evaluate=quality)


def test_a_file_of_another_search_is_refused(split, tmp_path):
    file = tmp_path / "s.json"
    search(Parabola, split, SPACE, n_trials=1, evaluate=quality, path=file)
    with pytest.raises(ParameterError, match="another space"):
        search(Parabola, split, {"x": ("log", 1, 2)}, evaluate=quality, path=file)
    file.write_text("{")
    with pytest.raises(ParameterError, match="no file of a search"):
        search(Parabola, split, SPACE, evaluate=quality, path=file)


def test_empty_validation(split):
    nothing = mm.data.Interactions([], [], n_users=2, n_items=3)
    with pytest.raises(DataError, match="valid"):
        search(Parabola, Blind(split.train, nothing), SPACE)
