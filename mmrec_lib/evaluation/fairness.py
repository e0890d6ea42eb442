"""Who is shown, and who is served: exposure of groups of items, gaps between groups of people, lift of popularity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from .. import ranking
from ..checks import whole
from ..data import Interactions
from ..errors import DataError, ParameterError, UnknownNameError
from . import bootstrap
from .groups import as_shares, named_groups
from .report import Report

_SCRATCH_BYTES = 64 * 2**20


# -- groups of items by their popularity ---------------------------------------------------------------------------


def popularity_groups(
    train: Interactions, cuts: Sequence[float] = (0.5, 0.8), names: Sequence[str] = ("head", "middle", "tail")
) -> pd.Categorical:
    """Divide the items by popularity: those that hold the first half of all clicks, the next 30 %, the last 20 %.

    An item's group is decided by the share of clicks that fall on items *more* popular than itself, so that items of
    equal popularity are in the same group, whatever their codes. Items that nobody met are in the last.

    Parameters
    ----------
    train : Interactions
        A repeated pair counts once.
    cuts
        Shares of the clicks, ascending, between 0 and 1, at which the next group begins.
    names
        One more than there are cuts, from popular to rare.

    Returns
    -------
    Categorical (n_items,)
        Ordered as ``names``; can be given wherever groups of items are taken.

    Raises
    ------
    ParameterError
        Cuts that do not ascend between 0 and 1, another number of names.
    DataError
        No interaction.

    Examples
    --------
    >>> train = Interactions([0, 1, 2, 0, 1, 0], [0, 0, 0, 1, 1, 2], n_items=4)
    >>> list(popularity_groups(train))
    ['head', 'middle', 'tail', 'tail']
    """
    cuts = np.asarray(cuts, dtype=float)
    if cuts.ndim != 1 or not len(cuts) or not ((cuts > 0) & (cuts < 1)).all() or (np.diff(cuts) <= 0).any():
        raise ParameterError(f"cuts={cuts.tolist()}: give ascending shares between 0 and 1, such as (0.5, 0.8)")
    if len(names) != len(cuts) + 1:
        raise ParameterError(f"names: {len(cuts)} cuts make {len(cuts) + 1} groups; got {len(names)} names")
    if not len(train):
        raise DataError("train holds no interactions: nothing is popular")
    counts = np.bincount(train.to_csr().indices, minlength=train.n_items)
    ascending = np.sort(counts)
    total = np.concatenate([[0], np.cumsum(ascending)])
    more_popular = total[-1] - total[np.searchsorted(ascending, counts, side="right")]
    group = np.searchsorted(cuts, more_popular / total[-1], side="right")
    return pd.Categorical.from_codes(group, categories=list(names), ordered=True)


# -- exposure of groups of items -----------------------------------------------------------------------------------


def exposure_by_group(
    shown,
    groups,
    train: Interactions | None = None,
    *,
    relevance=None,
    users=None,
    k: int = 10,
    examination=None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Which share of people's attention does each group of items get, against its share of everything else?

    A place counts as often as it is looked at. With equal lists the share of a group is its part of all attention;
    each person counts alike. What a fair share is, no formula says: the columns offer three answers, a share as large
    as the group's part of the catalogue, of the clicks, or of what people really want (exposure in proportion to
    relevance: Singh and Joachims, 2018; Biega, Gummadi and Weikum, 2018).

    Parameters
    ----------
    shown
        A model with ``score(users)``, or lists of item codes ``(n_users, k)``, best first, -1 for an empty place.
    groups
        As in :func:`~mmrec_lib.evaluation.evaluate`: one label or one set of labels per item, or a table. An item of
        several groups divides evenly among them; items without a group are left out of all shares.
    train : Interactions, optional
        Masked for a model; its pairs are the clicks.
    relevance : optional
        What is wanted, none negative: Interactions, or numbers ``(n_items,)`` or ``(n_users, n_items)`` such as true
        probabilities of a click. Logged clicks are no good measure of it: who is not shown is not clicked.
    users : array of int, optional
        Whom a model shows lists to. Default: the users of ``train`` who have an interaction.
    k
        Length of a model's lists; of given lists, only so many places count.
    examination : array (k,), optional
        How often each place is looked at. Default ``1 / log2(place + 1)``, the discount of NDCG.
    confidence, n_boot, seed
        Percentile bootstrap over users.

    Returns
    -------
    DataFrame
        One row a group: ``exposure`` (share, with ``ci_low``, ``ci_high``), ``catalogue`` (share of the items), and
        ``per_item`` (exposure divided by it: 1 when an item of the group is shown as often as items are on average);
        with ``train``, ``clicks`` and ``per_click``; with ``relevance``, ``relevance`` and ``per_relevance``.
        Categories keep their order, other labels are sorted.

    Raises
    ------
    ParameterError, DataError
        No model and no lists, no ``train`` where a model needs it, groups or relevance of other items, negative
        weights, lists without any item of a group.

    Examples
    --------
    >>> lists = np.array([[0, 1], [0, 2]])  # item 0 is always on top
    >>> table = exposure_by_group(lists, ["big", "big", "small", "small"], k=2, examination=[1, 0.5])
    >>> table[["exposure", "catalogue", "per_item"]].round(2).to_dict("index")["small"]
    {'exposure': 0.17, 'catalogue': 0.5, 'per_item': 0.33}
    """
    bootstrap.check(confidence, n_boot)
    lists, _ = _lists(shown, train, users, k)
    weight = _examination(examination, lists.shape[1])
    n_items = train.n_items if train is not None else len(groups)
    if lists.max(initial=-1) >= n_items:
        raise DataError(f"the lists hold item {lists.max()}, there are {n_items} items: groups need one row per item")
    matrix, names = named_groups(groups, n_items)
    shares = as_shares(matrix)
    real = lists >= 0
    rows = np.repeat(np.arange(len(lists)), real.sum(axis=1))
    place = np.broadcast_to(weight, lists.shape)[real]
    attention = sparse.csr_matrix((place, (rows, lists[real])), (len(lists), n_items)) @ shares
    per_user = np.where(attention.any(axis=1, keepdims=True), as_shares(np.asarray(attention)), np.nan)
    if np.isnan(per_user).all():
        raise DataError("no list holds an item that belongs to a group: there is no exposure to divide")
    low, high = bootstrap.interval(bootstrap.resampled_means(per_user, n_boot, seed), confidence)
    table = pd.DataFrame(
        {"exposure": np.nanmean(per_user, axis=0), "ci_low": low, "ci_high": high}, index=pd.Index(names, name="group")
    )
    yardsticks = {"catalogue": ("per_item", np.ones(n_items))}
    if train is not None:
        yardsticks["clicks"] = "per_click", np.bincount(train.to_csr().indices, minlength=n_items)
    if relevance is not None:
        yardsticks["relevance"] = "per_relevance", _relevance(relevance, n_items)
    for name, (ratio, amount) in yardsticks.items():
        table[name] = as_shares(amount @ shares)
        table[ratio] = table["exposure"] / table[name].where(table[name] > 0)
    return table.loc[_in_order(groups, names)]


