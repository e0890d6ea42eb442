"""Texts as the mean of their words' vectors: learned from the texts themselves (word2vec), or read from a file."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from ...errors import DataError, MissingPackageError, ParameterError
from .. import hub
from .words import WordEncoder, check_between, check_choice, check_whole, most_frequent

_WHERE = "a file of word vectors, such as glove.6B.100d.txt from https://nlp.stanford.edu/projects/glove/"


class Word2Vec(WordEncoder):
    """Mean of word vectors that are learned from the texts by skip-gram with negative sampling.

    Mikolov et al., 2013: a word's vector has to tell which words stand near it. Texts without a known word get zeros.

    Parameters
    ----------
    dim : int, default 100
    window : int, default 5
        How many words away a neighbour may stand.
    epochs : int, default 30
        Passes over the texts; a catalogue is small, so there are more than for an encyclopaedia.
    negatives : int, default 10
        Random words against each neighbour.
    min_count : int, default 1
        Occurrences that a word needs.
    pooling : {"sif", "mean"}, default "sif"
        ``"sif"``: a word of frequency p weighs a / (a + p), and the direction that all texts share is taken out
        (smooth inverse frequency; Arora, Liang and Ma, 2017). ``"mean"``: all words alike.
    a : float, default 0.001
        The smaller, the less frequent words count.
    language, stop_words, stem, chinese
        See :func:`~mmrec_lib.encoders.text.tokenize`. Default: no stop words left out (rarity is the weight), no stems.
    seed : int, default 0
        The vectors are learned in one thread: the same seed gives the same vectors.

    Attributes
    ----------
    words_ : list of str
        The most frequent first.
    vectors_ : float32 array (n_words, dim)
    weights_ : float32 array (n_words,)
        Of each word in the mean.
    shared_ : float32 array (dim,)
        Direction that is taken out; zeros with ``pooling="mean"``.
    """

    name = "word2vec"
    needs_fit = True
    dim: int = 100  # an attribute here, a property in the base class
    batch_sizes = {"cpu": 1024}  # noqa: RUF012

    def __init__(
        self, dim: int = 100, window: int = 5, epochs: int = 30, negatives: int = 10, min_count: int = 1,
        pooling: str = "sif", a: float = 1e-3, language: str = "auto", stop_words: bool = False, stem: bool = False,
        chinese: str = "words", seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(language, stop_words, stem, chinese)
        self.dim = check_whole("dim", dim)
        self.window = check_whole("window", window)
        self.epochs = check_whole("epochs", epochs)
        self.negatives = check_whole("negatives", negatives)
        self.min_count = check_whole("min_count", min_count)
        self.pooling = check_choice("pooling", pooling, ("sif", "mean"))
        self.a = check_between("a", a, 1e-9, 1e9)
        self.seed = check_whole("seed", seed, least=0)

    def _fit(self, items, labels, device) -> None:
        texts = [self._open(item) for item in items]
        counts = most_frequent(texts, least=self.min_count)
        self.words_ = list(counts)
        self.vectors_ = self._learn(texts)
        self.weights_ = np.ones(len(counts), np.float32)
        self.shared_ = np.zeros(self.dim, np.float32)
        if self.pooling == "sif":
            share = np.array(list(counts.values())) / sum(map(len, texts))
            self.weights_ = (self.a / (self.a + share)).astype(np.float32)
            pooled = self._encode(texts, device)
            self.shared_ = np.linalg.svd(pooled, full_matrices=False)[2][0]

    def _learn(self, texts: list[list[str]]) -> np.ndarray:
        try:
            from gensim.models import Word2Vec as SkipGram
        except ImportError:
            raise MissingPackageError("gensim", "encoder 'word2vec'") from None
        # one worker and a hash that does not change from process to process; otherwise every run differs
        model = SkipGram(
            vector_size=self.dim, window=self.window, min_count=self.min_count, sg=1, negative=self.negatives,
            workers=1, seed=self.seed + 1, hashfxn=_hash,
        )  # fmt: skip
        model.build_vocab(texts)
        model.train(texts, total_examples=len(texts), epochs=self.epochs)
        return np.ascontiguousarray(model.wv[self.words_], np.float32)

    def _encode(self, batch, device):
        row = {word: i for i, word in enumerate(self.words_)}
        pooled = np.zeros((len(batch), self.dim), np.float32)
        for text, words in enumerate(batch):
            known = [row[word] for word in words if word in row]
            if known:
                pooled[text] = (self.weights_[known] @ self.vectors_[known]) / len(known)
        return pooled - np.outer(pooled @ self.shared_, self.shared_)


class GloVe(WordEncoder):
    """Mean of word vectors that were published as a text file.

    Reads the format of GloVe (Pennington, Socher and Manning, 2014; https://nlp.stanford.edu/projects/glove/), a word
    and its numbers on each line, and that of word2vec and fastText, which begins with a line of two numbers. Words that
    the file lacks are left out; a text without known words gets zeros.

    Parameters
    ----------
    path : str or Path
        The unpacked file, such as ``glove.6B.100d.txt``; vectors of any language.
    max_words : int or None, default 400000
        Lines read; published files begin with the most frequent words.
    language, stop_words, stem, chinese
        See :func:`~mmrec_lib.encoders.text.tokenize`. Default: stop words are left out (a file does not say how
        frequent a word is in your texts); no stems, because the file has whole words.

    Raises
    ------
    ParameterError
        No path; at first use, no such file.
    DataError
        At first use: a line that cannot be read, with file and line number.
    """

    name = "glove"
    batch_sizes = {"cpu": 1024}  # noqa: RUF012
    not_in_fingerprint = ("path",)  # what is in the file counts, not where it lies

    def __init__(
        self, path: str | Path | None = None, max_words: int | None = 400_000, language: str = "auto",
        stop_words: bool = True, stem: bool = False, chinese: str = "words",
    ) -> None:  # fmt: skip
        super().__init__(language, stop_words, stem, chinese)
        self.path = None if path is None else str(path)
        self.max_words = check_whole("max_words", max_words, none=True)
        self._table: tuple[dict[str, int], np.ndarray] | None = None
        if path is None:
            raise ParameterError(f"encoder 'glove' needs path=: {_WHERE}")

    @property
    def dim(self) -> int:
        """Numbers on the first line."""
        return _first_line(self._file())[1]

    def _file(self) -> Path:
        if not Path(self.path).is_file():
            raise ParameterError(f"path={self.path!r}: no such file; name {_WHERE}")
        return Path(self.path)

    def _weights_id(self) -> str:
        return hub.file_hash(self._file())

    def _encode(self, batch, device):
        if self._table is None:
            words, vectors = read_word_vectors(self._file(), self.max_words)
            self._table = {word: row for row, word in enumerate(words)}, vectors
        row, vectors = self._table
        pooled = np.zeros((len(batch), vectors.shape[1]), np.float32)
        for text, words in enumerate(batch):
            known = [row[word] for word in words if word in row]
            if known:
                pooled[text] = vectors[known].mean(axis=0)
        return pooled


def read_word_vectors(path: str | Path, max_words: int | None = None) -> tuple[list[str], np.ndarray]:
    """Words and vectors ``(n_words, dim)`` of a text file in the format of GloVe, or of word2vec with its header.

    Parameters
    ----------
    path
        UTF-8; on each line a word and ``dim`` numbers, divided by blanks. The word itself may hold blanks, as some
        do in ``glove.840B.300d.txt``. Of a word that comes twice, the first counts.
    max_words
        Lines read; None: all.

    Raises
    ------
    DataError
        A line with too few numbers, or with something that is no finite number; file and line are named.
    """
    path = Path(path)
    header, dim = _first_line(path)
    words: dict[str, int] = {}
    rows: list[np.ndarray] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if max_words is not None and len(words) >= max_words:
                break
            if (header and number == 1) or not line.strip():
                continue
            word, vector = _read_line(line, dim, f"{path}, line {number}")
            if word not in words:
                words[word] = len(rows)
                rows.append(vector)
    if not rows:
        raise DataError(f"{path}: no word vectors in it; expected a word and its numbers on each line")
    return list(words), np.stack(rows)


def _first_line(path: Path) -> tuple[bool, int]:
    """Has the file a header, and how long are its vectors?"""
    with open(path, "rb") as file:
        parts = file.readline().split()
    if len(parts) == 2 and all(part.isdigit() for part in parts):
        header, dim = True, int(parts[1])
    else:
        header, dim = False, sum(_is_number(part) for part in parts[1:])
    if dim < 1:
        raise DataError(f"{path}, line 1: expected a word and its numbers, or the number of words and of dimensions")
    return header, dim


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _read_line(line: bytes, dim: int, where: str) -> tuple[str, np.ndarray]:
    parts = line.decode("utf-8", "replace").rstrip().rsplit(" ", dim)
    if len(parts) != dim + 1 or not parts[0]:
        raise DataError(f"{where}: a word and {dim} numbers expected, found {len(parts) - 1} numbers")
    try:
        vector = np.array(parts[1:], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{where}: {error}; expected a word and {dim} numbers divided by blanks") from None
    if not np.isfinite(vector).all():
        raise DataError(f"{where}: a number is not finite")
    return parts[0], vector


def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))
