"""The answer to "why this item?": a table of contributions that can say itself in a sentence."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from . import sentences

COLUMNS = ("kind", "item", "name", "value")


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a user is shown an item, made by :func:`mmrec_lib.explain.explain`.

    Attributes
    ----------
    how : str
        The kind of explanation, a name of :func:`mmrec_lib.explain.kinds`.
    method : str
        How the values were found: ``"exact"``, ``"leave-one-out"``, ``"similarity"``, ... They mean different things.
    user, item : int
        Codes.
    score : float
        The score that is explained.
    contributions : DataFrame
        Columns kind (``"click"``, ``"modality"``, ...), item (code of a clicked item, else missing), name and value;
        the largest value first.
    additive : bool
        Do the values sum to ``score``?
    details : dict
        What a kind has to say beyond that, such as ``k``.
    titles : dict
        Item code to title, where one is known.
    """

    how: str
    method: str
    user: int
    item: int
    score: float
    contributions: pd.DataFrame
    additive: bool = False
    details: dict = field(default_factory=dict)
    titles: dict = field(default_factory=dict)

    def sentence(self, language: str = "en", titles: Mapping | Sequence | None = None, n: int = 3) -> str:
        """One sentence that says what the table shows, and no more than that.

        Parameters
        ----------
        language : {"en", "zh"}, default "en"
        titles : mapping or sequence, optional
            Item code to title. Default: those that ``explain`` found in ``data``; an item without one is named by its
            code.
        n : int, default 3
            Contributions that are named, at most; a counterfactual names all.
        """
        return sentences.say(self, language, self.titles if titles is None else as_titles(titles), n)

    def __repr__(self) -> str:
        return f"Explanation({self.how}, {self.method}: {self.sentence()})"

    def _repr_html_(self) -> str:
        table = self.contributions.dropna(axis=1, how="all").head(10)
        return f"<p>{html.escape(self.sentence())}</p>{table.to_html(index=False, escape=True)}"


def as_titles(titles: Mapping | Sequence) -> dict:
    """Code to title as a dict; entries that are missing are left out."""
    pairs = titles.items() if isinstance(titles, Mapping) else enumerate(titles)
    return {int(code): str(title) for code, title in pairs if not pd.isna(title)}


def table(kind: str, values, items=None, names: Sequence[str] | None = None, order: bool = True) -> pd.DataFrame:
    """The contributions of one kind, the largest first unless ``order=False``."""
    values = np.asarray(values, dtype=np.float64)
    items = pd.array([pd.NA] * len(values) if items is None else np.asarray(items), dtype="Int64")
    result = pd.DataFrame({"kind": kind, "item": items, "name": names, "value": values}, columns=list(COLUMNS))
    if order:
        result = result.sort_values("value", ascending=False, kind="stable", ignore_index=True)
    return result
