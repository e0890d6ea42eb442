"""How much vectors know: do they tell a label, by their neighbours and by a straight cut?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import DataError, ParameterError
from . import bootstrap
from .report import Report, summarise

_BLOCK = 2048  # rows of similarities at a time
_TIE = np.float32(1e-6)  # cosines that differ by less are equal but for rounding


def neighbour_accuracy(
    vectors: np.ndarray,
    labels: Sequence,
    mask: np.ndarray | None = None,
    k: int = 1,
    *,
    name: str = "neighbours",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Report:
    """Share of items whose ``k`` nearest neighbours (cosine) have the item's label by majority.

    Parameters
    ----------
    vectors : array (n, dim)
    labels
        One per item.
    mask : bool (n,), optional
        Items to look at; the others are neither asked nor neighbours.
    k
        Neighbours that vote; among equal votes the nearest decides. An item is never its own neighbour. Neighbours at
        the same cosine are taken in an order that is drawn anew for each item, never in that of the rows: a text that
        shares no word with any other would else have the first row as its neighbour, and catalogues are sorted.
    name
        Of the report.
    confidence, n_boot, seed
        Bootstrap interval over items; the seed is also that of the ties.

    Returns
    -------
    Report
        Metric ``"accuracy"``; ``per_user`` has a row an item (1 right, 0 wrong), so that
        :func:`~mmrec_lib.evaluation.compare` tests two encoders on the same items.
    """
    vectors, codes, rows = _checked(vectors, labels, mask)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k < len(rows):
        raise ParameterError(f"k={k!r}: give a whole number from 1 to {len(rows) - 1}, one less than there are items")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    right, rng = np.empty(len(rows), bool), np.random.default_rng(seed)
    for start in range(0, len(rows), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(rows)))
        similar = unit[block] @ unit.T + _TIE * rng.random((len(block), len(rows)), np.float32)
        similar[np.arange(len(block)), block] = -np.inf
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        right[block] = _vote(codes[nearest]) == codes[block]
    return _report(right, rows, name, confidence, n_boot, seed)


def linear_probe(
    vectors: np.ndarray,
    labels: Sequence,
    mask: np.ndarray | None = None,
    folds: int = 5,
    *,
    C: float = 1.0,
    name: str = "linear probe",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Report:
    """Cross-validated accuracy of a logistic regression on standardised vectors (Alain and Bengio, 2017).

    Parameters
    ----------
    vectors : array (n, dim)
    labels
        One per item; labels with fewer items than folds are missing from some training parts, and count as wrong there.
    mask : bool (n,), optional
        Items to look at.
    folds
        Each item is judged by a regression that was fitted on the other folds; folds are stratified and shuffled.
    C
        Inverse strength of the squared penalty.
    name, confidence, n_boot, seed
        Name of the report; bootstrap interval over items; seed of folds and bootstrap.

    Returns
    -------
    Report
        Metric ``"accuracy"``, a row an item, as in :func:`neighbour_accuracy`. The interval is over items and does not
        contain the chance of how the folds fell.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors, codes, rows = _checked(vectors, labels, mask)
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= len(rows):
        raise ParameterError(f"folds={folds!r}: give a whole number from 2 to {len(rows)}, the number of items")
    right = np.empty(len(rows), bool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        parts = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(vectors, codes))
    for train, test in parts:
        if len(np.unique(codes[train])) == 1:
            right[test] = codes[test] == codes[train[0]]
            continue
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000))
        right[test] = probe.fit(vectors[train], codes[train]).predict(vectors[test]) == codes[test]
    return _report(right, rows, name, confidence, n_boot, seed)


def _checked(vectors, labels, mask) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors and label codes of the items in ``mask``, and which items these are."""
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or len(labels) != len(vectors):
        raise DataError(f"vectors {vectors.shape} and {len(labels)} labels: one row and one label an item are needed")
    mask = np.ones(len(vectors), bool) if mask is None else np.asarray(mask, bool)
    if mask.shape != (len(vectors),):
        raise DataError(f"mask has shape {mask.shape}; expected ({len(vectors)},)")
    rows = np.flatnonzero(mask)
    if len(rows) < 2:
        raise DataError(f"{len(rows)} items are left by the mask; at least 2 are needed")
    if not np.isfinite(vectors[rows]).all():
        raise DataError("vectors hold NaN or infinity in rows that the mask keeps: mask these rows")
    labels = pd.Series(list(labels)).iloc[rows]
    if labels.isna().any():
        raise DataError(f"item {labels.index[labels.isna()][0]} has no label: leave it out by the mask")
    return vectors[rows].astype(np.float32), pd.factorize(labels)[0], rows


def _vote(labels: np.ndarray) -> np.ndarray:
    """The label that most neighbours have; of several, the one that comes first, which is the nearest neighbour's."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
    return labels[np.arange(len(labels)), votes.argmax(axis=1)]


def _report(right: np.ndarray, rows: np.ndarray, name: str, confidence: float, n_boot: int, seed: int) -> Report:
    bootstrap.check(confidence, n_boot)
    per_item = pd.DataFrame({"accuracy": right.astype(float)}, index=pd.Index(rows, name="item"))
    summary = summarise(per_item, {}, ["accuracy"], confidence, n_boot, seed)
    info = {"n_items": len(rows), "confidence": confidence, "n_boot": n_boot, "seed": seed}
    return Report(summary, per_item, name, info)
