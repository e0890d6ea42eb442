"""The result of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import UnknownNameError
from . import bootstrap


@dataclass(repr=False)
class Report:
    """What :func:`~mmrec_lib.evaluation.evaluate` found out.

    Attributes
    ----------
    summary : DataFrame
        Indexed by metric (``"recall@20"``, ...): mean over users, ci_low, ci_high. The interval is NaN for metrics of
        the whole catalogue (coverage, Gini index): resampled users always cover less, so that a bootstrap would
        be biased.
    per_user : DataFrame
        Indexed by user code, one column per metric that has a value for each user.
    name : str
        Of the model.
    info : dict
        How it was measured: number of users and items, confidence, resamples, seed, seconds in all (``seconds``) and
        in the model's ``score`` (``score_seconds``), and number of sampled negatives (``n_negatives``, None for a
        full ranking), number of items that compete (``n_candidates``).
    lists : int array (n_users, k) or None
        The recommended items, best first, in the order of ``per_user``; -1 where there were not enough.

    ``report["recall@20"]`` is the mean.
    """

    summary: pd.DataFrame
    per_user: pd.DataFrame
    name: str = "model"
    info: dict = field(default_factory=dict)
    lists: np.ndarray | None = None

    def __getitem__(self, metric: str) -> float:
        if metric not in self.summary.index:
            raise UnknownNameError("metric of this report", metric, self.summary.index)
        return float(self.summary.loc[metric, "mean"])

    def _title(self) -> str:
        sampled = self.info.get("n_negatives")
        return (
            f"{self.name}: {len(self.per_user):,} users"
            + (f", only {sampled} sampled negatives each (not comparable with a full ranking)" if sampled else "")
            + (f", {self.info['confidence']:.0%} intervals" if "confidence" in self.info else "")
        )

    def __repr__(self) -> str:
        return f"Report({self._title()})\n{self.summary.round(4).to_string()}"

    def _repr_html_(self) -> str:
        import html

        table = self.summary.to_html(float_format=lambda x: f"{x:.4f}", na_rep="", border=0)
        return f"<p><strong>{html.escape(self._title())}</strong></p>{table}"


def summarise(
    per_user: pd.DataFrame, whole: dict[str, float], order: list[str], confidence: float, n_boot: int, seed: int
) -> pd.DataFrame:
    """Table of means and intervals, in ``order``, from values per user and values of the whole catalogue."""
    low, high = bootstrap.interval(bootstrap.resampled_means(per_user.to_numpy(), n_boot, seed), confidence)
    rows = {name: (per_user[name].mean(), low[i], high[i]) for i, name in enumerate(per_user.columns)}
    rows |= {name: (value, np.nan, np.nan) for name, value in whole.items()}
    table = pd.DataFrame([rows[name] for name in order], columns=["mean", "ci_low", "ci_high"], dtype=float)
    table.index = pd.Index(order, name="metric")
    return table
