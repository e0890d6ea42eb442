"""Sphinx extension of the book: pages that ask no other host for anything."""

from __future__ import annotations

import shutil
from pathlib import Path

MATHJAX = Path(__file__).resolve().parents[1] / "_build" / "vendor" / "mathjax"


def copy_mathjax(app, error) -> None:
    """Copy MathJax beside the pages.

    Jupyter Book would load every script that it finds in ``_static`` into every page, so MathJax cannot wait there.
    """
    if error is None and app.builder.format == "html":
        if not MATHJAX.exists():
            raise FileNotFoundError(f"{MATHJAX} is missing: run `python tools/get_mathjax.py`, or `make book`")
        shutil.copytree(MATHJAX, Path(app.outdir) / "_static" / "mathjax", dirs_exist_ok=True)


def drop_network_scripts(app, config) -> None:
    """Widgets and live code would be fetched from content delivery networks; the book uses neither."""
    config.nb_ipywidgets_js = {}


def setup(app) -> dict:
    app.connect("config-inited", drop_network_scripts)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
