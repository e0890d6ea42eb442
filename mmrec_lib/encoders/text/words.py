"""What encoders that look at single words share: how a text becomes words, and which words are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ...errors import DataError, ParameterError
from ..base import Encoder
from .cleaning import check_chinese, check_language, tokenize


class WordEncoder(Encoder):
    """Base of encoders that see a text as a list of words, as :func:`tokenize` gives them.

    Parameters
    ----------
    language : str, default "auto"
    stop_words : bool
        Leave out function words.
    stem : bool
        Cut endings off.
    chinese : {"words", "characters"}
        What counts as a word of Chinese.
    """

    modality = "text"

    def __init__(self, language: str, stop_words: bool, stem: bool, chinese: str) -> None:
        self.language = check_language(language)
        self.stop_words = check_flag("stop_words", stop_words)
        self.stem = check_flag("stem", stem)
        self.chinese = check_chinese(chinese)

    def _open(self, item: str) -> list[str]:
        return tokenize(item, self.language, stop_words=self.stop_words, stem=self.stem, chinese=self.chinese)


def most_frequent(texts: Iterable[Sequence[str]], most: int | None = None, least: int = 1) -> dict[str, int]:
    """Words to their counts, the most frequent first, equal counts in alphabetical order: the same on every machine.

    Parameters
    ----------
    most
        Number of words kept at most; None: all.
    least
        Occurrences that a word needs.

    Raises :class:`DataError` when no word is left.
    """
    counts = Counter(word for text in texts for word in text)
    kept = sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word))[:most]
    if not kept:
        raise DataError(
            f"no word is left of {len(counts)} different ones: the texts may be empty or hold only function words "
            "(try stop_words=False), or min_count is too high"
        )
    return {word: counts[word] for word in kept}


def check_whole(name: str, value, least: int = 1, none: bool = False):
    """Return a whole number of at least ``least`` (or None where that is allowed), or raise ParameterError."""
    if value is None and none:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}{', or None' * none}")
    return value


def check_between(name: str, value, low: float, high: float) -> float:
    """Return a number from ``low`` to ``high``, or raise ParameterError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ParameterError(f"{name}={value!r}: give a number from {low} to {high}")
    return value


def check_flag(name: str, value) -> bool:
    """Return True or False, or raise ParameterError."""
    if not isinstance(value, bool):
        raise ParameterError(f"{name}={value!r}: give True or False")
    return value


def check_choice(name: str, value, choices: Sequence[str]) -> str:
    """Return one of the choices, or raise ParameterError."""
    if value not in choices:
        raise ParameterError(f"{name}={value!r}: choose one of {', '.join(choices)}")
    return value
