"""What every recommender must do, whatever it learns: one suite, run over all registered names.

``RecommenderConformance`` can be inherited elsewhere: a subclass names the models in ``names`` and, where a model
needs other parameters to be quick, in ``quick``.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import types

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.errors import (
    DataError,
    ModelFileError,
    NotFittedError,
    ParameterError,
    UnknownItemError,
    UnknownUserError,
)

EVERYBODY = np.arange(60)
MULTIMODAL = ("vbpr", "deepstyle", "fm", "mmgcn", "grcn", "lattice", "freedom", "mgcn", "slmrec")
NEURAL = {"dim": 8, "epochs": 12, "batch_size": 64, "learning_rate": 0.05, "device": "cpu"}


def written(names):
    """The names whose module exists."""
    package = importlib.util.find_spec("mmrec_lib.models").name
    return [n for n in names if importlib.util.find_spec(f"{package}.{mm.models._REGISTRY[n][0]}")]


@pytest.fixture(scope="session")
def blocks(blocks):
    """The blocks with ratings: 4 or 5 for items of the user's group, 1 or 2 for the others."""
    own = blocks.item // 10 == blocks.user % 3
    value = np.where(own, 4, 1) + np.arange(len(blocks)) % 2
    return mm.data.Interactions(blocks.user, blocks.item, value, blocks.time, *blocks.shape)


def state(model):
    """Everything that was learned, as plain arrays."""
    return {k: v.toarray() if hasattr(v, "toarray") else v for k, v in vars(model).items() if k.endswith("_")}


