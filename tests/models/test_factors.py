"""ALS at the minimum of its loss; BiasedMF finds biases that were planted."""

import numpy as np
import pytest
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.errors import DataError, NotFittedError, ParameterError, UnknownItemError, UnknownUserError
from mmrec_lib.models import factors


def als_loss(model, x):
    """The loss of Hu et al., written down over all pairs in float64."""
    p, q = model.user_factors_.astype(float), model.item_factors_.astype(float)
    c = 1 + model.alpha * x
    weight = [(c.sum(axis) / c.sum(axis).mean()) ** model.nu for axis in (1, 0)]
    penalty = weight[0] @ (p**2).sum(1) + weight[1] @ (q**2).sum(1)
    return (c * (x - p @ q.T) ** 2).sum() + model.l2 * penalty


@pytest.mark.parametrize("nu", [0, 1])
def test_als_gradient_is_zero_at_the_end(blocks, nu):
    model = mm.models.create("als", dim=3, alpha=4, l2=2, nu=nu, iterations=300).fit(blocks)
    x = blocks.to_csr().toarray().astype(float)
    p, q = model.user_factors_, model.item_factors_
    c = 1 + 4 * x
    error = c * (p @ q.T - x)
    weight = [(c.sum(axis) / c.sum(axis).mean()) ** nu for axis in (1, 0)]
    np.testing.assert_allclose(error @ q + 2 * weight[0][:, None] * p, 0, atol=2e-3)
    np.testing.assert_allclose(error.T @ p + 2 * weight[1][:, None] * q, 0, atol=2e-3)
    assert np.abs(p).max() > 0.1  # not the trivial solution


def test_als_loss_falls_with_every_round(blocks):
    x = blocks.to_csr().toarray()
    losses = [als_loss(mm.models.create("als", dim=8, l2=5, iterations=n).fit(blocks), x) for n in (1, 2, 3, 5, 8)]
    assert (np.diff(losses) < 0).all()


def test_als_by_hand():
    # one user, one item, one dimension: both solve (1 + alpha) p q^2 + l2 p = (1 + alpha) q, so that
    # p = q and p^2 = 1 - l2 / (1 + alpha)
    one = mm.data.Interactions([0], [0])
    model = mm.models.create("als", dim=1, alpha=3, l2=1, iterations=100).fit(one)
    np.testing.assert_allclose(model.score([0]), [[0.75]], rtol=1e-4)


def test_nu_holds_the_frequent_closer_to_zero():
    rng = np.random.default_rng(0)
    often = mm.data.Interactions(
        np.repeat(np.arange(40), 3), np.column_stack([np.zeros(40), rng.integers(1, 20, (40, 2))]).ravel()
    )
    size = [
        np.abs(mm.models.create("als", dim=4, l2=5, nu=nu).fit(often).score(np.arange(40))[:, 0]).mean()
        for nu in (0, 1)
    ]
    assert size[1] < size[0]


def test_fold_in_gives_the_vectors_of_training(blocks):
    model = mm.models.create("als", dim=4, alpha=4, l2=2).fit(blocks)
    np.testing.assert_allclose(model.fold_in(model.seen_[[5, 40]]), model.user_factors_[[5, 40]], rtol=1e-4, atol=1e-6)
    stranger = sparse.csr_matrix(np.isin(np.arange(30), [0, 1, 2, 3, 4])[None].astype(np.float32))
    scores = model.fold_in(stranger) @ model.item_factors_.T
    assert set(np.argsort(-scores[0])[:10]) == set(range(10))


def test_solve_rows_against_a_loop(monkeypatch):
    rng = np.random.default_rng(1)
    weights = sparse.random(9, 7, 0.4, "csr", dtype=np.float32, random_state=2)
    targets = sparse.random(9, 7, 0.4, "csr", dtype=np.float32, random_state=3)
    other = rng.normal(size=(7, 4)).astype(np.float32)
    penalty = rng.uniform(1, 2, 9)
    everything = np.eye(4, dtype=np.float32)
    monkeypatch.setattr(factors, "BATCH_BYTES", 4 * 16 * 2)  # two rows at a time
    got = factors.solve_rows(weights, targets, other, penalty, everything)
    for r in range(9):
        left = everything + (other.T * weights[[r]].toarray()) @ other + penalty[r] * np.eye(4)
        np.testing.assert_allclose(
            got[r], np.linalg.solve(left, other.T @ targets[[r]].toarray()[0]), rtol=1e-4, atol=1e-5
        )


