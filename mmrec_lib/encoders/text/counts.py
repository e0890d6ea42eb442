"""Texts as counts of their words: bag of words, and TF-IDF with or without a reduction by SVD."""

from __future__ import annotations

import numpy as np

from ...errors import NotFittedError
from .words import WordEncoder, check_flag, check_whole, most_frequent


class BagOfWords(WordEncoder):
    """How often each of the most frequent words occurs in a text.

    Parameters
    ----------
    dim : int or None, default 2000
        Words at most; None: all. A small corpus has fewer, and ``dim`` says how many once it is fitted.
    language, stop_words, stem, chinese
        See :func:`~mmrec_lib.encoders.text.tokenize`.
    ngrams : int, default 1
        2 also counts pairs of neighbouring words, 3 also triples.
    min_count : int, default 1
        Occurrences in the corpus that a word needs.

    Attributes
    ----------
    words_ : list of str
        The word of each column, the most frequent first.
    """

    name = "bow"
    needs_fit = True
    batch_sizes = {"cpu": 1024}  # noqa: RUF012

    def __init__(
        self, dim: int | None = 2000, language: str = "auto", stop_words: bool = True, stem: bool = True,
        chinese: str = "words", ngrams: int = 1, min_count: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(language, stop_words, stem, chinese)
        self._dim = check_whole("dim", dim, none=True)
        self.ngrams = check_whole("ngrams", ngrams)
        self.min_count = check_whole("min_count", min_count)

    def get_params(self):
        return super().get_params() | {"dim": self._dim}

    @property
    def dim(self) -> int:
        """Columns: as many as were learned; before, as many as were asked for."""
        return _known(self, getattr(self, "words_", None), self._dim)

    def _fit(self, items, labels, device) -> None:
        texts = [self._open(item) for item in items]
        self.words_ = list(most_frequent(map(self._terms(), texts), self._dim, self.min_count))

    def _terms(self):
        """The function that makes words (and their n-grams) out of a list of words."""
        return _vectorizer(self.ngrams).build_analyzer()

    def _count(self, batch: list[list[str]]):
        return _vectorizer(self.ngrams, self.words_).transform(batch)

    def _encode(self, batch, device):
        return self._count(batch).toarray()


class TfIdf(BagOfWords):
    """Words weighted by their rarity, reduced to few dimensions by a singular value decomposition.

    A word that stands :math:`c` times in a text and in :math:`n_w` of :math:`n` texts weighs
    :math:`c \\, (1 + \\ln \\frac{1 + n}{1 + n_w})`; each text has length 1 (Salton and Buckley, 1988). The
    decomposition brings words that occur in the same texts together (Deerwester et al., 1990).

    Parameters
    ----------
    dim : int or None, default 256
        Dimensions after the decomposition, at most one less than there are words and texts; None: no decomposition,
        one column a word.
    max_words : int, default 20000
        Words at most.
    sublinear : bool, default False
        Let a word that occurs c times count 1 + ln c.
    min_count, ngrams, language, stop_words, stem, chinese
        See :class:`BagOfWords`.
    seed : int, default 0
        Of the decomposition (Halko, Martinsson and Tropp, 2011).

    Attributes
    ----------
    words_ : list of str
    idf_ : float array (n_words,)
    components_ : float array (dim, n_words)
        Only with a decomposition.
    """

    name = "tfidf"

    def __init__(
        self, dim: int | None = 256, language: str = "auto", stop_words: bool = True, stem: bool = True,
        chinese: str = "words", ngrams: int = 1, min_count: int = 1, max_words: int = 20_000,
        sublinear: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(dim, language, stop_words, stem, chinese, ngrams, min_count)
        self.max_words = check_whole("max_words", max_words)
        self.sublinear = check_flag("sublinear", sublinear)
        self.seed = check_whole("seed", seed, least=0)

    @property
    def dim(self) -> int:
        """Columns: as many as were learned; before, as many as were asked for."""
        learned = getattr(self, "words_", None) if self._dim is None else getattr(self, "components_", None)
        return _known(self, learned, self._dim)

    def _fit(self, items, labels, device) -> None:
        from sklearn.feature_extraction.text import TfidfTransformer

        texts = [self._open(item) for item in items]
        self.words_ = list(most_frequent(map(self._terms(), texts), self.max_words, self.min_count))
        counts = self._count(texts)
        self.idf_ = TfidfTransformer(sublinear_tf=self.sublinear).fit(counts).idf_
        if self._dim is not None:
            self.components_ = self._decompose(self._weigh(counts))

    def _decompose(self, weighted) -> np.ndarray:
        from sklearn.decomposition import TruncatedSVD

        dim = min(self._dim, min(weighted.shape) - 1)
        if dim < 1:  # a single text or word: nothing to reduce
            return np.eye(1, weighted.shape[1])
        return TruncatedSVD(dim, n_iter=7, random_state=self.seed).fit(weighted).components_

    def _weigh(self, counts):
        """Counts to rows of length 1, as scikit-learn's TfidfTransformer does, from the weights alone."""
        from sklearn.preprocessing import normalize

        counts = counts.astype(np.float64)
        if self.sublinear:
            counts.data = np.log(counts.data) + 1
        return normalize(counts.multiply(self.idf_).tocsr())

    def _encode(self, batch, device):
        weighted = self._weigh(self._count(batch))
        return weighted.toarray() if self._dim is None else weighted @ self.components_.T


def _vectorizer(ngrams: int, words: list[str] | None = None):
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(
        tokenizer=_as_it_is, preprocessor=_as_it_is, token_pattern=None, ngram_range=(1, ngrams), vocabulary=words
    )


def _as_it_is(words: list[str]) -> list[str]:
    return words


def _known(encoder, learned, asked: int | None) -> int:
    if learned is None and asked is None:
        raise NotFittedError(f"{encoder.name}: with dim=None the length of a vector is known only after fit")
    return asked if learned is None else len(learned)