def _in_order(groups, names: list) -> list:
    """Names of groups as a table is read: as a table or categories have them, other labels sorted."""
    if getattr(groups, "ndim", 1) == 2:
        return names
    if isinstance(getattr(groups, "dtype", None), pd.CategoricalDtype):
        return [name for name in groups.dtype.categories if name in names]
    return sorted(names, key=str)


def _relevance(relevance, n_items: int) -> np.ndarray:
    """How much each item is wanted in all, float64 ``(n_items,)``."""
    if isinstance(relevance, Interactions):
        relevance = np.bincount(relevance.to_csr().indices, minlength=relevance.n_items)
    amount = np.asarray(relevance, dtype=np.float64)
    amount = amount.sum(axis=0) if amount.ndim == 2 else amount
    if amount.shape != (n_items,):
        raise DataError(f"relevance has shape {np.shape(relevance)}; expected one column for each of {n_items} items")
    if not (np.isfinite(amount).all() and (amount >= 0).all()):
        raise DataError("relevance must be finite and not negative: give probabilities, not utilities")
    return amount


def _examination(given, k: int) -> np.ndarray:
    weight = 1 / np.log2(np.arange(2, k + 2)) if given is None else np.asarray(given, dtype=float)
    if weight.ndim != 1 or len(weight) < k or not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ParameterError(f"examination: give a number of at least 0 for each of the {k} places")
    if not weight[:k].any():
        raise ParameterError("examination is 0 at all places: nobody looks")
    return weight[:k]


