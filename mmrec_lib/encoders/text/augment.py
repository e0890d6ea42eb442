"""Variants of texts that should mean the same: words replaced by synonyms, left out, or moved.

After Wei and Zou (2019). Works on texts as they are shown, in any language that
:func:`~mmrec_lib.encoders.text.split_words` can divide into words; blanks and punctuation stay where they are. Each
function takes a share of the words and a seed, and gives the same variant for the same text, share and seed.

>>> drop_words("A very small red fire truck.", share=0.4, seed=1)
'A very red truck.'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...errors import ParameterError
from .cleaning import split_pieces
from .words import check_between, check_whole

Seed = int | np.random.Generator


def replace_synonyms(text: str, synonyms: Mapping[str, Sequence[str]], share: float = 0.2, seed: Seed = 0) -> str:
    """Replace a share of the words that have synonyms, at least one of them, each by one of its synonyms.

    Parameters
    ----------
    synonyms
        Word (lower case) to words that mean the same: a thesaurus of your own, or :func:`nearest_words`.
    share
        Of the words that have a synonym, from 0 to 1; 0 leaves the text alone.
    seed
        A number, or a generator that is drawn from.

    >>> replace_synonyms("A big dog.", {"big": ["large"], "dog": ["hound"]}, share=1)
    'A large hound.'
    """
    pieces, words = split_pieces(text)
    known = [at for at in words if synonyms.get(pieces[at].casefold())]
    rng = np.random.default_rng(seed)
    for at in _some(known, share, rng):
        options = synonyms[pieces[at].casefold()]
        pieces[at] = _in_case_of(pieces[at], options[rng.integers(len(options))])
    return "".join(pieces)


def drop_words(text: str, share: float = 0.2, seed: Seed = 0) -> str:
    """Leave each word out with probability ``share``; at least one word stays.

    >>> drop_words("one two three four", share=1, seed=0) in ("one", "two", "three", "four")
    True
    """
    check_between("share", share, 0, 1)
    pieces, words = split_pieces(text)
    rng = np.random.default_rng(seed)
    draws = rng.random(len(words))
    dropped = {at for at, draw in zip(words, draws, strict=True) if draw < share}
    if words and len(dropped) == len(words):
        dropped.remove(words[int(rng.integers(len(words)))])
    if not dropped:
        return text
    return " ".join("".join(piece for at, piece in enumerate(pieces) if at not in dropped).split())


def swap_words(text: str, share: float = 0.2, seed: Seed = 0) -> str:
    """Let pairs of words change places: as many pairs as ``share`` of the words, at least one.

    >>> swap_words("black cat", seed=0)
    'cat black'
    """
    pieces, words = split_pieces(text)
    check_between("share", share, 0, 1)
    rng = np.random.default_rng(seed)
    if len(words) < 2 or not share:
        return text
    for _ in range(max(1, round(share * len(words)))):
        a, b = rng.choice(words, 2, replace=False)
        pieces[a], pieces[b] = pieces[b], pieces[a]
    return "".join(pieces)


def variants(
    texts: Sequence[str | None], change: Callable[..., str], times: int = 1, seed: int = 0, **options
) -> tuple[list[str | None], np.ndarray]:
    """The texts, and ``times`` variants of each.

    Parameters
    ----------
    change
        :func:`drop_words`, :func:`swap_words`, :func:`replace_synonyms`, or any ``change(text, seed=..., **options)``.
        A text's variants do not depend on the other texts.
    times
        Variants of each text.

    Returns
    -------
    texts : list
        First the originals, then all first variants, then all second ones; ``None`` stays ``None``.
    source : int array
        Row of the original of each, for labels: ``labels[source]``. Make variants of training items only.

    >>> texts, source = variants(["red bus", None], drop_words, times=2, share=0.0)
    >>> texts, source.tolist()
    (['red bus', None, 'red bus', None, 'red bus', None], [0, 1, 0, 1, 0, 1])
    """
    check_whole("times", times, least=0)
    check_whole("seed", seed, least=0)
    made = list(texts)
    for time in range(times):
        for row, text in enumerate(texts):
            rng = np.random.default_rng([seed, row, time])
            made.append(None if text is None else change(text, seed=rng, **options))
    return made, np.tile(np.arange(len(texts)), times + 1)


def nearest_words(
    words: Sequence[str], vectors: np.ndarray, k: int = 3, least: float = 0.6, most_words: int = 20_000
) -> dict[str, list[str]]:
    """A thesaurus from word vectors: each word's ``k`` nearest by cosine, if the cosine is at least ``least``.

    Words that stand in the same places are near, *hot* and *cold* as much as *hot* and *warm*: look at the result.

    Parameters
    ----------
    words, vectors
        ``words_`` and ``vectors_`` of a :class:`~mmrec_lib.encoders.text.word_vectors.Word2Vec`, or what
        :func:`~mmrec_lib.encoders.text.word_vectors.read_word_vectors` gives.
    most_words
        Only the first so many words, since each is compared with each.
    """
    check_whole("k", k)
    check_between("least", least, -1, 1)
    if len(words) != len(vectors):
        raise ParameterError(f"{len(words)} words and {len(vectors)} vectors: give one each")
    vectors = np.asarray(vectors[:most_words], np.float32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    thesaurus = {}
    for start in range(0, len(unit), 1024):
        cosine = unit[start : start + 1024] @ unit.T
        cosine[np.arange(len(cosine)), np.arange(start, start + len(cosine))] = -np.inf
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        for row, near in enumerate(nearest):
            good = [words[at] for at in near if cosine[row, at] >= least]
            if good:
                thesaurus[words[start + row]] = good
    return thesaurus


def _some(places: list[int], share: float, rng: np.random.Generator) -> list[int]:
    """A share of the places, drawn at random, at least one; in order."""
    check_between("share", share, 0, 1)
    if not places or not share:
        return []
    return sorted(rng.choice(places, max(1, round(share * len(places))), replace=False).tolist())


def _in_case_of(word: str, other: str) -> str:
    return other[:1].upper() + other[1:] if word[:1].isupper() else other
