"""Evaluation of ranked lists: every unseen item of the catalogue competes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from .. import ranking
from ..data import Features, Interactions
from ..errors import DataError, ParameterError, UnknownItemError, UnknownUserError
from . import bootstrap
from .groups import group_matrix
from .metrics import DEFAULT, Lists, auc, check_needs, wanted
from .report import Report, summarise


def evaluate(
    model,
    test: Interactions,
    train: Interactions | None = None,
    ks: int | Sequence[int] = (10, 20),
    metrics: str | Sequence[str] = DEFAULT,
    users=None,
    exclude: Interactions | None = None,
    features: Features | np.ndarray | None = None,
    n_negatives: int | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    device="auto",
    name: str | None = None,
    groups=None,
    candidates=None,
) -> Report:
    """Rank all items for every user who has test items, and judge the lists.

    Parameters
    ----------
    model
        Any object with ``score(users)`` that returns an array or tensor ``(len(users), n_items)``, higher is better.
        Scores are compared as float32; minus infinity means "never recommend".
    test : Interactions
        The relevant items: every pair counts once, whatever its value. Users without one are not evaluated.
    train : Interactions, optional
        Its items are masked for their users. A test pair that is also in ``train`` can never be recommended: it
        is not counted as relevant, and a warning says how many there are.
    ks
        Cut-offs.
    metrics
        Names from :func:`available_metrics`, at every cut-off (``"recall"``) or at one (``"recall@50"``).
    users : array of int, optional
        Evaluate only these users. Default: all.
    exclude : Interactions, optional
        Further pairs to mask, such as the validation part when test is judged. Published figures rarely do.
    features : Features or array (n_items, dim), optional
        Item vectors, for ``"ild"``.
    n_negatives : int, optional
        **Misleading; for teaching only.** Let the test items compete against so many random unseen items instead of
        all. Such sampled metrics are high, and can put two models in the wrong order (Krichene and Rendle, 2020).
    confidence, n_boot, seed
        Interval of the mean over users, by percentiles of ``n_boot`` bootstrap resamples of the users.
    device
        Where lists are cut and metrics of all scores computed.
    name : str, optional
        Of the report. Default: the model's ``name``, or that of its class.
    groups : optional
        Groups of the items, for ``"ild_jaccard"`` and ``"miscalibration"``: one label or one set of labels per item,
        or a table ``(n_items, n_groups)`` with numbers from 0 to 1.
    candidates : array of int, optional
        Item codes: only these compete, all others are left out of the lists, and test pairs with others are not
        counted as relevant. New items among themselves, say. Metrics of the whole catalogue still count all items.

    Returns
    -------
    Report
        ``summary``: mean and interval by metric; ``per_user``: one row per user.

    Notes
    -----
    Equal scores are ordered by item code, lower first, so that the result depends neither on the cut-offs nor on the
    blocks that users are handled in. A model that gives many items the same score is therefore judged by the order
    of the codes: break such ties in the model if they matter. ``auc`` counts a tie as one half.

    Memory does not grow with users times items: scores live for one block of users.

    Raises
    ------
    DataError
        No test interactions (for these users); train or exclude over other users or items; scores of the wrong shape
        or with NaN; features with another number of rows.
    ParameterError, UnknownNameError, UnknownUserError, UnknownItemError
        ``k`` below one or above the size of the catalogue, unknown metric, missing train, features or groups, no
        ``score``, a candidate that is no item code.

    Examples
    --------
    >>> class ByCode:  # thinks that the item with the highest code is the best
    ...     def score(self, users):
    ...         return np.tile(np.arange(4.0), (len(users), 1))
    >>> report = evaluate(ByCode(), Interactions([0, 1], [3, 2], n_items=4), ks=2, metrics=("recall", "mrr"))
    >>> report.summary["mean"].to_dict()
    {'recall@2': 1.0, 'mrr@2': 0.75}
    """
    started = time.perf_counter()
    _check(model, test, train, exclude)
    bootstrap.check(confidence, n_boot)
    n_items = test.n_items
    plan = wanted(metrics, ks, n_items)
    features = check_needs(plan, train, features, n_items, groups)
    groups = None if groups is None else group_matrix(groups, n_items)
    masked = union([part for part in (train, exclude) if part is not None])
    competes = competing(candidates, n_items)
    relevant = _relevant(test if competes is None else test.select(competes[test.item]), masked)
    users = _choose_users(users, relevant)
    model = _Stopwatch(model)

    lists, areas = _rank(model.score, users, relevant, masked, plan, n_negatives, seed, device, competes)
    hit = ranking.hits(lists, users, relevant)
    context = Lists(lists, n_items, train, features, groups, users, hit, masked)
    per_user, whole = _measure(plan, areas, np.diff(relevant.indptr)[users], context)
    summary = summarise(per_user, whole, list(plan), confidence, n_boot, seed)
    info = {
        "n_users": len(users),
        "n_items": n_items,
        "confidence": confidence,
        "n_boot": n_boot,
        "seed": seed,
        "n_negatives": n_negatives,
        "n_candidates": n_items if competes is None else int(competes.sum()),
        "seconds": time.perf_counter() - started,
        "score_seconds": model.seconds,
    }
    return Report(summary, per_user, name or model.name, info, lists)


class _Stopwatch:
    """The model's score function, and how long it took in all."""

    def __init__(self, model) -> None:
        self.model, self.seconds = model, 0.0
        self.name = str(getattr(model, "name", "") or type(model).__name__)

    def score(self, users: np.ndarray):
        started = time.perf_counter()
        scores = self.model.score(users)
        self.seconds += time.perf_counter() - started
        return scores


