"""Bag of words and TF-IDF."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

import mmrec_lib as mm
from mmrec_lib.encoders.text import tokenize
from mmrec_lib.errors import DataError, NotFittedError, ParameterError

TEXTS = ["A red apple.", "A red car", "The car, a fast car!"]


def test_counts_by_hand():
    bow = mm.encoders.create("bow").fit(TEXTS)
    assert bow.words_ == ["car", "red", "appl", "fast"]  # by count, then by alphabet
    assert bow.encode(TEXTS).tolist() == [[0, 1, 1, 0], [1, 1, 0, 0], [2, 0, 0, 1]]
    assert bow.encode(["Red, red; unknown", "", None]).tolist() == [[0, 2, 0, 0], [0] * 4, [0] * 4]


def test_dim_is_the_truth_after_fit_and_settings_stay():
    bow = mm.encoders.create("bow", dim=3)
    assert bow.dim == 3
    assert bow.fit(TEXTS).dim == 3
    assert mm.encoders.create("bow").fit(TEXTS).dim == 4
    assert mm.encoders.create("bow").fit(TEXTS).get_params()["dim"] == 2000
    assert mm.encoders.create("bow", dim=None).fit(TEXTS).dim == 4
    assert mm.encoders.create("tfidf").fit(TEXTS).dim == 2  # one less than the texts
    with pytest.raises(NotFittedError, match="after fit"):
        _ = mm.encoders.create("tfidf", dim=None).dim


def test_pairs_and_rare_words():
    pairs = mm.encoders.create("bow", ngrams=2, min_count=2).fit(["red car", "red car", "a red bus"])
    assert pairs.words_ == ["red", "car", "red car"]


def test_chinese_characters_share_what_words_do_not():
    birds = ["黑鸟", "白鸟"]
    characters = mm.encoders.create("bow", chinese="characters").fit(birds)
    assert characters.words_ == ["鸟", "白", "黑"]
    assert (characters.encode(birds) @ characters.encode(birds).T).tolist() == [[2, 1], [1, 2]]


def test_tfidf_by_hand():
    tfidf = mm.encoders.create("tfidf", dim=None).fit(TEXTS)
    twice, once = 1 + np.log(4 / 3), 1 + np.log(4 / 2)  # words in two and in one of three texts
    expected = np.array([[0, twice, once, 0], [twice, twice, 0, 0], [2 * twice, 0, 0, once]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(tfidf.encode(TEXTS), expected, rtol=1e-6)


@pytest.mark.parametrize("sublinear", [False, True])
def test_tfidf_agrees_with_scikit_learn(sublinear):
    texts = [*TEXTS, "Car car car car", "一辆红色的汽车", "红色的苹果"]
    tfidf = mm.encoders.create("tfidf", dim=None, sublinear=sublinear, ngrams=2).fit(texts)
    peer = TfidfVectorizer(analyzer="word", tokenizer=tokenize, token_pattern=None, lowercase=False,
                           sublinear_tf=sublinear, ngram_range=(1, 2)).fit(texts)  # fmt: skip
    theirs = peer.transform(texts).toarray()[:, [peer.vocabulary_[word] for word in tfidf.words_]]
    np.testing.assert_allclose(tfidf.encode(texts), theirs, atol=1e-6)


def test_svd_keeps_scalar_products_when_nothing_is_cut():
    texts = [f"{a} {b}" for a in ("red", "blue", "old") for b in ("car", "bus", "ship", "kite")]
    full = mm.encoders.create("tfidf", dim=None).fit(texts).encode(texts)
    reduced = mm.encoders.create("tfidf", dim=6).fit(texts).encode(texts)  # seven words, rank six
    np.testing.assert_allclose(reduced @ reduced.T, full @ full.T, atol=1e-5)


def test_words_that_share_texts_come_together():
    texts = ["boat sea", "ship sea", "boat harbour", "ship harbour", "cat milk", "cat fur"] * 2
    tfidf = mm.encoders.create("tfidf", dim=2).fit(texts)
    boat, ship, cat = tfidf.encode(["boat", "ship", "cat"])
    assert boat @ ship > 0.9 * np.linalg.norm(boat) * np.linalg.norm(ship)  # never in one text
    assert abs(boat @ cat) < 1e-6


@pytest.mark.parametrize("name", ["bow", "tfidf"])
def test_same_corpus_same_vectors_and_saving(name, tmp_path):
    first, second = (mm.encoders.create(name).fit(TEXTS) for _ in range(2))
    assert np.array_equal(first.encode(TEXTS), second.encode(TEXTS))
    first.save(tmp_path / "kept")
    kept = mm.encoders.load(tmp_path / "kept")
    assert np.array_equal(kept.encode(["red car"]), first.encode(["red car"]))
    assert kept.fingerprint == first.fingerprint
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {"encoder.json", "encoder.safetensors"}


@pytest.mark.parametrize("name", ["bow", "tfidf", "word2vec"])
def test_a_corpus_of_function_words_is_refused_with_a_remedy(name):
    encoder = mm.encoders.create(name, stop_words=True)
    with pytest.raises(DataError, match="stop_words=False"):
        encoder.fit(["the", "of the", "!"])


@pytest.mark.parametrize("name", ["bow", "tfidf"])
def test_a_single_text_is_enough(name):
    vectors = mm.encoders.create(name).fit(["red"]).encode(["red", "blue"])
    assert vectors.shape == (2, 1)
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize(
    ("name", "option"),
    [("bow", {"dim": 0}), ("bow", {"ngrams": 0}), ("bow", {"language": "xx"}), ("bow", {"stem": "yes"}),
     ("tfidf", {"dim": 2.5}), ("tfidf", {"sublinear": 1}), ("tfidf", {"seed": -1}), ("tfidf", {"min_count": True})],
)  # fmt: skip
def test_settings_are_checked(name, option):
    with pytest.raises(ParameterError, match=f"{next(iter(option))}="):
        mm.encoders.create(name, **option)
