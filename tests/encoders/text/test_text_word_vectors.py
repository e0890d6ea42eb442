"""Word vectors: learned, and read from published files."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.encoders.text import read_word_vectors
from mmrec_lib.errors import DataError, ParameterError

GLOVE = "the 0.1 0.2 -0.3\ncat 1 0 0\ndog 0 1e0 0\n. . . 0 0 5\n"
SEA, LAND = ["boat", "ship", "ferry"], ["car", "bus", "van"]


@pytest.fixture(scope="module")
def sentences():
    """Boats with sea words, cars with land words; words of one kind never stand together."""
    rng = np.random.default_rng(0)
    places = {"sea": (SEA, ["wave", "harbour", "sail"]), "land": (LAND, ["road", "wheel", "bridge"])}
    return [
        f"the {rng.choice(things)} near {rng.choice(near)} {rng.choice(near)}"
        for _ in range(300)
        for things, near in places.values()
    ]


@pytest.fixture
def glove_file(tmp_path):
    def write(content, name="vectors.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# -- word2vec ----------------------------------------------------------------------------------------------------
def test_words_in_like_company_are_near(sentences):
    encoder = mm.encoders.create("word2vec", dim=16, epochs=60, pooling="mean").fit(sentences)
    v = encoder.encode([*SEA, *LAND])
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    cosine = v @ v.T
    within = cosine[:3, :3][~np.eye(3, dtype=bool)].min()
    assert within > cosine[:3, 3:].max() + 0.2


def test_rare_words_count_more(sentences):
    encoder = mm.encoders.create("word2vec", dim=16, epochs=2).fit(sentences)
    weight = dict(zip(encoder.words_, encoder.weights_, strict=True))
    n = 300 * 2
    assert weight["the"] == pytest.approx(0.001 / (0.001 + n / (5 * n)), rel=1e-5)
    assert weight["boat"] > 2 * weight["the"]
    vectors = encoder.encode(sentences)
    assert np.abs(vectors @ encoder.shared_).max() < 1e-6  # taken out
    assert np.linalg.norm(encoder.shared_) == pytest.approx(1, abs=1e-5)


def test_mean_by_hand(sentences):
    encoder = mm.encoders.create("word2vec", dim=8, epochs=1, pooling="mean").fit(sentences)
    of = dict(zip(encoder.words_, encoder.vectors_, strict=True))
    got = encoder.encode(["boat BOAT car unknown", "unknown", "", None])
    np.testing.assert_allclose(got[0], (2 * of["boat"] + of["car"]) / 3, atol=1e-6)
    assert not got[1:].any()


def test_the_same_in_another_process(sentences):
    code = (
        "import sys, mmrec_lib as mm; t = sys.stdin.read().split('|');"
        "print(mm.encoders.create('word2vec', dim=8, epochs=1).fit(t).vectors_.tobytes().hex())"
    )
    here = mm.encoders.create("word2vec", dim=8, epochs=1).fit(sentences).vectors_
    there = subprocess.run([sys.executable, "-c", code], input="|".join(sentences), capture_output=True, text=True,
                           check=True)  # fmt: skip
    assert there.stdout.strip() == here.tobytes().hex()
    other = mm.encoders.create("word2vec", dim=8, epochs=1, seed=1).fit(sentences).vectors_
    assert not np.allclose(other, here)


# -- files of word vectors -----------------------------------------------------------------------------------------
def test_glove_format(glove_file):
    words, vectors = read_word_vectors(glove_file(GLOVE))
    assert words == ["the", "cat", "dog", ". . ."]
    assert vectors.dtype == np.float32
    assert vectors[3].tolist() == [0, 0, 5]


def test_word2vec_format_with_header_and_trailing_blanks(glove_file):
    words, vectors = read_word_vectors(glove_file("3 2\nthe 1 2 \ncat 3 4 \nthe 9 9\n"))
    assert words == ["the", "cat"]  # the first counts
    assert vectors.tolist() == [[1, 2], [3, 4]]


def test_mean_of_known_words(glove_file):
    encoder = mm.encoders.create("glove", path=glove_file(GLOVE))
    assert encoder.dim == 3
    got = encoder.encode(["The cat and the dog", "unknown", None, "Cats"])
    np.testing.assert_allclose(got, [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert mm.encoders.create("glove", path=glove_file(GLOVE), stop_words=False).encode(["the"])[0, 2] < 0


def test_max_words_reads_no_further(glove_file):
    path = glove_file("a 1\nb 2\nc broken\n")
    assert read_word_vectors(path, max_words=2)[0] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2\ncat 1\n", r"vectors.txt, line 2: a word and 2 numbers"),
        ("the 1 2\n\ncat 1 x\n", r"vectors.txt, line 3: .*'x'"),
        ("the 1 2\ncat nan 1\n", r"line 2: a number is not finite"),
        ("the 1 2\ncat 1 inf\n", r"line 2: a number is not finite"),
        ("2 2\nthe 1 2\ncat 1\n", r"line 3"),
        ("the\n", r"line 1: expected a word and its numbers"),
        ("", r"line 1: expected a word and its numbers"),
        ("2 2\n", r"no word vectors in it"),
        ("\ufeff\x00\x01", r"line 1"),
    ],
)
def test_bad_lines_are_named(content, message, glove_file):
    with pytest.raises(DataError, match=message):
        read_word_vectors(glove_file(content))


def test_what_is_no_text_does_not_crash_the_reader(glove_file):
    words, _ = read_word_vectors(glove_file(b"caf\xe9 1 2\nok 3 4\n"))
    assert words[1] == "ok"


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=60))
def test_any_file_is_read_or_refused_with_its_name(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "any.txt"
    path.write_bytes(content)
    message = ""
    try:
        words, vectors = read_word_vectors(path)
    except DataError as error:
        message = str(error)
    if message:
        assert "any.txt" in message
    else:
        assert len(words) == len(vectors) > 0
        assert np.isfinite(vectors).all()


def test_the_file_is_in_the_fingerprint_its_place_is_not(glove_file):
    one, two = (mm.encoders.create("glove", path=glove_file(GLOVE, n)) for n in ("a.txt", "b.txt"))
    assert one.fingerprint == two.fingerprint
    other = mm.encoders.create("glove", path=glove_file(GLOVE.replace("5", "6"), "c.txt"))
    assert other.fingerprint != one.fingerprint


def test_saved_it_still_needs_its_file(glove_file, tmp_path):
    path = glove_file(GLOVE)
    encoder = mm.encoders.create("glove", path=path)
    vectors = encoder.encode(["cat"])
    encoder.save(tmp_path / "kept")
    assert np.array_equal(mm.encoders.load(tmp_path / "kept").encode(["cat"]), vectors)
    path.unlink()
    with pytest.raises(ParameterError, match=r"no such file.*nlp\.stanford\.edu"):
        mm.encoders.load(tmp_path / "kept").encode(["cat"])


@pytest.mark.parametrize(
    ("name", "option"),
    [("word2vec", {"dim": 0}), ("word2vec", {"pooling": "max"}), ("word2vec", {"a": 0}), ("word2vec", {"window": 1.5}),
     ("glove", {})],
)  # fmt: skip
def test_settings_are_checked(name, option):
    with pytest.raises(ParameterError):
        mm.encoders.create(name, **option)