def _lists(shown, train: Interactions | None, users, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists ``(n_users, k)`` of a model or as given, and whose they are."""
    ranking.check_k(k)
    if callable(getattr(shown, "score", None)):
        if train is None:
            raise ParameterError("a model needs train: what each user has already met is left out of the lists")
        seen = train.to_csr()
        users = np.flatnonzero(np.diff(seen.indptr)) if users is None else np.asarray(users, dtype=np.int64)
        parts = [items for _, items, _ in ranking.iter_top_k(shown.score, users, k, train.n_items, seen)]
        return np.concatenate(parts).astype(np.int64), users
    lists = np.asarray(shown)
    if lists.ndim != 2 or not np.issubdtype(lists.dtype, np.integer) or not lists.size:
        raise ParameterError(
            "shown is neither a model with score(users) nor lists of item codes (n_users, k); got "
            f"{type(shown).__name__} {lists.shape}"
        )
    users = np.arange(len(lists)) if users is None else np.asarray(users)
    if len(users) != len(lists):
        raise ParameterError(f"users names {len(users)} people, there are {len(lists)} lists: give one list each")
    return lists[:, :k].astype(np.int64), users


# -- is a person's list more popular than the person? --------------------------------------------------------------


def popularity_lift(
    shown,
    train: Interactions,
    groups=None,
    *,
    users=None,
    k: int = 10,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How much more popular are people's lists than what they chose themselves?

    Abdollahpouri et al., 2019: of each person, the mean popularity of the history, and that of the list. The lift of a
    group of people is ``(mean list - mean history) / mean history``: 0 when lists are as popular as people's own taste.
    What the data prefer shows in both; what the model adds shows in the lift.

    Parameters
    ----------
    shown
        A model or lists, as in :func:`exposure_by_group`.
    train : Interactions
        The histories. The popularity of an item is the share of people with a history who met it.
    groups : array (n_users,), optional
        Label of each user (by code), such as a third of those with the rarest taste; missing where there is none.
    users, k, confidence, n_boot, seed
        As in :func:`exposure_by_group`; a user without a history is left out.

    Returns
    -------
    DataFrame
        Indexed by group, first ``"all"``: ``history`` and ``list`` (mean popularity), ``lift`` with ``ci_low`` and
        ``ci_high`` (people are drawn, both means with them), ``n_users``.

    Raises
    ------
    ParameterError, DataError

    Examples
    --------
    >>> train = Interactions([0, 1, 1], [0, 0, 1], n_users=2, n_items=3)
    >>> table = popularity_lift(np.array([[1], [2]]), train, k=1)
    >>> table.loc["all", ["history", "list", "lift"]].round(3).to_dict()
    {'history': 0.875, 'list': 0.25, 'lift': -0.714}
    """
    bootstrap.check(confidence, n_boot)
    lists, users = _lists(shown, train, users, k)
    met = train.to_csr()
    size = np.diff(met.indptr)
    popularity = np.bincount(met.indices, minlength=train.n_items) / max((size > 0).sum(), 1)
    keep = (size[users] > 0) & (lists >= 0).any(axis=1)
    users, lists = users[keep], lists[keep]
    if not len(users):
        raise DataError("none of the users has a history and a list: there is nothing to compare")
    real = lists >= 0
    listed = np.where(real, popularity[lists], 0).sum(axis=1) / real.sum(axis=1)
    both = np.stack([(met @ popularity)[users] / size[users], listed], axis=1)
    members = {"all": np.ones(len(users), bool)}
    if groups is not None:
        labels, names = _user_labels(groups, users)
        members |= {name: labels == code for code, name in enumerate(names)}
    rows = {}
    for name, member in members.items():
        history, own = both[member].mean(axis=0)
        draws = bootstrap.resampled_means(both[member], n_boot, seed)
        low, high = bootstrap.interval(draws[:, 1] / draws[:, 0] - 1, confidence)
        rows[name] = history, own, own / history - 1, low, high, int(member.sum())
    columns = ["history", "list", "lift", "ci_low", "ci_high", "n_users"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.rename_axis("group")


# -- gaps between groups of people ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class UserGaps:
    """A metric by groups of people; made by :func:`user_gaps`.

    Attributes
    ----------
    table : DataFrame
        Indexed by group: ``n_users``, ``mean``, ``ci_low``, ``ci_high``, ``difference`` from everybody else with
        ``difference_low`` and ``difference_high`` (within strata, where there are any), ``p_adjusted``.
    summary : Series
        ``metric``, ``n_groups``, ``n_users``, ``highest`` and ``lowest`` group, ``gap`` between their means with
        ``ci_low`` and ``ci_high``, ``gap_by_chance`` (mean of the largest gap when labels are dealt at random), ``p``:
        of no difference at all.
    """

    table: pd.DataFrame
    summary: pd.Series

    def __repr__(self) -> str:
        return f"UserGaps\n{self.table.round(4).to_string()}\n{self.summary.to_string()}"

    def _repr_html_(self) -> str:
        s = self.summary
        return (
            f"<p><strong>{s['metric']}</strong>: largest gap {s['gap']:.4f} ({s['highest']} above {s['lowest']}), by "
            f"chance {s['gap_by_chance']:.4f}, p = {s['p']:.4f}</p>{self.table.round(4).to_html(border=0)}"
        )


def user_gaps(
    report: Report,
    groups,
    metric: str | None = None,
    *,
    strata=None,
    min_users: int = 5,
    confidence: float = 0.95,
    n_boot: int = 1000,
    n_permutations: int = 2000,
    seed: int = 0,
) -> UserGaps:
    """Are some groups of people served better than others, and could that be chance?

    The more groups, the larger the largest gap by chance alone, above all where groups are small. So labels are dealt
    anew at random, ``n_permutations`` times. Each group's difference from everybody else is divided by its standard
    deviation under this dealing; ``p`` says how often the largest of these is as large as the observed one, and
    ``p_adjusted`` how often it is as large as that of the group at hand (Westfall and Young, 1993): calling every group
    below 0.05 different is wrong in at most 5 % of tables in which no group differs, however many there are.

    Parameters
    ----------
    report : Report
        From :func:`~mmrec_lib.evaluation.evaluate`.
    groups : array (n_users of the data set,)
        Label of each user, by code, such as ``data.users["sex"]``; missing where there is none.
    metric
        With a value for each user. Default: the report's first.
    strata : array (n_users of the data set,), optional
        Something else that people differ in (quarters of activity, say). Labels are then dealt only within a stratum,
        and ``difference`` compares people of the same stratum: it is the coefficient of the group in a regression on
        it and on the strata. The means and the gap stay as they are.
    min_users
        Groups with fewer are left out.
    confidence, n_boot, seed
        Percentile bootstrap over all users. The interval of the gap is that between the two groups named; that they are
        the two that lie furthest apart is not in it, so compare ``gap`` with ``gap_by_chance``.
    n_permutations

    Returns
    -------
    UserGaps

    Raises
    ------
    ParameterError, UnknownNameError, DataError
        Labels of another number of users, fewer than two groups that are large enough, a metric without values.

    Examples
    --------
    >>> per_user = pd.DataFrame({"ndcg@2": [1.0, 0.8, 0.9, 0.1, 0.2, 0.0]})
    >>> gaps = user_gaps(Report(None, per_user), list("aaabbb"), min_users=3)
    >>> gaps.table["mean"].round(2).to_dict(), round(gaps.summary["p"], 1)
    ({'a': 0.9, 'b': 0.1}, 0.1)
    """
    bootstrap.check(confidence, n_boot)
    whole("n_permutations", n_permutations)
    whole("min_users", min_users)
    metric = report.per_user.columns[0] if metric is None else metric
    if metric not in report.per_user:
        raise UnknownNameError("per-user metric of this report:", metric, report.per_user.columns)
    values = report.per_user[metric].to_numpy(float)
    users = report.per_user.index.to_numpy()
    group, names = _user_labels(groups, users)
    stratum, levels = (np.zeros(len(users), int), [None]) if strata is None else _user_labels(strata, users, "strata")
    known = np.isfinite(values) & (group >= 0) & (stratum >= 0)
    large = np.bincount(group[known], minlength=len(names)) >= min_users
    known &= large[group]
    if large.sum() < 2:
        raise DataError(f"user_gaps needs two groups with at least {min_users} users; there are {large.sum()}")
    names = [name for name, ok in zip(names, large, strict=True) if ok]
    cells = _Cells((np.cumsum(large) - 1)[group[known]], stratum[known], len(names), len(levels))
    values = values[known]

    mean, difference = cells.compare(np.ones((1, len(values))), values)
    drawn = _drawn(cells, values, n_boot, seed)
    (low, high), (from_, to) = ([np.nanquantile(d, q, axis=0) for q in _tails(confidence)] for d in drawn)
    p, adjusted, by_chance = _dealt(cells, values, n_permutations, seed)
    table = pd.DataFrame(
        {
            "n_users": cells.sizes.sum(axis=0).astype(int),
            "mean": mean[0],
            "ci_low": low,
            "ci_high": high,
            "difference": difference[0],
            "difference_low": from_,
            "difference_high": to,
            "p_adjusted": adjusted,
        },
        index=pd.Index(names, name="group"),
    )
    best, worst = int(mean[0].argmax()), int(mean[0].argmin())
    gap_low, gap_high = np.nanquantile(drawn[0][:, best] - drawn[0][:, worst], _tails(confidence))
    summary = {
        "metric": metric,
        "n_groups": len(names),
        "n_users": len(values),
        "highest": names[best],
        "lowest": names[worst],
        "gap": float(mean[0, best] - mean[0, worst]),
        "ci_low": float(gap_low),
        "ci_high": float(gap_high),
        "gap_by_chance": by_chance,
        "p": p,
    }
    return UserGaps(table, pd.Series(summary, name=metric, dtype=object))


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


class _Cells:
    """People by group and stratum; all comparisons are made of the numbers of people and the sums of their values."""

    def __init__(self, group: np.ndarray, stratum: np.ndarray, n_groups: int, n_strata: int) -> None:
        self.shape = n_strata, n_groups
        self.stratum = stratum
        self.cell = stratum * n_groups + group
        self.sizes = np.bincount(self.cell, minlength=n_strata * n_groups).reshape(self.shape)
        ones = np.ones(len(group))
        self.member = sparse.csr_matrix((ones, (np.arange(len(group)), self.cell)), (len(group), self.sizes.size))

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Sum of each row ``(n, n_people)`` over the people of each cell: ``(n, n_strata, n_groups)``."""
        return np.asarray((self.member.T @ rows.T).T).reshape(-1, *self.shape)

    def compare(self, weights: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean of each group and its difference from all others, each ``(n, n_groups)``, for each row of weights."""
        size, total = self.sums(weights), self.sums(weights * values)
        of_stratum, sum_of_stratum = size.sum(axis=2, keepdims=True), total.sum(axis=2, keepdims=True)
        level = _ratio(sum_of_stratum, of_stratum)
        above = (total - size * level).sum(axis=1)
        room = (size * (1 - _ratio(size, of_stratum))).sum(axis=1)
        return _ratio(total.sum(axis=1), size.sum(axis=1), np.nan), _ratio(above, room, np.nan)


def _ratio(a: np.ndarray, b: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.full(a.shape, otherwise), where=b > 1e-12)


def _steps(n: int, width: int):
    step = max(1, _SCRATCH_BYTES // (16 * width))
    return [min(step, n - start) for start in range(0, n, step)]


def _drawn(cells: _Cells, values: np.ndarray, n_boot: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and differences of resampled people."""
    rng, n = np.random.default_rng(seed), len(values)
    even = np.full(n, 1 / n)
    parts = [cells.compare(rng.multinomial(n, even, size=m).astype(float), values) for m in _steps(n_boot, n)]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _dealt(cells: _Cells, values: np.ndarray, n: int, seed: int) -> tuple[float, np.ndarray, float]:
    """P value of no difference, p values of the groups, and the mean of the largest gap, when labels are dealt anew."""
    stratum, (n_strata, _) = cells.stratum, cells.shape
    size = np.bincount(stratum, minlength=n_strata)
    level = np.bincount(stratum, values, minlength=n_strata) / np.maximum(size, 1)
    rest = values - level[stratum]
    squares = np.bincount(stratum, rest**2, minlength=n_strata)
    # variance of the sum over a group when its members are drawn without replacement within each stratum
    pairs = np.maximum(size * (size - 1), 1)
    spread = ((squares / pairs)[:, None] * cells.sizes * (size[:, None] - cells.sizes)).sum(axis=0) ** 0.5

    def statistic(sums: np.ndarray) -> np.ndarray:
        return np.abs(_ratio(sums.sum(axis=1), spread))

    observed = statistic(cells.sums(rest[None]))[0]
    rng, home = np.random.default_rng([seed, 1]), np.argsort(stratum, kind="stable")
    largest, gaps = [], []
    group_size = cells.sizes.sum(axis=0)
    for m in _steps(n, len(values)):
        order = np.argsort(stratum + rng.random((m, len(values))), axis=1)  # random within each stratum
        dealt = np.empty((m, len(values)))
        dealt[:, home] = values[order]
        sums = cells.sums(dealt)
        means = sums.sum(axis=1) / group_size
        gaps.append(means.max(axis=1) - means.min(axis=1))
        largest.append(statistic(sums - cells.sizes * level[:, None]).max(axis=1))
    largest = np.concatenate(largest)
    as_large = largest[:, None] >= observed * (1 - 1e-9)  # rounding must not decide about equality
    adjusted = (1 + as_large.sum(axis=0)) / (1 + n)
    return float(adjusted.min()), adjusted, float(np.concatenate(gaps).mean())


def _user_labels(groups, users: np.ndarray, what: str = "groups") -> tuple[np.ndarray, list]:
    """Code of each user's group, -1 without one, and the groups' names: categories as they are, others sorted."""
    series = pd.Series(groups)
    if len(users) and len(series) <= users.max():
        raise DataError(f"{what} has {len(series)} labels, user {users.max()} occurs: give one for each user code")
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, names = series.cat.codes.to_numpy(), list(series.cat.categories)
    else:
        codes, names = pd.factorize(series, sort=True)
    return np.asarray(codes, np.int64)[users], list(names)