def content(n_items):
    """Vectors that show which of the three groups an item belongs to, and little else."""
    noise = np.random.default_rng(0).normal(scale=0.3, size=(n_items, 6))
    noise[np.arange(n_items), np.arange(n_items) // 10 % 3] += 1
    return mm.data.Features({"look": noise})


def with_content(model):
    """The model, given content whenever it is fitted without."""
    fit = model.fit
    model.fit = lambda train, features=None, valid=None: fit(train, features or content(train.n_items), valid)
    return model


class RecommenderConformance:
    """The suite. ``blocks`` has three groups of users, each with items of its own; see ``conftest.py``."""

    names: tuple[str, ...] = ()
    #: Parameters that make a model quick on a few hundred interactions.
    quick: dict[str, dict] = {}  # noqa: RUF012
    #: A parameter out of its range for each model that has parameters to check.
    wrong: dict[str, dict] = {}  # noqa: RUF012
    #: Models that are not meant to find structure.
    blind: tuple[str, ...] = ()
    #: Models without content that give all items without interactions the same score.
    even: tuple[str, ...] = ()

    def pytest_generate_tests(self, metafunc):
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.names, scope="class")

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, name):
        def make(**params):
            model = mm.models.create(name, **{**cls.quick.get(name, {}), **params})
            return with_content(model) if model.needs_features else model

        return make

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, make, blocks):
        """Fitted once for all tests that only look."""
        return make().fit(blocks)

    @pytest.fixture
    def odd(self, blocks):
        """The blocks with a user (60) and an item (30) that occur in no interaction."""
        return mm.data.Interactions(blocks.user, blocks.item, blocks.value, blocks.time, 61, 31)

    # -- parameters ----------------------------------------------------------------------------------------------
    def test_default_construction_and_parameters(self, name):
        model = mm.models.create(name)
        assert model.name == name
        params = model.get_params()
        assert list(params) == [p for p in inspect.signature(type(model).__init__).parameters if p != "self"]
        again = mm.models.create(name, **params)
        assert again.get_params() == params
        assert repr(again) == repr(model)
        json.dumps(params)  # so that they can be saved

    def test_class_says_what_its_parameters_are(self, name):
        cls = mm.models.get_class(name)
        for param in inspect.signature(cls.__init__).parameters:
            told = any(param in (c.__doc__ or "") for c in cls.__mro__)
            assert param == "self" or told, f"{cls.__name__}: {param} is not documented"

    def test_unknown_parameter(self, name):
        with pytest.raises(ParameterError, match="no parameter 'neighbors_'"):
            mm.models.create(name, neighbors_=3)

    def test_wrong_parameter_value_is_refused_at_construction(self, name):
        for param, value in self.wrong.get(name, {}).items():
            with pytest.raises(ParameterError, match=param):
                mm.models.create(name, **{param: value})

    # -- fitting -------------------------------------------------------------------------------------------------
    def test_fit_returns_self(self, make, blocks):
        model = make()
        assert model.fit(blocks) is model

    def test_fit_does_not_change_its_input(self, make, blocks):
        columns = ("user", "item", "value", "time")
        before = {c: getattr(blocks, c).copy() for c in columns}
        make().fit(blocks, valid=blocks)
        for c in columns:
            np.testing.assert_array_equal(getattr(blocks, c), before[c])

    def test_empty_train(self, make):
        with pytest.raises(DataError, match="no interactions"):
            make().fit(mm.data.Interactions([], [], n_users=3, n_items=3))

    def test_validation_over_other_items(self, make, blocks):
        with pytest.raises(DataError, match="valid"):
            make().fit(blocks, valid=mm.data.Interactions([0], [0], n_users=60, n_items=29))

    def test_repeated_interactions(self, make, blocks):
        twice = mm.data.Interactions.concat([blocks, blocks])
        model = make().fit(twice)
        assert np.isfinite(model.score(EVERYBODY)).all()
        table = model.recommend(EVERYBODY, k=5)
        assert not table.duplicated(["user", "item"]).any()

    def test_one_interaction(self, make):
        model = make().fit(mm.data.Interactions([0], [1], n_users=2, n_items=3))
        assert np.isfinite(model.score([0, 1])).all()
        assert set(model.recommend([0], k=3)["item"]) == {0, 2}

    def test_second_fit_forgets_the_first(self, make, blocks, fitted):
        other = mm.data.Interactions([0, 1, 2], [2, 0, 1], time=[0, 1, 2])
        model = make().fit(other).fit(blocks)
        np.testing.assert_array_equal(model.score(EVERYBODY), fitted.score(EVERYBODY))

    # -- seeds ---------------------------------------------------------------------------------------------------
    def test_same_seed_same_result(self, make, blocks, fitted):
        np.random.default_rng().normal(size=3)
        np.random.seed(7)  # noqa: NPY002  a global state that must not matter
        again = make().fit(blocks)
        assert state(again).keys() == state(fitted).keys()
        np.testing.assert_array_equal(again.score(EVERYBODY), fitted.score(EVERYBODY))

    def test_other_seed_other_result(self, make, blocks, fitted):
        if "seed" not in fitted.get_params():
            pytest.skip("no seed")
        assert (make(seed=1).fit(blocks).score(EVERYBODY) != fitted.score(EVERYBODY)).any()

    # -- scores --------------------------------------------------------------------------------------------------
    def test_scores_are_finite_float32(self, fitted):
        scores = fitted.score([3, 1, 3])
        assert scores.dtype == np.float32
        assert scores.shape == (3, 30)
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores[0], scores[2])

    def test_scores_do_not_depend_on_who_else_is_asked(self, fitted):
        together = fitted.score(EVERYBODY)
        alone = np.concatenate([fitted.score([u]) for u in EVERYBODY[::7]])
        np.testing.assert_allclose(together[::7], alone, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fitted.score(EVERYBODY[::-1])[::-1], together, rtol=1e-4, atol=1e-6)

    def test_scores_can_be_changed_without_harm(self, fitted):
        before = fitted.score([0, 1])
        scores = np.array(before)
        mutable = fitted.score([0, 1])
        if mutable.flags.writeable:
            mutable[:] = -1
        np.testing.assert_array_equal(fitted.score([0, 1]), scores)

    def test_no_users(self, fitted):
        assert fitted.score([]).shape == (0, 30)
        table = fitted.recommend([], k=3)
        assert len(table) == 0
        assert list(table.columns) == ["user", "item", "rank", "score"]

    def test_user_without_history(self, make, odd):
        model = make().fit(odd)
        scores = model.score([60])[0]
        assert np.isfinite(scores).all()
        if not model.scores_new_users:
            np.testing.assert_allclose(scores, model.popularity_ / model.popularity_.sum(), rtol=1e-6)
        assert len(model.recommend([60], k=5)) == 5

    def test_item_without_history(self, make, odd):
        model = make().fit(odd)
        scores = model.score(np.arange(61))
        assert scores.shape == (61, 31)
        assert np.isfinite(scores).all()

    def test_items_without_history_are_placed_by_content_or_not_at_all(self, make, blocks):
        """Item 30 looks like those of the first group, item 31 like those of the second; then the other way round."""
        train = mm.data.Interactions(blocks.user, blocks.item, blocks.value, blocks.time, 60, 32)
        look = content(30)["look"]
        first, second = look[:10].mean(axis=0), look[10:20].mean(axis=0)

        def preference(*new):
            model = make().fit(train, features=mm.data.Features({"look": np.vstack([look, *new])}))
            scores = model.score(EVERYBODY)
            return model, scores[:, 30] - scores[:, 31]

        (model, one_way), (_, other_way) = preference(first, second), preference(second, first)
        if not model.scores_new_items:
            np.testing.assert_array_equal(one_way, other_way)
            return
        groups = EVERYBODY % 3
        for gap, sign in ((one_way, 1), (other_way, -1)):
            assert sign * (gap[groups == 0].mean() - gap[groups == 1].mean()) > 0

    def test_who_counts_or_solves_gives_items_without_history_one_score(self, name, make, blocks):
        if name not in self.even:
            pytest.skip("random start, or content")
        scores = make().fit(mm.data.Interactions(blocks.user, blocks.item, blocks.value, None, 60, 32)).score(EVERYBODY)
        np.testing.assert_array_equal(scores[:, 30], scores[:, 31])

    @pytest.mark.parametrize("users", [[60], [-1], [0, 1000]])
    def test_unknown_user(self, fitted, users):
        for ask in (fitted.score, fitted.recommend):
            with pytest.raises(UnknownUserError, match="codes 0 to 59"):
                ask(users)

    def test_users_must_be_codes(self, fitted):
        for users in ([0.5], ["anna"], [[0, 1]]):
            with pytest.raises(ParameterError):
                fitted.score(users)

    def test_not_fitted(self, make, tmp_path):
        for ask in (lambda m: m.score([0]), lambda m: m.recommend([0]), lambda m: m.save(tmp_path / "m")):
            with pytest.raises(NotFittedError):
                ask(make())
        assert not list(tmp_path.iterdir())

    # -- people who are not among the users ------------------------------------------------------------------------
    def test_a_users_own_history_gives_the_users_scores(self, fitted, blocks):
        if fitted.histories != "exact":
            pytest.skip("estimated, or not at all")
        rows = blocks.to_csr(values=fitted.reads_values)[[4, 9]]
        told = fitted.score_histories(rows, users=[4, 9])
        assert told.dtype == np.float32
        np.testing.assert_allclose(told, fitted.score([4, 9]), rtol=2e-3, atol=2e-4)

    def test_strangers_get_the_items_of_their_group(self, name, fitted, blocks):
        """Three people who met three items of one group each; a third of the lists by chance."""
        if fitted.histories is None:
            with pytest.raises(ParameterError, match="cannot score a changed history"):
                fitted.score_histories([[0]])
            return
        if name in self.blind:
            return
        history = np.array([[0, 1, 2], [10, 11, 12], [20, 21, 22]])
        given = history
        if fitted.reads_values:
            given = sparse.csr_matrix((np.full(9, 5.0), (np.repeat(range(3), 3), history.ravel())), (3, 30))
        table = fitted.recommend_for(given, k=5)
        assert list(table.columns) == ["user", "item", "rank", "score"]
        assert table["user"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
        assert not (table["item"].to_numpy()[:, None] == history[table["user"]]).any()
        assert (table["item"] // 10 == table["user"]).mean() > 0.6

    def test_one_stranger_and_several(self, fitted):
        if fitted.histories is None or fitted.reads_values:
            pytest.skip("no histories of clicks")
        several = fitted.recommend_for([[3, 4], [], [3, 3, 4]], k=30, exclude_seen=False)
        lists = [several[several["user"] == u].drop(columns="user").reset_index(drop=True) for u in range(3)]
        pd.testing.assert_frame_equal(lists[0], lists[2])
        one = fitted.recommend_for([4, 3], k=30, exclude_seen=False)
        pd.testing.assert_frame_equal(one.drop(columns="user"), lists[0], check_exact=False, rtol=1e-4, atol=1e-5)
        assert set(one["user"]) == {0}
        if not fitted.scores_new_users:
            by_popularity = np.argsort(-fitted.popularity_, kind="stable")
            np.testing.assert_array_equal(lists[1]["item"], by_popularity)

    def test_histories_that_cannot_be(self, make, fitted):
        with pytest.raises(NotFittedError):
            make().recommend_for([0])
        if fitted.histories is None:
            return
        with pytest.raises(ParameterError, match="29 columns"):
            fitted.score_histories(sparse.csr_matrix((1, 29)))
        if fitted.reads_values:
            with pytest.raises(ParameterError, match="ratings"):
                fitted.recommend_for([0, 1])
            return
        for code in (-1, 30):
            with pytest.raises(UnknownItemError, match=f"item {code} is unknown"):
                fitted.recommend_for([0, code])
        for wrong, words in ((["a"], "whole numbers"), ([0.5], "whole numbers")):
            with pytest.raises(ParameterError, match=words):
                fitted.recommend_for(wrong)
        with pytest.raises(ParameterError, match="2 users and 1 histories"):
            fitted.score_histories([[1]], users=[0, 1])
        with pytest.raises(UnknownUserError):
            fitted.score_histories([[1]], users=[60])

    # -- recommendations -----------------------------------------------------------------------------------------
    def test_recommend(self, fitted):
        users = [5, 2]
        table = fitted.recommend(users, k=4)
        assert isinstance(table, pd.DataFrame)
        assert list(table.columns) == ["user", "item", "rank", "score"]
        assert table["user"].tolist() == [5] * 4 + [2] * 4
        assert table["rank"].tolist() == [1, 2, 3, 4] * 2
        for i, user in enumerate(users):
            mine = table[table["user"] == user]
            assert mine["score"].is_monotonic_decreasing
            scores = fitted.score(users)[i]
            np.testing.assert_array_equal(mine["score"], scores[mine["item"]])
            left = np.setdiff1d(np.arange(30), np.append(mine["item"], fitted.seen_[[user]].indices))
            assert scores[left].max() <= mine["score"].min()

    def test_seen_items_are_left_out_unless_wanted(self, fitted, blocks):
        unseen = fitted.recommend(EVERYBODY, k=30)
        seen = set(zip(blocks.user.tolist(), blocks.item.tolist(), strict=True))
        assert not seen & set(zip(unseen["user"], unseen["item"], strict=True))
        assert len(unseen) == 60 * 30 - len(seen)
        everything = fitted.recommend(EVERYBODY, k=30, exclude_seen=False)
        assert len(everything) == 60 * 30
        assert seen <= set(zip(everything["user"], everything["item"], strict=True))

    def test_k_larger_than_the_catalogue(self, fitted):
        table = fitted.recommend([0], k=1000, exclude_seen=False)
        assert sorted(table["item"]) == list(range(30))

    @pytest.mark.parametrize("k", [0, -1, 2.5])
    def test_bad_k(self, fitted, k):
        with pytest.raises(ParameterError, match="k="):
            fitted.recommend([0], k=k)

    def test_finds_the_items_of_the_users_group(self, name, fitted, blocks):
        """The four items of the own group that the user has not met: at most one in eight by popularity."""
        if name in self.blind:
            pytest.skip("does not look at the person")

        def share(model):
            table = model.recommend(EVERYBODY, k=4)
            return (table["item"] // 10 == table["user"] % 3).mean()

        popular = share(mm.models.create("popularity").fit(blocks))
        assert popular < 0.3  # so that the claim below says something
        assert share(fitted) > max(0.6, 2 * popular)

    # -- saving --------------------------------------------------------------------------------------------------
    def test_save_and_load(self, fitted, tmp_path):
        path = fitted.save(tmp_path / "model")
        assert sorted(p.name for p in path.iterdir()) == ["model.json", "model.safetensors"]
        model = mm.models.load(path)
        assert type(model) is type(fitted)
        assert model.get_params() == fitted.get_params()
        np.testing.assert_array_equal(model.score(EVERYBODY), fitted.score(EVERYBODY))
        pd.testing.assert_frame_equal(model.recommend([4, 9], k=5), fitted.recommend([4, 9], k=5))
        assert model.histories == fitted.histories
        if fitted.histories and not fitted.reads_values:
            np.testing.assert_array_equal(model.score_histories([[3, 8]]), fitted.score_histories([[3, 8]]))

    def test_save_replaces_an_older_model(self, make, fitted, odd, tmp_path):
        make().fit(odd).save(tmp_path / "model")
        fitted.save(tmp_path / "model")
        assert [p.name for p in tmp_path.iterdir()] == ["model"]
        np.testing.assert_array_equal(mm.models.load(tmp_path / "model").score([7]), fitted.score([7]))

    def test_failed_save_keeps_the_older_model(self, fitted, tmp_path, monkeypatch):
        fitted.save(tmp_path / "model")

        def full_disk(self, folder):
            (folder / "model.json").write_text("{")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(fitted), "_write", full_disk)
        with pytest.raises(OSError, match="No space"):
            fitted.save(tmp_path / "model")
        assert [p.name for p in tmp_path.iterdir()] == ["model"]
        np.testing.assert_array_equal(mm.models.load(tmp_path / "model").score([7]), fitted.score([7]))

    def test_save_does_not_replace_what_is_no_model(self, fitted, tmp_path):
        (tmp_path / "thesis.txt").write_text("three years of work")
        with pytest.raises(ModelFileError, match="no saved model"):
            fitted.save(tmp_path)
        assert (tmp_path / "thesis.txt").exists()

    @pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
    def test_missing_or_damaged_file(self, fitted, tmp_path, file):
        path = fitted.save(tmp_path / "model")
        good = (path / file).read_bytes()
        (path / file).write_bytes(good[: len(good) // 2])
        with pytest.raises(ModelFileError, match="damaged"):
            mm.models.load(path)
        (path / file).unlink()
        with pytest.raises(ModelFileError, match=f"{file} is missing"):
            mm.models.load(path)

    def test_other_format(self, fitted, tmp_path):
        path = fitted.save(tmp_path / "model")
        header = json.loads((path / "model.json").read_text())
        header["format"] = 99
        (path / "model.json").write_text(json.dumps(header))
        with pytest.raises(ModelFileError, match="format 99"):
            mm.models.load(path)


class TestAllModels(RecommenderConformance):
    names = written(mm.models.available())
    quick = types.MappingProxyType(
        {
            "als": {"dim": 4, "l2": 2},
            "biasedmf": {"dim": 2},
            "ease": {"l2": 5},
            "propensityease": {"l2": 5},
            "slim": {"l1": 0.5, "l2": 2},
            "bpr": NEURAL,
            "multvae": {**NEURAL, "hidden": 32},
            "neumf": {**NEURAL, "layers": [16]},
            "lightgcn": NEURAL,
            "lightgat": NEURAL,
            "twotower": NEURAL,
            **{name: NEURAL | {"l2": 0.01} for name in MULTIMODAL},
            "bm3": NEURAL | {"epochs": 40},
            "mmvae": NEURAL | {"hidden": 32, "epochs": 40},
            "categorypop": {"n_clusters": 5},
            "clcrec": NEURAL | {"n_negatives": 4, "l2": 0.01},
            "coldmap": {"base_params": {"dim": 4, "l2": 2}},
            "dropoutnet": NEURAL | {"epochs": 60, "hidden": 16, "base_params": {"dim": 4, "l2": 2}},
            "diffmm": NEURAL | {"hidden": 16, "diffusion_epochs": 3},
            "melu": {"hidden": 8} | {k: v for k, v in NEURAL.items() if k != "dim"} | {"batch_size": 16},
            "fomaml": {"hidden": 8} | {k: v for k, v in NEURAL.items() if k != "dim"} | {"batch_size": 16},
        }
    )
    wrong = types.MappingProxyType(
        {
            "popularity": {"half_life_days": 0},
            "userknn": {"k": 0, "shrinkage": -1, "similarity": "sine"},
            "itemknn": {"k": 0, "shrinkage": -1, "similarity": "sine"},
            "rp3beta": {"k": 0, "alpha": -1},
            "ease": {"l2": -1},
            "propensityease": {"l2": -1, "weights": "fame", "power": -1, "clip": 0},
            "slim": {"l1": -1, "l2": -1, "iterations": 0},
            "als": {"dim": 0, "l2": -1, "alpha": -1},
            "biasedmf": {"dim": -1, "l2": -1},
            "bpr": {"dim": 0, "l2": -1, "epochs": 0},
            "multvae": {"dim": 0, "hidden": 0, "epochs": 0},
            "neumf": {"dim": 0, "layers": [], "epochs": 0},
            "lightgcn": {"dim": 0, "l2": -1, "epochs": 0},
            "lightgat": {"dim": 0, "l2": -1, "epochs": 0},
            "twotower": {"dim": 0, "users": "names", "components": 0, "l2": -1, "epochs": 0},
            "categorypop": {"n_clusters": 0, "smoothing": 0, "components": 0, "seed": -1},
            "dropoutnet": {
                "dim": 0,
                "hidden": 0,
                "dropout": 1,
                "items_per_batch": 0,
                "components": 0,
                "calibration": "loud",
            },
            "clcrec": {"content_loss": -1, "temperature": 0, "mix": 2, "calibration": "loud", "loss": "bce"},
            "coldmap": {"l2": 0, "how": "guess", "hidden": 0, "components": 0, "calibration": "loud", "seed": -1},
            "melu": {"hidden": 0, "steps": 0, "local_rate": 0, "components": 0, "epochs": 0},
            "fomaml": {"hidden": 0, "steps": 0, "local_rate": 0},
            "hybrid": {"parts": {}, "options": {"loudness": 1}, "inner_fraction": 0, "seed": -1},
        }
    )
    blind = ("random", "popularity")
    even = ("popularity", "userknn", "itemknn", "rp3beta", "slim", "ease", "propensityease", "biasedmf", "als")
