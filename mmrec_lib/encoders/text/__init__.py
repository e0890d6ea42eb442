"""Texts to vectors.

``clean`` and ``tokenize`` bring texts into one form; ``bow`` and ``tfidf`` count words, ``word2vec`` and ``glove`` take
the mean of word vectors, ``lstm`` reads words in order, ``minilm`` and the models of the hub were trained elsewhere on
far more text (:mod:`~mmrec_lib.encoders.text.transformer`). Variants of texts are made by
:mod:`~mmrec_lib.encoders.text.augment`.
"""

from __future__ import annotations

import importlib

from .cleaning import clean, guess_language, split_words, tokenize

#: Public name to the module that is loaded when it is first used.
_LAZY = {
    "BagOfWords": "counts",
    "TfIdf": "counts",
    "Word2Vec": "word_vectors",
    "GloVe": "word_vectors",
    "read_word_vectors": "word_vectors",
    "LSTMEncoder": "lstm",
    "drop_words": "augment",
    "nearest_words": "augment",
    "replace_synonyms": "augment",
    "swap_words": "augment",
    "variants": "augment",
}

__all__ = ["clean", "guess_language", "split_words", "tokenize", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
