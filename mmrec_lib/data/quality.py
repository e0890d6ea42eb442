"""What is wrong, or odd, with a data set: counted, and said in words, before any model learns from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ..errors import ParameterError
from .dataset import Dataset, Features

_DAY = 86_400


@dataclass(frozen=True)
class QualityReport:
    """What :func:`quality_report` found.

    Attributes
    ----------
    table : DataFrame
        Columns section, check, value (a number, or text), note (what it means and what to do; empty when all is well).
    item_counts, user_counts : int arrays
        Events of each item, of each user.
    coverage : Series
        Share of the items that have each modality.
    overlap : DataFrame
        Share of the items with the row's modality that also have the column's.
    """

    table: pd.DataFrame
    item_counts: np.ndarray
    user_counts: np.ndarray
    coverage: pd.Series
    overlap: pd.DataFrame

    def section(self, name: str) -> pd.DataFrame:
        """The rows of one section, indexed by check."""
        rows = self.table[self.table["section"] == name]
        if rows.empty:
            raise ParameterError(f"there is no section {name!r}; there are {', '.join(self.table['section'].unique())}")
        return rows.drop(columns="section").set_index("check")

    def figure(self):
        """How much people act and how unequal the items are; with several modalities also which media there are."""
        import matplotlib.pyplot as plt

        from .. import plotting

        blue, grey = plotting.COLOURS["blue"], plotting.COLOURS["grey"]
        rows = 2 if len(self.coverage) > 1 else 1
        figure, axes = plt.subplots(rows, 2, figsize=(8.4, 3 * rows), layout="constrained", squeeze=False)
        users, items = axes[0]
        active = self.user_counts[self.user_counts > 0]
        users.hist(active, bins=np.geomspace(0.99, active.max(initial=1) * 1.01, 31), color=blue)
        users.set(title="Events per user", xscale="log", xlabel="events", ylabel="users")
        share = _lorenz(self.item_counts)
        items.plot(np.linspace(0, 1, len(share)), share, color=blue)
        items.plot([0, 1], [0, 1], color=grey, linestyle="--", linewidth=1)
        title = f"Popularity: Gini {gini(self.item_counts):.2f}"
        items.set(title=title, xlabel="share of items, rarest first", ylabel="share of events")
        if rows == 2:
            coverage, overlap = axes[1]
            coverage.barh(self.coverage.index, self.coverage, color=blue)
            coverage.set(title="Media that items have", xlabel="share of items", xlim=(0, 1))
            coverage.invert_yaxis()
            plotting.heatmap(self.overlap, ax=overlap)
            overlap.set_title("Items with (row) that also have (column)")
        return figure

    def _repr_html_(self) -> str:
        shown = self.table.assign(value=[_shown(value) for value in self.table["value"]])
        return shown.to_html(index=False, border=0)

    def __repr__(self) -> str:
        shown = self.table.assign(value=[_shown(value) for value in self.table["value"]])
        return shown.to_string(index=False)


def quality_report(dataset: Dataset, features: Features | None = None, seed: int = 0) -> QualityReport:
    """Look a data set over before use.

    Parameters
    ----------
    dataset : Dataset
    features : Features, optional
        Vectors of the items. With them, the report also says whether modalities agree: for items that have both, how
        many of the ten nearest neighbours (cosine) in one are among the ten nearest in the other, and what chance
        would give.
    seed
        Of the sample of at most 2,000 items whose neighbours are compared.

    Returns
    -------
    QualityReport
        ``.table``, ``.section(name)``, ``.figure()``; shows as a table in a notebook.
    """
    if features is not None:
        features.check(dataset.n_items)
    sections = {
        "completeness": _completeness(dataset),
        "duplicates": _duplicates(dataset),
        "sparsity": _sparsity(dataset),
        "popularity": _popularity(dataset),
        "time": _time(dataset),
        "media": _media(dataset),
        "consistency": _consistency(dataset, features, seed),
    }
    rows = [(section, *row) for section, found in sections.items() for row in found]
    masks = {name: dataset.media.mask(name) for name in dataset.media}
    overlap = {a: {b: _share(masks[b][masks[a]]) for b in masks} for a in masks}
    return QualityReport(
        pd.DataFrame(rows, columns=["section", "check", "value", "note"]),
        dataset.interactions.item_counts(),
        dataset.interactions.user_counts(),
        pd.Series({name: _share(mask) for name, mask in masks.items()}, dtype=float),
        pd.DataFrame(overlap).T,
    )


def gini(counts) -> float:
    """Gini coefficient of non-negative numbers: 0 when all are equal, near 1 when one has everything.

    Half the mean absolute difference between two random entries, divided by the mean (Gini, 1912). 0 for no numbers,
    or when all are zero.
    """
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    n, total = len(ordered), ordered.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total)) if total else 0.0


# -- the sections: each yields (check, value, note) --------------------------------------------------------------
Row = tuple[str, object, str]


def _completeness(data: Dataset) -> Iterator[Row]:
    events = data.interactions
    yield "interactions", len(events), "" if len(events) else "nothing to learn from"
    for kind, table, counts in (
        ("users", data.users, events.user_counts()),
        ("items", data.items, events.item_counts()),
    ):
        yield kind, len(table), ""
        idle = int((counts == 0).sum())
        remedy = "cold: only content or popularity can serve them" if idle else ""
        yield f"{kind} without interactions", idle, remedy
        for column, missing in table.isna().sum().items():
            if missing:
                share = missing / len(table)
                note = f"{share:.1%} of the rows; leave out, fill (mm.data.impute), or keep as a value of its own"
                yield f"{kind}: {column!r} missing", int(missing), note


def _duplicates(data: Dataset) -> Iterator[Row]:
    events = data.interactions
    pairs = len(events) - len(np.unique(events.keys()))
    yield "repeated user-item pairs", pairs, "decide which event counts: mm.data.drop_duplicates" if pairs else ""
    exact = int(events.to_frame().duplicated().sum())
    yield "events that are equal in all columns", exact, "most likely logged twice; drop them" if exact else ""
    for kind, column in (("titles", data.items.get("title")), ("texts", _text(data))):
        if column is not None:
            twice = int(column.dropna().duplicated().sum())
            note = "the same thing under several ids? Its interactions are divided among them" if twice else ""
            yield f"repeated {kind}", twice, note


def _sparsity(data: Dataset) -> Iterator[Row]:
    events = data.interactions
    note = "below one in ten thousand: expect little from neighbours, more from content"
    yield "density", events.density, note if events.density < 1e-4 else ""
    for kind, counts in (("user", events.user_counts()), ("item", events.item_counts())):
        yield f"events per {kind}, median", float(np.median(counts)) if len(counts) else 0.0, ""
        few = int(((counts > 0) & (counts < 5)).sum())
        note = "too few to learn from and test on; consider mm.data.k_core, and say so" if few else ""
        yield f"{kind}s with 1 to 4 events", few, note


def _popularity(data: Dataset) -> Iterator[Row]:
    counts = data.interactions.item_counts()
    value = gini(counts)
    note = "a few items dominate: compare every model with popularity, and look at coverage" if value > 0.5 else ""
    yield "Gini coefficient of the items", value, note
    top = max(1, len(counts) // 10)
    yield "share of events on the most popular tenth", float(np.sort(counts)[-top:].sum() / max(counts.sum(), 1)), ""


def _time(data: Dataset) -> Iterator[Row]:
    events = data.interactions
    if events.time is None or not len(events):
        yield "times", "none", "splits by time and models of sequences are out of reach"
        return
    first, last = (pd.Timestamp(int(t), unit="s") for t in (events.time.min(), events.time.max()))
    odd = first.year < 1990 or last > pd.Timestamp.now() + pd.Timedelta(days=1)
    yield "first event", f"{first:%Y-%m-%d}", "before 1990 or in the future: check the unit of time" if odd else ""
    yield "last event", f"{last:%Y-%m-%d}", ""
    by_user = pd.Series(events.time).groupby(events.user)
    several = by_user.size() > 1
    brief = _share((by_user.max() - by_user.min())[several] < _DAY)
    note = "most people came once: the order of their events says little about tastes" if brief > 0.5 else ""
    yield "users whose events fall within a day", brief, note
    same = _share(pd.DataFrame({"user": events.user, "time": events.time}).duplicated())
    yield "events at the same second as another of the user", same, "their order is unknown" if same > 0.1 else ""


def _media(data: Dataset) -> Iterator[Row]:
    if not len(data.media):
        yield "modalities", 0, "collaborative models only"
    counts = data.interactions.item_counts()
    for name in data.media:
        mask = data.media.mask(name)
        note = (
            "" if mask.all() else f"{int((~mask).sum()):,} lack it; mask them, or fill their vectors (mm.data.impute)"
        )
        yield f"items with {name}", _share(mask), note
        yield f"events on items with {name}", float(counts[mask].sum() / max(counts.sum(), 1)), ""


def _consistency(data: Dataset, features: Features | None, seed: int) -> Iterator[Row]:
    masks = {name: data.media.mask(name) for name in data.media}
    for a, b in combinations(masks, 2):
        for one, other in ((a, b), (b, a)):
            alone = int((masks[one] & ~masks[other]).sum())
            yield f"items with {one} but no {other}", alone, ""
    for a, b in combinations(features or (), 2):
        both = np.flatnonzero(features.mask[a] & features.mask[b])
        if len(both) > 11:
            agreement, chance = _agreement(features[a][both], features[b][both], seed)
            note = f"chance: {chance:.3g}"
            if agreement < 2 * chance:
                note += "; hardly more than chance: check that rows and items belong together"
            yield f"neighbours shared by {a} and {b}", agreement, note


def _agreement(a: np.ndarray, b: np.ndarray, seed: int, k: int = 10, sample: int = 2000) -> tuple[float, float]:
    """Mean share of the ``k`` nearest neighbours in ``a`` that are also among those in ``b``, and chance."""
    n = len(a)
    rows = np.sort(np.random.default_rng(seed).choice(n, min(sample, n), replace=False))
    near_a, near_b = _nearest(a, rows, k), _nearest(b, rows, k)
    return float((near_a[:, :, None] == near_b[:, None, :]).sum() / near_a.size), k / (n - 1)


def _nearest(vectors: np.ndarray, rows: np.ndarray, k: int, block: int = 500) -> np.ndarray:
    """The ``k`` nearest other rows by cosine, for the given rows."""
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found = []
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        likeness = vectors[part] @ vectors.T
        likeness[np.arange(len(part)), part] = -np.inf  # nobody is a neighbour of themselves
        found.append(np.argpartition(-likeness, k, axis=1)[:, :k])
    return np.concatenate(found)


def _text(data: Dataset) -> pd.Series | None:
    return pd.Series(data.media["text"], dtype=object) if "text" in data.media else None


def _share(mask) -> float:
    return float(np.mean(mask)) if len(mask) else 0.0


def _lorenz(counts: np.ndarray) -> np.ndarray:
    cumulated = np.concatenate([[0], np.cumsum(np.sort(counts))])
    return cumulated / max(cumulated[-1], 1)


def _shown(value) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
