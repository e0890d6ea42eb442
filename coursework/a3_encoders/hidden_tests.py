"""Hidden tests of assignment 3: the same questions with other inputs; points of a task are shared by its tests."""

from types import SimpleNamespace

import numpy as np
import pytest

from mmrec_lib import encoders
from mmrec_lib.coursework import a3
from mmrec_lib.encoders.audio import open_sound, spectra
from mmrec_lib.encoders.image.loading import read

SHOP = ["Two wooden boats.", "A wooden train.", "A train, a train, a train!", "Six eggs.", "A boat on the sea."]


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


# -- 1: TF-IDF
@pytest.mark.task(1)
def test_rarity_of_each_word(space):
    library = encoders.create("tfidf", dim=None).fit(SHOP)
    idf = space["idf_weights"](SHOP)
    assert set(idf) == set(library.words_), "the dictionary has exactly the words of the known texts"
    got = [idf[word] for word in library.words_]
    assert got == pytest.approx(library.idf_.tolist()), "1 + ln((1 + n) / (1 + n_w)), n_w counts texts and not words"


@pytest.mark.task(1)
def test_rows_of_new_texts(space):
    idf = {"train": 1.5, "boat": 2.0, "egg": 1.0}
    got = np.asarray(space["tfidf"](["A train and a train and a boat", "An egg"], idf))
    right = np.array([[3, 2, 0], [0, 0, 1]]) / np.array([[np.sqrt(13)], [1]])
    assert got == pytest.approx(right), "counts times idf, scaled to length 1, columns in the order of idf"


@pytest.mark.task(1)
def test_a_text_without_known_words(space):
    got = np.asarray(space["tfidf"](["An otter", "", "Eggs"], {"egg": 1.3}))
    assert got == pytest.approx(np.array([[0.0], [0], [1]])), "no known word: a row of zeros, not nan"


# -- 2: colours
@pytest.mark.task(2)
def test_edges_of_the_steps(space):
    pixels = np.full((1, 4, 4), 255, np.uint8)
    pixels[0, :, 0], pixels[0, :, 1:3] = [42, 43, 127, 128], 0
    got = np.asarray(space["colour_histogram"](pixels))
    assert got.shape == (216,), "216 numbers"
    assert got[[0, 36, 72, 108]].tolist() == pytest.approx([0.25] * 4), "steps are floor(6 v / 256): 42 is 0, 43 is 1"


@pytest.mark.task(2)
def test_opacity_weighs(space):
    pixels = np.zeros((2, 1, 4), np.uint8)
    pixels[0, 0], pixels[1, 0] = (0, 255, 0, 30), (200, 200, 10, 90)
    got = np.asarray(space["colour_histogram"](pixels))
    assert got[30] == pytest.approx(0.25), "a pixel counts by its opacity: 30 of 120"
    assert got.sum() == pytest.approx(1), "the shares sum to 1"


@pytest.mark.task(2)
def test_nothing_visible_and_a_picture(space, work):
    nothing = np.zeros((3, 3, 4), np.uint8)
    assert np.asarray(space["colour_histogram"](nothing))[0] == pytest.approx(1), "nothing visible: all count alike"
    path = work.data.media["image"][work.valid[3]]
    right = encoders.create("colour-histogram").encode([path])[0]
    got = space["colour_histogram"](np.asarray(read(path, 64).convert("RGBA")))
    assert np.asarray(got) == pytest.approx(right, abs=1e-6), f"the colours of {path.name}"


# -- 3: sound
@pytest.mark.task(3)
@pytest.mark.parametrize("n", [900, 1024, 1025, 4097])
def test_frames_power_and_decibels(space, n):
    wave = np.random.default_rng(n).normal(0, 0.2, n)
    right = spectra.log_mel(wave, 16_000, bands=6)
    got = np.asarray(space["log_mel"](wave, spectra.mel_filters(16_000, 6)))
    assert got.shape == right.shape, f"{n} samples make {len(right)} frames"
    assert got == pytest.approx(right, abs=0.02), "power of windowed frames, in decibels"


@pytest.mark.task(3)
def test_a_quiet_part_has_the_floor(space):
    wave = np.r_[np.zeros(3000), np.sin(np.arange(2000) / 5)]
    got = np.asarray(space["log_mel"](wave, spectra.mel_filters(22_050, 5)))
    assert got[0] == pytest.approx(np.full(5, -80.0)), "a frame of zeros has -80 decibels"


