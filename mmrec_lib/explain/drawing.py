"""An explanation as a figure with pictures, and the same in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import plotting
from ..checks import one_of, whole
from ..data import Dataset
from ..datasets import thumbnail
from ..errors import DataError
from . import sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PIXELS, _LARGE = 96, 128
_ROW, _HEAD = 0.62, 1.5  # inches: a reason; the item's picture with its title
_WORDS = {
    "en": ("Picture of {item}; beside it {what}.", "no reasons", "its reasons and bars: {rows}", "others ({})", "; "),
    "zh": ("{item}的图片；旁边{what}。", "没有理由", "是各个理由及条形：{rows}", "其余{}项", "；"),
}


def draw(explanation, data: Dataset | None, n: int) -> Figure:
    """See :meth:`~mmrec_lib.explain.Explanation.plot`."""
    import matplotlib.pyplot as plt

    titles = _titles(explanation, data)
    rows = _rows(explanation, n, "en", titles)
    figure = plt.figure(figsize=(6.8, max(_HEAD, _ROW * len(rows) + 0.1)))
    grid = figure.add_gridspec(max(len(rows), 1), 3, width_ratios=[2.2, 0.8, 4.6])
    whole_column = figure.add_subplot(grid[:, 0])
    _picture(whole_column, data, explanation.item, _LARGE)
    name = titles.get(explanation.item, f"item {explanation.item}")
    whole_column.set_title(plotting._wrap(name, 22, 3), fontsize=10, loc="center")
    if not len(rows):
        words = figure.add_subplot(grid[0, 1:])
        words.set_axis_off()
        words.text(0, 0.5, plotting._wrap(explanation.sentence(titles=titles), 55, 4), va="center")
    reach = max(np.abs(rows["value"]).max(), 1e-12) if len(rows) else 1
    low = min(rows["value"].min() / reach, 0) if len(rows) else 0
    for place, row in enumerate(rows.itertuples()):
        if not pd.isna(row.item):
            _picture(figure.add_subplot(grid[place, 1]), data, int(row.item))
        _bar(figure.add_subplot(grid[place, 2]), row, row.value / reach, low)
    return figure


def describe(explanation, language: str, n: int) -> str:
    """See :meth:`~mmrec_lib.explain.Explanation.alt_text`."""
    whole_text, none, some, _, between = _WORDS[one_of("language", language, sentences.LANGUAGES)]
    rows = _rows(explanation, n, language, explanation.titles)
    listed = between.join(f"{row.label} {_number(row.value)}" for row in rows.itertuples())
    item = sentences._title(explanation.item, language, explanation.titles)
    return whole_text.format(item=item, what=some.format(rows=listed) if len(rows) else none)


def _rows(explanation, n: int, language: str, titles: dict) -> pd.DataFrame:
    """The first ``n`` reasons with their labels, and all others in one row where values can be added."""
    table = explanation.contributions
    first = table.head(whole("n", n))
    labels = [sentences._name(row, language, titles) for row in first.itertuples()]
    if explanation.how == "users":  # nobody is named
        labels = [f"{'person' if language == 'en' else '用户'} {i + 1}" for i in range(len(first))]
    first = first.assign(label=labels)
    left = table.iloc[len(first) :]
    if explanation.additive and len(left):
        label = _WORDS[language][3].format(len(left))
        rest = {"kind": "others", "item": pd.NA, "name": label, "value": left["value"].sum(), "label": label}
        first = pd.concat([first, pd.DataFrame([rest]).astype({"item": "Int64"})], ignore_index=True)
    return first


def _titles(explanation, data: Dataset | None) -> dict:
    from .explanation import as_titles

    items = explanation.contributions["item"].dropna()
    if data is not None and data.n_items <= max([explanation.item, *items]):
        raise DataError(f"data has {data.n_items} items, the explanation names others: give the data set it is about")
    if explanation.titles or data is None or "title" not in data.items:
        return explanation.titles
    return as_titles(data.items["title"].tolist())


def _picture(ax: Axes, data: Dataset | None, item: int, pixels: int = _PIXELS) -> None:
    """The item's picture on white, or an empty frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    path = data.media["image"][item] if data is not None and "image" in data.media else None
    if path is None or Path(path).suffix == ".svg":
        ax.set_box_aspect(1)
        return
    ax.set_axis_off()
    ax.imshow(np.asarray(thumbnail(path, pixels)))


def _bar(ax: Axes, row, length: float, low: float) -> None:
    """The name, under it the bar, and the value at its end."""
    colour = "grey" if row.kind in ("others", "rest") else "blue" if row.value >= 0 else "orange"
    ax.barh(0, length, height=0.5, color=plotting.COLOURS[colour])
    ax.text(0, 0.45, plotting._wrap(row.label, 60, 1), va="bottom", fontsize=9)
    ax.annotate(_number(row.value), (max(length, 0), 0), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set(xlim=(low, 1.2), ylim=(-0.4, 1.4))
    ax.set_axis_off()


def _number(value: float) -> str:
    return f"{value:.3g}"