def _check(model, test, train, exclude) -> None:
    if not callable(getattr(model, "score", None)):
        raise ParameterError(f"model is a {type(model).__name__}; expected an object with score(users)")
    for name, part in (("test", test), ("train", train), ("exclude", exclude)):
        if part is None and name != "test":
            continue
        if not isinstance(part, Interactions):
            raise ParameterError(f"{name} is a {type(part).__name__}; expected Interactions, such as split.{name}")
        if part.n_items != test.n_items or (name != "test" and part.n_users < test.n_users):
            raise DataError(
                f"{name} counts {part.shape} users and items, test {test.shape}: both must use the codes of one "
                "data set (give n_users and n_items to Interactions)"
            )
    if not len(test):
        raise DataError("test holds no interactions: there is nothing to evaluate")


def competing(candidates, n_items: int) -> np.ndarray | None:
    """Which items may be in the lists; None: all."""
    if candidates is None:
        return None
    items = np.atleast_1d(np.asarray(candidates))
    if items.ndim != 1 or (items.size and not np.issubdtype(items.dtype, np.integer)):
        raise ParameterError(f"candidates must be item codes, one-dimensional; got {items.dtype} {items.shape}")
    bad = items[(items < 0) | (items >= n_items)]
    if len(bad):
        raise UnknownItemError(f"candidates: item {bad[0]} is unknown; codes are 0 to {n_items - 1}")
    competes = np.zeros(n_items, bool)
    competes[items.astype(np.int64)] = True
    return competes


def union(parts: list[Interactions]) -> sparse.csr_matrix | None:
    """The pairs of all parts as one matrix, with as many users as the largest counts; None without a part."""
    if not parts:
        return None
    matrices = [part.to_csr() for part in parts]
    for matrix in matrices:  # the parts may count different numbers of users
        matrix.resize(max(part.n_users for part in parts), parts[0].n_items)
    return sum(matrices[1:], start=matrices[0])


def _relevant(test: Interactions, masked: sparse.csr_matrix | None) -> sparse.csr_matrix:
    """The test pairs as a matrix, without those that are masked and so can never be recommended."""
    relevant = test.to_csr()
    if masked is None:
        return relevant
    rows = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    lost = ranking.hits(relevant.indices[:, None], rows, masked).ravel()
    if not lost.any():
        return relevant
    warnings.warn(
        f"{lost.sum()} of {len(lost)} test pairs are also in train or exclude: they are masked, and not counted as "
        "relevant. If a repeat is worth recommending, evaluate without train.",
        stacklevel=3,
    )
    kept = test.__class__(rows[~lost], relevant.indices[~lost], n_users=test.n_users, n_items=test.n_items)
    return kept.to_csr()


