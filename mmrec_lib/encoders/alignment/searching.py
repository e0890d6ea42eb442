"""What a common space is for: one medium finds another, and items get labels that nobody gave them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ... import ranking
from ...errors import FeatureError, ParameterError

#: Sentences for a label; the mean of several is steadier than one (Radford et al., 2021).
TEMPLATES = ("{}", "a picture of a {}", "a drawing of a {}", "this is a {}")


def search(
    query_vectors: np.ndarray, item_vectors: np.ndarray, mask: np.ndarray | None = None, k: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` items nearest to each query by cosine: ``(items, cosines)``, arrays ``(n_queries, k)``, best first.

    Parameters
    ----------
    query_vectors, item_vectors
        ``(n_queries, dim)`` and ``(n_items, dim)``, of one space; of any two modalities.
    mask : bool (n_items,), optional
        Items that can be found (``features.mask["image"]``). Where fewer than ``k`` are left, the rest of a list is -1.
    k
        Length of the lists.

    Works on blocks of queries, so that memory does not grow with their number.
    """
    queries, items = _unit(query_vectors), _unit(item_vectors)
    if queries.shape[1] != items.shape[1]:
        raise FeatureError(
            f"queries have {queries.shape[1]} dimensions and items {items.shape[1]}: they are not of one space; "
            "put both through an Alignment"
        )
    mask = np.ones(len(items), bool) if mask is None else np.asarray(mask, bool)
    if mask.shape != (len(items),) or not len(items):
        raise ParameterError(f"mask has shape {mask.shape} for {len(items)} items: give one entry an item")
    k = min(ranking.check_k(k), len(items))
    found, cosines = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    for block in ranking.blocks(np.arange(len(queries)), len(items)):
        scores = queries[block] @ items.T
        scores[:, ~mask] = -np.inf
        found[block], cosines[block] = ranking.top_k(scores, k)
    return found, cosines


def label_vectors(
    encode: Callable[[list[str]], np.ndarray], labels: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> np.ndarray:
    """One unit vector a label: the mean of the vectors of its sentences (Radford et al., 2021, section 3.1.4).

    Parameters
    ----------
    encode
        From a list of texts to vectors of the common space:
        ``lambda texts: alignment.map("text", minilm.encode(texts))``.
    labels
        Words.
    templates
        Sentences in which ``{}`` stands for the label.
    """
    if not len(labels) or not len(templates) or any("{}" not in template for template in templates):
        raise ParameterError("give at least one label, and templates in which {} stands for it")
    sentences = [template.format(label) for label in labels for template in templates]
    vectors = _unit(encode(sentences))
    return _unit(vectors.reshape(len(labels), len(templates), -1).mean(axis=1))


def zero_shot(item_vectors: np.ndarray, label_vectors: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """The nearest label of each item, though no item was ever labelled: numbers of labels ``(n_items,)``.

    Items that ``mask`` leaves out get -1. For more than the first label see :func:`search`, with items as queries.
    """
    best = search(item_vectors, label_vectors, k=1)[0][:, 0]
    return best if mask is None else np.where(mask, best, -1)


def _unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2:
        raise FeatureError(f"vectors must have shape (n, dim); got {vectors.shape}")
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
