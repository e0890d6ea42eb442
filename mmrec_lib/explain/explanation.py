"""The answer to "why this item?": a table of contributions that can say itself in a sentence."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..data import Dataset
from . import drawing, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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

    def sentence(
        self, language: str = "en", titles: Mapping | Sequence | None = None, n: int = 3,
        writer: Callable[[str], str] | None = None,
    ) -> str:  # fmt: skip
        """One sentence that says what the table shows, and no more than that.

        Parameters
        ----------
        language : {"en", "zh"}, default "en"
        titles : mapping or sequence, optional
            Item code to title. Default: those that ``explain`` found in ``data``; an item without one is named by its
            code.
        n : int, default 3
            Contributions that are named, at most; a counterfactual names all.
        writer : function, optional
            Prompt to text: a language model, such as ``lambda prompt: pipe(prompt, return_full_text=False)[0]
            ["generated_text"]`` for a text-generation pipeline of transformers. The prompt states the facts. The answer
            is used if it is one short sentence that names at least one reason, and no title and no number beyond the
            facts. The check reads names, not claims: whether the sentence is *true* to the facts it cannot see.
            Otherwise, and where there is no reason to name, the template's sentence is returned. Default: the template.

        Raises
        ------
        ParameterError
            An unknown language; a writer that returns something else than text. What the writer raises is raised.

        Warns
        -----
        WriterWarning
            The writer's sentence did not pass; the warning says why.
        """
        titles = self.titles if titles is None else as_titles(titles)
        if writer is None:
            return sentences.say(self, language, titles, n)
        return sentences.write(self, language, titles, n, writer)

    def plot(self, data: Dataset | None = None, n: int = 5) -> Figure:
        """The item's picture, and beside it its reasons: pictures and bars.

        A bar is as long as the value in the table; what is not among the first ``n`` stands in one grey bar where
        values sum to the score. :meth:`alt_text` says the same in words, for those who cannot see it.

        Parameters
        ----------
        data : Dataset, optional
            Pictures (``media["image"]``), and titles where the explanation has none. Default: bars alone.
        n : int, default 5

        Raises
        ------
        DataError
            A data set with fewer items than the explanation names; a picture that cannot be read.
        """
        return drawing.draw(self, data, n)

    def alt_text(self, language: str = "en", n: int = 5) -> str:
        """What :meth:`plot` shows, in words; ``language`` is "en" or "zh"."""
        return drawing.describe(self, language, n)

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