def _choose_users(users, relevant: sparse.csr_matrix) -> np.ndarray:
    has_test = np.diff(relevant.indptr) > 0
    if users is None:
        chosen = np.flatnonzero(has_test)
    else:
        users = np.unique(np.asarray(users, dtype=np.int64))
        bad = users[(users < 0) | (users >= len(has_test))]
        if len(bad):
            raise UnknownUserError(f"user {bad[0]} is unknown: test has codes 0 to {len(has_test) - 1}")
        chosen = users[has_test[users]]
    if not len(chosen):
        raise DataError("none of the users has a test item that is left to recommend: there is nothing to evaluate")
    return chosen


def _rank(
    score, users, relevant, masked, plan, n_negatives, seed, device, competes
) -> tuple[np.ndarray, np.ndarray | None]:
    """Lists of the longest cut-off, int32 (n_users, k), and the AUC of each user if it is asked for."""
    import torch
    from tqdm import tqdm

    from ..training.device import resolve

    n_items = relevant.shape[1]
    k = max(1, *(k for _, k in plan.values()))
    lists = np.full((len(users), k), -1, np.int32)
    areas = np.full(len(users), np.nan) if "auc" in plan else None
    rng = None if n_negatives is None else np.random.default_rng(seed)
    n_negatives = None if n_negatives is None else ranking.check_k(n_negatives, "n_negatives")
    left_out = None if competes is None else torch.from_numpy(~competes).to(resolve(device))
    done = 0
    with tqdm(total=len(users), desc="evaluate", unit="user", disable=None, leave=False) as bar:
        for block, scores in ranking.score_blocks(score, users, n_items, masked, resolve(device)):
            if left_out is not None:
                scores = scores.masked_fill(left_out, -torch.inf)  # a copy: the model's own array stays
            if rng is not None:
                _keep_sample(scores, block, relevant, n_negatives, rng)
            items, values = ranking.top_k(scores, k)
            ranking.check_scores(block, values)
            lists[done : done + len(block), : items.shape[1]] = items
            if areas is not None:
                areas[done : done + len(block)] = auc(scores, block, relevant)
            done += len(block)
            bar.update(len(block))
    return lists, areas


def _keep_sample(scores, users: np.ndarray, relevant: sparse.csr_matrix, n: int, rng: np.random.Generator) -> None:
    """Mask, in place, all but the relevant items and ``n`` random other unseen items of each user."""
    import torch

    rows, cols = (torch.from_numpy(i.astype(np.int64)).to(scores.device) for i in ranking.positions(users, relevant))
    draw = torch.from_numpy(rng.random(tuple(scores.shape), dtype=np.float32)).to(scores.device)
    draw[scores == -torch.inf] = -1.0  # masked already: drawn only when nothing else is left, and then harmless
    draw[rows, cols] = -1.0
    keep = torch.zeros_like(scores, dtype=torch.bool)
    keep.scatter_(1, torch.topk(draw, min(n, draw.shape[1]), dim=1, sorted=False).indices, True)
    keep[rows, cols] = True
    scores.masked_fill_(~keep, -torch.inf)


def _measure(plan, areas, n_relevant: np.ndarray, lists: Lists) -> tuple[pd.DataFrame, dict[str, float]]:
    columns, whole = {}, {}
    for name, (metric, k) in plan.items():
        if metric.kind == "hits":
            columns[name] = metric.function(lists.hit, n_relevant, k)
        elif metric.kind == "scores":
            columns[name] = areas
        elif metric.kind == "shown":
            columns[name] = metric.function(lists, k)
        else:
            whole[name] = metric.function(lists, k)
    return pd.DataFrame(columns, index=pd.Index(lists.users, name="user"), dtype=float), whole
