"""Sphinx extension of the book: numbers by chapter, author-year citations, and pages that ask no other host."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from sphinxcontrib.bibtex.plugin import register_plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

ROOT = Path(__file__).resolve().parents[1]
MATHJAX = ROOT / "_build" / "vendor" / "mathjax"


def _round() -> BracketStyle:
    return BracketStyle(left="(", right=")")


@dataclass
class RoundAuthorYear(AuthorYearReferenceStyle):
    """Author and year in round brackets: Resnick et al. (1994); (Resnick et al., 1994)."""

    bracket_parenthetical: BracketStyle = field(default_factory=_round)
    bracket_textual: BracketStyle = field(default_factory=_round)
    bracket_author: BracketStyle = field(default_factory=_round)
    bracket_label: BracketStyle = field(default_factory=_round)
    bracket_year: BracketStyle = field(default_factory=_round)


def adjust_config(app, config) -> None:
    """What ``_config.yml`` cannot say.

    Widgets and live code would be fetched from content delivery networks, and the book uses neither. Theme options
    under ``sphinx.config`` would replace those that Jupyter Book derives (launch buttons, repository) altogether.
    """
    config.nb_ipywidgets_js = {}
    config.html_theme_options.update(navigation_with_keys=False, show_toc_level=2, home_page_in_toc=True)
    config.html_context.setdefault("default_mode", "auto")


def drop_live_code(app, pagename, templatename, context, doctree) -> None:
    """Leave out the scripts of Thebe, which Jupyter Book loads whether or not live code is switched on."""
    scripts = context.get("script_files", [])
    context["script_files"] = [file for file in scripts if "thebe" not in f"{file} {vars(file)}".lower()]


#: Pages of the appendix that show every file of a folder, whatever their number.
GATHERED = {"appendix/benchmarks": "benchmarks/results/*.md", "appendix/data_cards": "datasets/*.md"}


def gather_files(app, docname, source) -> None:
    """Put the tables of `make bench`, and the data cards, where their page has its mark."""
    if docname in GATHERED:
        names = [path.relative_to(ROOT) for path in sorted(ROOT.glob(GATHERED[docname]))]
        parts = [f"```{{include}} ../{name}\n:heading-offset: 1\n```" for name in names]
        source[0] = source[0].replace("<!-- gathered -->", "\n\n".join(parts))


#: Chapters that show a table of `make bench`: mark, file, and the text between which the table stands.
MEASURED = {
    "chapters/3_content_encoders/14_aligning_modalities": (
        "<!-- table of encoders -->", "encoders.md", "# Encoders", "\nSpeed, medians",
    ),
    "chapters/4_multimodal_fusion/23_does_the_model_use_the_content": (
        "<!-- table of content controls -->", "content_control.md", "# Does the model use the content?", "\n# ",
    ),
}  # fmt: skip


def put_measured_table(app, docname, source) -> None:
    """A table that `make bench` measures, where its chapter has its mark; a notebook's source is JSON."""
    if docname in MEASURED:
        mark, name, after, before = MEASURED[docname]
        path = ROOT / "benchmarks" / "results" / name
        if path.exists():
            text = path.read_text(encoding="utf-8").partition(after)[2].partition(before)[0].strip()
            source[0] = source[0].replace(mark, json.dumps(text, ensure_ascii=False)[1:-1])


def number_by_chapter(app, env) -> list[str]:
    """Figures, tables, equations and exercises of chapter 4 are 4.1, 4.2, ...; those outside chapters A.1, A.2, ..."""
    for docname, kinds in env.toc_fignumbers.items():
        chapter = re.match(r"chapters/[^/]+/0*(\d+)_", docname)
        prefix = int(chapter[1]) if chapter else "A"
        for numbers in kinds.values():
            for count, label in enumerate(numbers, start=1):
                numbers[label] = (prefix, count)
    return []


def copy_mathjax(app, error) -> None:
    """Copy MathJax beside the pages.

    Jupyter Book would load every script that it finds in ``_static`` into every page, so MathJax cannot wait there.
    """
    if error is None and app.builder.format == "html":
        if not MATHJAX.exists():
            raise FileNotFoundError(f"{MATHJAX} is missing: run `python tools/get_mathjax.py`, or `make book`")
        shutil.copytree(MATHJAX, Path(app.outdir) / "_static" / "mathjax", dirs_exist_ok=True)


def setup(app) -> dict:
    register_plugin("sphinxcontrib.bibtex.style.referencing", "round_author_year", RoundAuthorYear)
    app.connect("config-inited", adjust_config)
    app.connect("env-get-updated", number_by_chapter, priority=900)  # after Sphinx has counted
    app.connect("source-read", gather_files)
    app.connect("source-read", put_measured_table)
    app.connect("html-page-context", drop_live_code, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