@pytest.mark.task(3)
def test_silence_and_a_real_sound(space, work):
    filters = spectra.mel_filters(22_050)
    assert space["sound_vector"](np.zeros(50), filters) is None, "silence throughout has no vector: None"
    heard = int(np.flatnonzero(work.features.mask["audio"])[-1])
    got = np.asarray(space["sound_vector"](open_sound(work.data.media["audio"][heard]), filters))
    assert got == pytest.approx(work.features["audio"][heard], rel=1e-3, abs=0.1), "means first, then deviations"


# -- 4: pooling
@pytest.mark.task(4)
def test_mean_of_real_tokens(space):
    rng = np.random.default_rng(4)
    states, mask = rng.normal(size=(5, 6, 3)), np.arange(6) < np.array([[1], [6], [2], [5], [3]])
    right = np.stack([s[m].mean(axis=0) for s, m in zip(states, mask, strict=True)])
    assert np.asarray(space["mean_pool"](states, mask)) == pytest.approx(right), "the mean over the real tokens"


@pytest.mark.task(4)
def test_padding_has_no_influence(space):
    states, mask = np.ones((2, 3, 2)), np.array([[True, True, False], [False, False, False]])
    states[~mask] = np.inf
    got = np.asarray(space["mean_pool"](states, mask))
    assert got == pytest.approx(np.array([[1.0, 1], [0, 0]])), "padding of infinity; a sentence without tokens is zeros"


# -- 5: search
@pytest.mark.task(5)
def test_lengths_do_not_matter(space):
    rng = np.random.default_rng(5)
    queries, items = rng.normal(size=(4, 6)), rng.normal(size=(20, 6))
    has = np.ones(20, bool)
    right = np.argsort(-(unit(queries) @ unit(items).T), axis=1)[:, :7]
    scaled = items * rng.uniform(0.01, 50, (20, 1))
    got = np.asarray(space["search"](queries * 9, scaled, has, 7))
    assert got.tolist() == right.tolist(), "cosine: longer vectors are no nearer"


@pytest.mark.task(5)
def test_absent_items_are_never_found(space):
    items = -np.eye(4)
    items[1] = 0
    got = np.asarray(space["search"](np.ones((1, 4)), items, np.array([True, False, True, True]), 3))
    assert sorted(got[0].tolist()) == [0, 2, 3], "an item without a vector is never found"


@pytest.mark.task(5)
def test_recall(space):
    found = np.array([[4, 2, 1], [0, 3, 5], [7, 8, 9], [1, 6, 2]])
    own = np.array([2, 5, 0, 1])
    got = [space["recall_at_k"](found, own, k) for k in (1, 2, 3)]
    assert got == pytest.approx([0.25, 0.5, 0.75]), "share of queries whose own item is among the first k"


# -- 6: probe
@pytest.mark.task(6)
def test_scaler_of_training_rows(space):
    rng = np.random.default_rng(6)
    X, train = rng.normal(3, 2, (30, 4)), np.arange(5, 20)
    X[:, 2] = 1.5
    got = np.asarray(space["standardise"](X.copy(), train))
    right = (X - X[train].mean(axis=0)) / np.where(X[train].std(axis=0) > 1e-8, X[train].std(axis=0), 1)
    assert got == pytest.approx(right), "mean and deviation of the training rows; a constant column is only shifted"


@pytest.mark.task(6)
@pytest.mark.parametrize("seed", [16, 28])
def test_probe_chooses_on_validation(space, seed):
    (X, y, parts, penalties), (right, *_) = a3.puzzle(seed)
    got = space["probe"](X, y, *parts, penalties)
    assert got["C"] == right["C"], "C is the one with the highest accuracy on the validation rows"
    assert got["accuracy"] == pytest.approx(right["accuracy"]), "accuracy on the test rows, for that C"
    assert np.asarray(got["right"]).tolist() == right["right"].tolist(), "one truth value for each test row"


@pytest.mark.task(6)
def test_probe_of_own_pictures(space, work):
    X, parts = work.features["image"][:, :40], (work.train, work.valid, work.test)
    penalties = (0.001, 0.01)
    got, right = space["probe"](X, work.label, *parts, penalties), a3.fitted(X, work.label, *parts, penalties)
    assert got["accuracy"] == pytest.approx(right["accuracy"], abs=1.01 / len(work.test)), "the probe of your pictures"


# -- 7: InfoNCE
def loss_of(U, V, temperature):
    S = unit(U) @ unit(V).T / temperature
    rows = np.diag(S) - np.logaddexp.reduce(S, axis=1)
    columns = np.diag(S) - np.logaddexp.reduce(S, axis=0)
    return -(rows.mean() + columns.mean()) / 2


@pytest.mark.task(7)
@pytest.mark.parametrize("temperature", [0.07, 1.0, 3.0])
def test_loss_of_random_pairs(space, temperature):
    rng = np.random.default_rng(7)
    U, V = rng.normal(size=(8, 5)), 4 * rng.normal(size=(8, 5))
    right = loss_of(U, V, temperature)
    assert space["info_nce"](U, V, temperature) == pytest.approx(right), "both directions, lengths 1, temperature"


@pytest.mark.task(7)
def test_loss_at_a_low_temperature(space):
    U, V = np.array([[1.0, 0], [0, 1]]), np.array([[0.0, 1], [1, 0]])
    got = space["info_nce"](U, V, 0.0005)
    assert got == pytest.approx(2000, abs=1), "partners exchanged at temperature 0.0005: 2000, neither inf nor nan"


# -- 8: missing
@pytest.mark.task(8)
def test_scaling_over_what_is_there(space):
    rng = np.random.default_rng(8)
    vectors, has = rng.normal(50, 3, (40, 3)), rng.random(40) < 0.3
    vectors[~has] = 0
    got = np.asarray(space["scale_present"](vectors.copy(), has))
    assert got[has].mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9), "mean 0 over the rows that have a vector"
    assert got[has].std(axis=0) == pytest.approx(np.ones(3)), "deviation 1 over the rows that have a vector"
    assert not got[~has].any(), "rows without a vector stay exactly 0"


@pytest.mark.task(8)
def test_similarity_over_shared_modalities(space):
    rng = np.random.default_rng(9)
    vectors = {m: rng.normal(size=(6, d)) for m, d in (("a", 3), ("b", 2), ("c", 4))}
    has = {m: rng.random(6) < 0.6 for m in vectors}
    vectors = {m: np.where(has[m][:, None], x, 0) for m, x in vectors.items()}
    got = np.asarray(space["similarity"](vectors, has))
    for i in range(6):
        for j in range(6):
            shared = [float(unit(x)[i] @ unit(x)[j]) for m, x in vectors.items() if has[m][i] and has[m][j]]
            assert got[i, j] == pytest.approx(np.mean(shared) if shared else 0), "mean over the modalities both have"


@pytest.mark.task(8)
def test_what_stands_in_an_absent_row_does_not_matter(space):
    vectors = {"a": np.eye(3), "b": np.array([[1.0, 2], [3, 4], [99, 99]])}
    has = {"a": np.ones(3, bool), "b": np.array([True, True, False])}
    got = np.asarray(space["similarity"](vectors, has))
    assert got[0, 2] == pytest.approx(0.0), "what stands in a row that is absent must not count"


# -- 9: interval
@pytest.mark.task(9)
def test_interval_of_people(space):
    rng = np.random.default_rng(10)
    a = rng.beta(1, 4, 600)
    b = a + rng.normal(0.02, 0.1, 600)
    difference, low, high = space["paired_interval"](a, b, n_boot=3000, seed=1)
    half = 1.96 * (a - b).std() / np.sqrt(600)
    assert difference == pytest.approx((a - b).mean()), "the mean of a - b"
    assert low == pytest.approx(difference - half, abs=0.15 * half), "the 2.5 % quantile of the bootstrap means"
    assert high == pytest.approx(difference + half, abs=0.15 * half), "the 97.5 % quantile of the bootstrap means"


@pytest.mark.task(9)
def test_people_are_drawn_with_both_scores(space):
    a = np.linspace(0, 1, 50)
    difference, low, high = space["paired_interval"](a, a + 0.25)
    assert (difference, low, high) == pytest.approx((-0.25,) * 3), "all agree: the interval is a point"


# -- 10: comparison
def dealt(work, seed):
    """The same shop with held-out clicks divided anew."""
    held = a3.Interactions.concat([work.split.valid, work.split.test])
    first = np.random.default_rng(seed).random(len(held)) < 0.5
    parts = a3.Split(work.split.train, held.select(first), held.select(~first))
    return SimpleNamespace(features=work.features, split=parts, data=work.data)


@pytest.mark.task(10)
@pytest.mark.parametrize("way", ["own", "anew", "opposed"])
def test_comparison(space, work, way):
    shop = {"own": lambda: work, "anew": lambda: dealt(work, 1), "opposed": lambda: a3.opposed(work)}[way]()
    got, right = space["compare_encoders"](shop), a3.compared(shop)
    assert dict(got["k"]) == right["k"], "k of each encoder is chosen on validation"
    for name in ("text", "image", "difference"):
        assert got[name] == pytest.approx(right[name], abs=2e-4), f"{name}: judged on the test part, with the chosen k"
    wide = 0.12 * (right["ci_high"] - right["ci_low"])
    assert got["ci_low"] == pytest.approx(right["ci_low"], abs=wide), "the paired interval"
    assert got["ci_high"] == pytest.approx(right["ci_high"], abs=wide), "the paired interval"