@pytest.fixture(scope="module")
def planted():
    """Ratings that are a mean of 3 plus biases from -1 to 1 of each user and item, exactly."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((80, 50)) < 0.6)
    b_user, b_item = rng.uniform(-1, 1, 80), rng.uniform(-1, 1, 50)
    return mm.data.Interactions(users, items, 3 + b_user[users] + b_item[items]), b_user, b_item


def test_biasedmf_recovers_planted_biases(planted):
    events, b_user, b_item = planted
    model = mm.models.create("biasedmf", dim=0, l2=1e-4, iterations=30).fit(events)
    np.testing.assert_allclose(model.user_biases_ - model.user_biases_.mean(), b_user - b_user.mean(), atol=0.01)
    np.testing.assert_allclose(model.item_biases_ - model.item_biases_.mean(), b_item - b_item.mean(), atol=0.01)
    np.testing.assert_allclose(model.predict(events.user, events.item), events.value, atol=0.01)
    unseen = np.argwhere(events.to_csr().toarray() == 0)
    expected = np.clip(3 + b_user[unseen[:, 0]] + b_item[unseen[:, 1]], *model.scale_)
    np.testing.assert_allclose(model.predict(*unseen.T), expected, atol=0.02)


def test_biasedmf_factors_explain_taste():
    rng = np.random.default_rng(0)
    taste, kind = rng.choice([-1, 1], 60), rng.choice([-1, 1], 40)
    users, items = np.nonzero(np.ones((60, 40)))
    events = mm.data.Interactions(users, items, 3 + taste[users] * kind[items])
    known = rng.random(len(events)) < 0.5
    test = events.select(~known)
    error = {
        dim: np.abs(
            mm.models.create("biasedmf", dim=dim, l2=0.01).fit(events.select(known)).predict(test.user, test.item)
            - test.value
        ).mean()
        for dim in (0, 2)
    }
    assert error[0] > 0.8
    assert error[2] < 0.1


def test_predictions_stay_in_the_scale_and_agree_with_score(planted):
    events = planted[0]
    model = mm.models.create("biasedmf").fit(events)
    users, items = np.divmod(np.arange(80 * 50), 50)
    predicted = model.predict(users, items)
    assert predicted.dtype == np.float32
    assert predicted.min() >= events.value.min()
    assert predicted.max() <= events.value.max()
    np.testing.assert_allclose(predicted.reshape(80, 50), np.clip(model.score(np.arange(80)), *model.scale_), rtol=1e-5)


def test_predictions_for_strangers():
    # values 5, 3, 4, 4; user 2 and item 2 have none, so that nothing but the other's bias is left
    events = mm.data.Interactions([0, 0, 1, 1], [0, 1, 0, 1], [5, 3, 4, 4], n_users=3, n_items=3)
    model = mm.models.create("biasedmf", dim=2).fit(events)
    assert model.mean_ == 4
    assert model.predict([2], [2]) == pytest.approx(4)
    assert model.predict([2], [0]) == pytest.approx(4 + model.item_biases_[0])
    assert model.predict([1], [2]) == pytest.approx(4 + model.user_biases_[1])


def test_of_a_repeated_rating_the_last_counts():
    once = mm.data.Interactions([0, 1, 1], [0, 0, 1], [2, 4, 5])
    twice = mm.data.Interactions([0, 0, 1, 1], [0, 0, 0, 1], [5, 2, 4, 5])
    a, b = (mm.models.create("biasedmf", dim=2).fit(events).score([0, 1]) for events in (once, twice))
    np.testing.assert_array_equal(a, b)


def test_predict_errors(planted):
    model = mm.models.create("biasedmf", dim=1, iterations=1)
    with pytest.raises(NotFittedError):
        model.predict([0], [0])
    model.fit(planted[0])
    with pytest.raises(UnknownUserError):
        model.predict([80], [0])
    with pytest.raises(UnknownItemError):
        model.predict([0], [50])
    with pytest.raises(DataError):
        model.predict([0, 1], [0])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("als", {"dim": 0}),
        ("als", {"alpha": 0}),
        ("als", {"l2": -1}),
        ("als", {"nu": -1}),
        ("als", {"iterations": 0}),
        ("biasedmf", {"dim": -1}),
        ("biasedmf", {"l2": 0}),
        ("biasedmf", {"iterations": 0.5}),
    ],
)
def test_bad_parameters(name, params):
    with pytest.raises(ParameterError, match=next(iter(params))):
        mm.models.create(name, **params)


# -- partial_fit -----------------------------------------------------------------------------------------------------
def more(blocks, users, items):
    return mm.data.Interactions(users, items, n_users=max(max(users) + 1, blocks.n_users), n_items=max(items) + 1)


@pytest.fixture
def later(blocks):
    """User 3 meets item 12, and a newcomer (60) meets item 2 and a new item (30)."""
    return more(blocks, [3, 60, 60], [12, 2, 30])


def test_als_partial_fit_solves_what_was_touched_and_nothing_else(blocks, later):
    model = mm.models.create("als", dim=4, alpha=4, l2=2, nu=0.5).fit(blocks)
    p, q = model.user_factors_, model.item_factors_
    assert model.partial_fit(later) is model
    assert model.seen_.shape == (61, 31)
    assert model.popularity_.tolist() == model.seen_.toarray().sum(0).tolist()
    assert model.seen_[[60]].indices.tolist() == [2, 30]
    others, other_items = np.delete(np.arange(60), 3), np.setdiff1d(np.arange(30), [2, 12])
    np.testing.assert_array_equal(model.user_factors_[others], p[others])
    np.testing.assert_array_equal(model.item_factors_[other_items], q[other_items])
    # the touched users stand at the minimum of the loss, given all items: its gradient there is zero
    x = model.seen_.toarray().astype(float)
    error = (1 + 4 * x) * (model.user_factors_ @ model.item_factors_.T - x)
    weight = ((1 + 4 * x).sum(1) / (1 + 4 * x).sum(1).mean()) ** 0.5
    gradient = error @ model.item_factors_ + 2 * weight[:, None] * model.user_factors_
    np.testing.assert_allclose(gradient[[3, 60]], 0, atol=1e-4)


def test_als_partial_fit_by_hand():
    # one user, one item, one dimension: each half step solves x = 4 y / (4 y^2 + 1), as in test_als_by_hand
    def half(y):
        return 4 * y / (4 * y**2 + 1)

    model = mm.models.create("als", dim=1, alpha=3, l2=1, iterations=100).fit(mm.data.Interactions([0], [0]))
    q = float(model.item_factors_[0, 0])
    model.partial_fit(mm.data.Interactions([1], [0]))  # a second user with the same item
    p0, p1 = q, half(q)  # the first user is not touched
    item = 4 * (p0 + p1) / (4 * (p0**2 + p1**2) + 1)  # the item is: both like it
    np.testing.assert_allclose(model.item_factors_.ravel(), [item], rtol=1e-5)
    np.testing.assert_allclose(model.user_factors_.ravel(), [p0, half(item)], rtol=1e-5)


def test_als_partial_fit_comes_near_to_learning_anew(blocks, later):
    everything = mm.data.Interactions(
        np.concatenate([blocks.user, later.user]), np.concatenate([blocks.item, later.item]), n_users=61, n_items=31
    )
    params = {"dim": 4, "alpha": 4, "l2": 2, "iterations": 50}
    anew = mm.models.create("als", **params).fit(everything)
    before = mm.models.create("als", **params).fit(blocks)
    after = mm.models.create("als", **params).fit(blocks).partial_fit(later, sweeps=5)
    old = np.pad(before.score([3])[0], (0, 1))
    assert np.abs(after.score([3, 60]) - anew.score([3, 60])).max() < 0.05
    assert np.abs(old - anew.score([3])[0]).max() > 0.2


def test_als_partial_fit_with_nothing_new_changes_nothing(blocks):
    model = mm.models.create("als", dim=4).fit(blocks)
    scores = model.score(np.arange(60))
    model.partial_fit(mm.data.Interactions(blocks.user[:5], blocks.item[:5]))
    model.partial_fit(mm.data.Interactions([], []))
    np.testing.assert_array_equal(model.score(np.arange(60)), scores)
    assert model.seen_.nnz == blocks.to_csr().nnz


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_partial_fit_twice_saved_and_loaded(blocks, later, tmp_path, name):
    params = {"dim": 4} | ({"epochs": 5} if name == "bpr" else {})
    one, two = (mm.models.create(name, **params).fit(blocks).partial_fit(later) for _ in range(2))
    np.testing.assert_array_equal(one.score(np.arange(61)), two.score(np.arange(61)))
    one.save(tmp_path / "model")
    loaded = mm.models.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score([3, 60]), one.score([3, 60]))
    again = more(blocks, [61], [5])
    np.testing.assert_array_equal(loaded.partial_fit(again).score([61]), one.partial_fit(again).score([61]))
    assert 30 not in one.recommend([60], 31)["item"].tolist()


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_partial_fit_errors(blocks, name):
    model = mm.models.create(name, dim=2)
    with pytest.raises(NotFittedError):
        model.partial_fit(blocks)
    model.fit(blocks)
    with pytest.raises(ParameterError, match="sweeps" if name == "als" else "epochs"):
        model.partial_fit(blocks, 0)
    assert model.seen_.nnz == blocks.to_csr().nnz
