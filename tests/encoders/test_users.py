"""Users as vectors: histories, means with decay, attention, texts, demographics."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.encoders.users import HistoryAttention, HistoryMean, UserText, histories, profiles
from mmrec_lib.errors import DataError, NotFittedError, ParameterError, UnknownItemError

DAY = 86_400
VECTORS = np.array([[1, 0], [0, 1], [2, 2], [9, 9]], np.float32)
HAS_VECTOR = [True, True, True, False]


@pytest.fixture
def events():
    """User 0 chose item 2, then 0; user 1 nothing; user 2 only item 3, which has no vector."""
    return mm.data.Interactions([0, 2, 0], [0, 3, 2], time=[20 * DAY, 5, 10 * DAY], n_users=3, n_items=4)


def mean(**settings):
    return HistoryMean(**settings).with_items(VECTORS, HAS_VECTOR)


# -- histories -----------------------------------------------------------------------------------------------------
def test_histories_are_in_order_of_time(events):
    first, second, third = histories(events)
    assert first[0].tolist() == [2, 0]
    assert first[1].tolist() == [10 * DAY, 20 * DAY]
    assert second is None
    assert third[0].tolist() == [3]


def test_histories_without_times_keep_their_order():
    untimed = mm.data.Interactions([1, 0, 1], [4, 2, 1], n_users=2)
    assert [h.tolist() for h in histories(untimed)] == [[2], [4, 1]]


def test_histories_of_nobody():
    assert histories(mm.data.Interactions([], [], n_users=0, n_items=3)) == []
    assert histories(mm.data.Interactions([], [], n_users=2, n_items=3)) == [None, None]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 9)), max_size=30))
def test_histories_hold_every_event_once(rows):
    user, item, time = (np.array([row[c] for row in rows], int) for c in range(3))
    found = histories(mm.data.Interactions(user, item, time=time, n_users=5, n_items=7))
    for code, history in enumerate(found):
        mine = sorted(zip(time[user == code], item[user == code], strict=True))
        assert history is None if not mine else sorted(zip(history[1], history[0], strict=True)) == mine
        assert history is None or (np.diff(history[1]) >= 0).all()


# -- the mean ------------------------------------------------------------------------------------------------------
def test_plain_mean_by_hand():
    found = mean().run([[0, 1], [2, 0, 0], None, [], [3], [0, 3]])
    np.testing.assert_allclose(found.vectors[[0, 1, 5]], [[0.5, 0.5], [4 / 3, 2 / 3], [1, 0]], rtol=1e-6)
    assert found.mask.tolist() == [True, True, False, False, False, True]
    assert not found.damaged
    assert not found.vectors[2:5].any()


def test_decay_by_hand():
    # oldest first: weights 1/4, 1/2, 1 over their sum 7/4
    np.testing.assert_allclose(mean(decay=0.5).encode([[0, 1, 2]]), [[(0.25 + 2) / 1.75, (0.5 + 2) / 1.75]], rtol=1e-6)


def test_items_without_a_vector_do_not_age_the_others():
    np.testing.assert_allclose(mean(decay=0.5).encode([[0, 1, 3]]), mean(decay=0.5).encode([[0, 1]]))


def test_half_life_by_hand():
    # ten days before the last choice, and a half-life of ten days: weights 1/2 and 1, in whatever order they are given
    for codes, days in (([2, 0], [10, 20]), ([0, 2], [20, 10])):
        found = mean(half_life_days=10).encode([(codes, np.array(days) * DAY)])
        np.testing.assert_allclose(found, [[(1 + 1) / 1.5, 1 / 1.5]], rtol=1e-6)


def test_half_life_needs_times():
    with pytest.raises(DataError, match="needs times"):
        mean(half_life_days=10).encode([[0, 1]])


def test_batches_of_one_give_the_same():
    items = [[0, 1], [2], [1, 1, 0], [0, 3, 2]]
    np.testing.assert_allclose(mean(decay=0.7).encode(items, batch_size=1), mean(decay=0.7).encode(items), rtol=1e-6)


def test_a_pair_of_codes_is_a_history_not_codes_and_times():
    np.testing.assert_allclose(mean().encode([(0, 1)]), [[0.5, 0.5]])


def test_items_must_be_known():
    with pytest.raises(NotFittedError, match="with_items"):
        HistoryMean().encode([[0]])
    with pytest.raises(NotFittedError, match="with_items"):
        mm.encoders.create("history-attention").fit([[0, 1]])


@pytest.mark.parametrize("history", [[4], [-1]])
def test_unknown_item(history):
    with pytest.raises(UnknownItemError, match="history 1: item"):
        mean().encode([[0], history])


@pytest.mark.parametrize("history", [[0.5], ["a"], 7, ([0, 1], [3])])
def test_not_a_history(history):
    with pytest.raises(ParameterError, match="history 0"):
        mean().encode([history])


@pytest.mark.parametrize("settings", [{"decay": 0}, {"decay": 1.1}, {"half_life_days": 0}])
def test_wrong_settings(settings):
    with pytest.raises(ParameterError, match=next(iter(settings))):
        HistoryMean(**settings)


def test_fingerprint_depends_on_the_items():
    one = mean().fingerprint
    assert mean().fingerprint == one
    assert HistoryMean().with_items(VECTORS).fingerprint != one
    assert HistoryMean().with_items(2 * VECTORS, HAS_VECTOR).fingerprint != one


def test_saved_with_the_items(tmp_path):
    encoder = mean(decay=0.5)
    again = mm.encoders.load(encoder.save(tmp_path / "mean"))
    np.testing.assert_array_equal(again.encode([[0, 1, 3]]), encoder.encode([[0, 1, 3]]))


# -- profiles ------------------------------------------------------------------------------------------------------
def test_profiles_by_hand(events):
    features = mm.data.Features(
        {"image": VECTORS, "text": np.arange(4)[:, None]}, {"image": HAS_VECTOR, "text": [True, False, True, True]}
    )
    found = profiles(events, features)
    np.testing.assert_allclose(found["image"], [[1.5, 1], [0, 0], [0, 0]])
    np.testing.assert_allclose(found["text"], [[1], [0], [3]])
    assert found.mask["image"].tolist() == [True, False, False]
    assert found.mask["text"].tolist() == [True, False, True]
    aged = profiles(events, features.only("image"), half_life_days=10)
    np.testing.assert_allclose(aged["image"][0], [2 / 1.5, 1 / 1.5], rtol=1e-6)


def test_profiles_equal_the_encoder(blocks):
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    features = mm.data.Features({"image": vectors}, {"image": np.arange(30) % 4 > 0})
    for settings in ({"decay": 0.8}, {"encoder": "history-attention", "epochs": 1}):
        found = profiles(blocks, features, **settings)
        encoder = mm.encoders.create(settings.pop("encoder", "history-mean"), **settings)
        encoder.with_items(vectors, features.mask["image"]).fit(histories(blocks))
        np.testing.assert_allclose(found["image"], encoder.encode(histories(blocks)), rtol=1e-5, atol=1e-6)


def test_profiles_are_made_of_items(blocks):
    with pytest.raises(ParameterError, match="history-mean or history-attention"):
        profiles(blocks, mm.data.Features({"a": np.ones((30, 2))}), encoder="demographics")


# -- attention -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def noisy():
    """Items with a flag in the last dimension are noise; the others come in three kinds, and people stay with one."""
    rng = np.random.default_rng(0)
    vectors = np.zeros((40, 5), np.float32)
    vectors[:30, :3] = np.eye(3)[np.arange(30) % 3] + 0.1 * rng.normal(size=(30, 3))
    vectors[30:, 3:] = [0.5, 1.0]
    vectors[30:, :3] = rng.normal(size=(10, 3))
    # own, noise, own or noise, own, own: wherever there is a choice of weights, the next item is of the person's kind
    people = []
    for n in range(300):
        own = rng.choice(np.arange(n % 3, 30, 3), 2, replace=False)
        people.append(np.insert(own, n % 2, rng.integers(30, 40)))
    return vectors, people


@pytest.fixture(scope="module")
def attentive(noisy):
    vectors, people = noisy
    return HistoryAttention(epochs=15, batch_size=64, learning_rate=0.02).with_items(vectors).fit(people)


def test_attention_begins_as_the_mean(noisy):
    vectors, people = noisy
    encoder = HistoryAttention(epochs=1, learning_rate=1e-9).with_items(vectors).fit(people)
    plain = HistoryMean().with_items(vectors)
    np.testing.assert_allclose(encoder.encode(people), plain.encode(people), atol=1e-5)


def test_attention_learns_which_items_say_nothing(noisy, attentive):
    weights = attentive.weights(noisy[1][:50])
    for history, weight in zip(noisy[1], weights, strict=False):
        assert weight.sum() == pytest.approx(1, abs=1e-5)
        assert len(weight) == len(history)
    noise = np.mean([w[h >= 30].mean() for h, w in zip(noisy[1], weights, strict=False)])
    signal = np.mean([w[h < 30].mean() for h, w in zip(noisy[1], weights, strict=False)])
    assert signal > 3 * noise
    loss = attentive.history_["loss"]
    assert loss[-1] < loss[0]


def test_attention_weights_are_those_of_the_vectors(noisy, attentive):
    history = noisy[1][0]
    weight = attentive.weights([history])[0]
    np.testing.assert_allclose(attentive.encode([history])[0], weight @ noisy[0][history], rtol=1e-4, atol=1e-5)


def test_attention_looks_at_the_newest_items_only(noisy):
    vectors, people = noisy
    encoder = HistoryAttention(epochs=1, max_length=2).with_items(vectors, np.arange(40) != 5).fit(people)
    weight = encoder.weights([[1, 2, 3, 5, 4], None])
    assert (weight[0] > 0).tolist() == [False, False, True, False, True]
    assert weight[1] is None


def test_attention_needs_two_items():
    with pytest.raises(DataError, match="two items"):
        HistoryAttention().with_items(VECTORS, HAS_VECTOR).fit([[0], [1, 3]])


def test_a_grown_catalogue_keeps_what_was_learned(noisy, attentive):
    vectors, people = noisy
    encoder = HistoryAttention(epochs=1).with_items(vectors).fit(people)
    before = encoder.encode(people[:3])
    encoder.with_items(np.concatenate([vectors, np.ones((2, 5), np.float32)]))
    np.testing.assert_allclose(encoder.encode(people[:3]), before, rtol=1e-5, atol=1e-6)
    encoder.with_items(np.ones((40, 3)))
    with pytest.raises(NotFittedError):
        encoder.encode(people[:3])


# -- texts and tables ----------------------------------------------------------------------------------------------
def test_user_text_is_the_mean_of_the_texts():
    encoder = UserText(decay=0.5)
    texts = ["a red bird", "two boats"]
    one, two = mm.encoders.create("minilm").encode(texts)
    found = encoder.run([texts, [None, "a red bird", " "], ["", None], None])
    np.testing.assert_allclose(found.vectors[0], (0.5 * one + two) / 1.5, atol=2e-3)
    np.testing.assert_allclose(found.vectors[1], one, atol=2e-3)
    assert found.mask.tolist() == [True, True, False, False]


def test_user_text_settings():
    with pytest.raises(ParameterError, match="must learn first"):
        UserText("tfidf")
    with pytest.raises(ParameterError, match="reads image"):
        UserText("hog")
    with pytest.raises(ParameterError, match="list of texts"):
        UserText().encode(["a red bird"])


def test_demographics_of_a_data_set():
    users = pd.DataFrame(
        {"age": [20, 40, 30, 30], "sex": ["F", "M", "F", None], "zip": [f"{n}" for n in range(4)]},
        index=pd.Index(list("abcd"), name="user"),
    )
    events = mm.data.Interactions([0], [0], n_users=4, n_items=1)
    data = mm.data.Dataset(events, users, pd.DataFrame(index=pd.Index(["x"], name="item")))
    encoder = mm.encoders.create("demographics", max_levels=3, min_count=1)
    rows = encoder.items_of(data, "users")
    vectors = encoder.fit(rows).encode(rows)
    assert encoder.left_out_ == ["zip"]
    np.testing.assert_allclose(vectors[:, 0], np.array([-10, 10, 0, 0]) / np.sqrt(50), rtol=1e-5)
    assert vectors[:, 1:].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]  # other, F, M
