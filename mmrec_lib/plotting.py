"""The book's look, one place: a style that reads on light and dark pages, and the few plots that chapters share.

Figures have no background, and their ink is a middle grey with a contrast of about 4:1 on white as on near-black.
The palette follows the one that Wong (2011) recommends, shifted so that each colour has at least 3:1 on both
backgrounds and stays apart from the others for readers with red-green colour blindness.

>>> import mmrec_lib as mm
>>> mm.plotting.use_style()
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .errors import MissingColumnError, ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "INK", "heatmap", "interval_bars", "lines", "thumbnails", "use_style"]

#: Text, axes and everything that is not data.
INK = "#777b84"
#: Data, by name; the order is the order of use.
COLOURS = {
    "blue": "#1f80c0",
    "orange": "#c24e10",
    "green": "#149873",
    "purple": "#b765a8",
    "gold": "#b58900",
    "grey": "#868b95",
}
_CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei")
_SIZE = (6.8, 3.2)  # inches; 680 pixels is the width of the book's column


def use_style() -> None:
    """Set Matplotlib's defaults to the look of the book (call it once, after the imports).

    Chinese characters are drawn with the first CJK font that the machine has; without one they stay boxes.
    """
    import matplotlib as mpl
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    mpl.rcParams.update(
        {
            "figure.figsize": _SIZE,
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.facecolor": "none",
            "savefig.facecolor": "none",
            "figure.constrained_layout.use": True,
            "axes.facecolor": "none",
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.prop_cycle": mpl.cycler(color=list(COLOURS.values())),
            "grid.color": INK,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 2,
            "lines.markersize": 5,
            "image.cmap": "cividis",
            "font.size": 10,
            "font.family": ["DejaVu Sans", *[name for name in _CJK_FONTS if name in installed][:1]],
        }
    )


def interval_bars(
    table: pd.DataFrame,
    xlabel: str = "",
    highlight: str | Sequence[str] = (),
    reference: Mapping[str, float] | None = None,
    sort: bool = True,
    digits: int = 3,
    ax: Axes | None = None,
) -> Axes:
    """One horizontal bar a row with its confidence interval, the best on top, the number written beside it.

    Parameters
    ----------
    table : DataFrame
        Index: what is compared (model names); columns ``mean``, ``ci_low``, ``ci_high``.
    xlabel : str
        What is measured, with its unit.
    highlight : str or list of str
        Rows drawn in the first colour; the others are grey. Default: all in the first colour.
    reference : mapping, optional
        Label to value, drawn as dashed vertical lines (chance, the oracle, a published figure).
    sort : bool, default True
        Order by mean; otherwise the first row is on top.
    digits : int, default 3
        Decimal places of the numbers.
    ax : Axes, optional
        Where to draw; a new figure otherwise.

    Raises
    ------
    MissingColumnError, ParameterError
        A column is missing; a highlighted name is no row; the table is empty.
    """
    for column in ("mean", "ci_low", "ci_high"):
        if column not in table:
            raise MissingColumnError("interval_bars", column, list(map(str, table.columns)))
    if table.empty:
        raise ParameterError("interval_bars: the table has no rows, so there is nothing to draw")
    highlight = [highlight] if isinstance(highlight, str) else list(highlight)
    for name in highlight:
        if name not in table.index:
            raise ParameterError(f"highlight={name!r} is no row; rows are {', '.join(map(str, table.index))}")
    table = table.sort_values("mean") if sort else table.iloc[::-1]
    ax = ax if ax is not None else _new_axes(height=0.8 + 0.36 * len(table))
    colours = [COLOURS["blue" if not highlight or name in highlight else "grey"] for name in table.index]
    ax.barh(
        range(len(table)), table["mean"], height=0.62, color=colours, alpha=0.55
    )  # pale, so that the interval shows
    spread = np.abs(np.stack([table["mean"] - table["ci_low"], table["ci_high"] - table["mean"]]))
    ax.errorbar(table["mean"], range(len(table)), xerr=spread, fmt="none", ecolor=INK, elinewidth=1.6, capsize=3)
    for row, (mean, high) in enumerate(zip(table["mean"], table["ci_high"], strict=True)):
        at = (max(mean, high, 0), row)
        ax.annotate(f"{mean:.{digits}f}", at, xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_yticks(range(len(table)), [str(name) for name in table.index])
    ax.grid(visible=False, axis="y")
    ax.margins(x=0.12)
    ax.set_xlabel(xlabel)
    _draw_references(ax, reference or {})
    return ax


def lines(
    table: pd.DataFrame,
    xlabel: str = "",
    ylabel: str = "",
    low: pd.DataFrame | None = None,
    high: pd.DataFrame | None = None,
    marker: str | None = "o",
    ax: Axes | None = None,
) -> Axes:
    """One line a column over the index, its name written at its right end instead of a legend.

    ``low`` and ``high``, tables of the same shape, draw a band around each line. ``marker=None`` draws plain lines.
    Raises :class:`ParameterError` when the table is empty or has more columns than there are colours (six).
    """
    if table.empty or table.shape[1] > len(COLOURS):
        raise ParameterError(
            f"lines: {table.shape[1]} columns of {len(table)} rows; 1 to {len(COLOURS)} lines can be told apart"
        )
    ax = ax if ax is not None else _new_axes()
    ends = []
    for name, colour in zip(table.columns, COLOURS.values(), strict=False):
        column = table[name].dropna()
        ax.plot(column.index, column, color=colour, marker=marker)
        if low is not None and high is not None:
            ax.fill_between(table.index, low[name], high[name], color=colour, alpha=0.18, linewidth=0)
        ends.append((column.index[-1], column.iloc[-1], str(name), colour))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if len(ends) > 1:
        _label_ends(ax, ends)
    return ax


def heatmap(table: pd.DataFrame, label: str = "", digits: int | None = 2, ax: Axes | None = None) -> Axes:
    """A table as coloured cells with the numbers written in them; missing cells stay empty.

    ``digits=None`` leaves the numbers out (for large tables). ``label`` names what the colour means.
    """
    if table.empty:
        raise ParameterError("heatmap: the table is empty, so there is nothing to draw")
    ax = ax if ax is not None else _new_axes(height=min(0.9 + 0.4 * len(table), 6))
    values = table.to_numpy(dtype=float)
    image = ax.imshow(values, aspect="auto")
    ax.set_xticks(range(table.shape[1]), [str(c) for c in table.columns])
    ax.set_yticks(range(len(table)), [str(r) for r in table.index])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    if digits is not None:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):  # light cells (the upper half of cividis) carry dark numbers
                ink = "#10131a" if image.norm(value) > 0.5 else "#ffffff"
                ax.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=ink, fontsize=9)
    bar = ax.figure.colorbar(image, ax=ax, label=label)
    bar.outline.set_visible(False)
    return ax


def thumbnails(
    images: Sequence[str | Path | None], captions: Sequence[str] = (), columns: int = 6, pixels: int = 96
) -> Figure:
    """Pictures side by side, each at most ``pixels`` wide and high (128 at the most), on white.

    ``None`` leaves an empty frame: an item without a picture. Raises :class:`ParameterError` when there are no
    pictures, ``pixels`` is out of range, or captions and pictures differ in number.
    """
    import matplotlib.pyplot as plt

    if not len(images) or (len(captions) and len(captions) != len(images)):
        raise ParameterError(
            f"thumbnails: {len(images)} pictures and {len(captions)} captions; give one caption each, or none"
        )
    if not 16 <= pixels <= 128:
        raise ParameterError(f"thumbnails: pixels={pixels}; stored outputs show pictures of 16 to 128 pixels")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell = (1.12, 1.12 + 0.42 * bool(len(captions)))
    figure, axes = plt.subplots(rows, columns, figsize=(columns * cell[0], rows * cell[1]), squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for index, (axis, path) in enumerate(zip(axes.ravel(), images, strict=False)):
        axis.imshow(_thumbnail(path, pixels))
        if len(captions):
            axis.set_title(_wrap(str(captions[index])), fontsize=8, loc="center")
    return figure


def _thumbnail(path: str | Path | None, pixels: int) -> np.ndarray:
    from PIL import Image, ImageOps

    if path is None:
        return np.full((pixels, pixels, 4), (134, 139, 149, 50), np.uint8)
    with Image.open(os.fspath(path)) as image:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")  # transparent pictures are drawn for white paper
        return np.asarray(ImageOps.pad(Image.alpha_composite(white, image), (pixels, pixels), color="white"))


def _wrap(text: str, width: int = 15, rows: int = 2) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width, max_lines=rows, placeholder=" …"))


def _new_axes(height: float = _SIZE[1]) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(_SIZE[0], height))[1]


def _draw_references(ax: Axes, reference: Mapping[str, float]) -> None:
    for label, value in reference.items():
        ax.axvline(value, color=INK, linestyle="--", linewidth=1.2)
        ax.annotate(
            label,
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )


def _label_ends(ax: Axes, ends: list[tuple]) -> None:
    """Write each name beside the end of its line, moved apart where two would overlap."""
    low, high = ax.get_ylim()
    gap = 0.075 * (high - low) * _SIZE[1] / ax.figure.get_figheight()
    ends = sorted(ends, key=lambda end: end[1])
    heights = [end[1] for end in ends]
    for below, above in pairwise(range(len(heights))):
        heights[above] = max(heights[above], heights[below] + gap)
    right = max(end[0] for end in ends)
    for (_, _, name, colour), height in zip(ends, heights, strict=True):
        ax.annotate(
            name,
            (right, height),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )
