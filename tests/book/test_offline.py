"""The archive to hand out: all that was built is in it, and it opens from a folder without a network."""

from __future__ import annotations

import re
import runpy
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
tool = runpy.run_path(str(ROOT / "tools" / "offline.py"))
ARCHIVE, HTML, NAME = tool["ARCHIVE"], tool["HTML"], tool["NAME"]
SHOWN = ("appendix/notation", "chapters/2_collaborative_filtering/05_matrix_factorisation", "intro")

if not ARCHIVE.exists():
    pytest.skip("the archive is not packed: run `make offline`", allow_module_level=True)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(ARCHIVE) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder / NAME


def test_all_that_was_built_is_in_it(unpacked):
    built = {p.relative_to(HTML): p for p in HTML.rglob("*") if p.is_file() and p.name not in tool["LEFT_OUT"]}
    packed = {p.relative_to(unpacked) for p in unpacked.rglob("*") if p.is_file()}
    assert packed == set(built) | {Path("READ-ME.txt")}
    assert all((unpacked / name).read_bytes() == path.read_bytes() for name, path in built.items())


def test_every_page_of_the_contents_is_in_it(unpacked):
    pages = re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [page for page in pages if page.startswith("chapters/")]
    assert len(chapters) == len(list((ROOT / "chapters").rglob("[0-9]*.ipynb")))
    assert not [page for page in pages if not (unpacked / f"{page}.html").is_file()]


def test_small_enough_to_hand_out():
    assert ARCHIVE.stat().st_size < 60e6


def test_the_same_book_gives_the_same_archive(tmp_path):
    small = tmp_path / "html"
    small.mkdir()
    for name in ("index.html", "b.png", "a.html"):
        (small / name).write_text(name)
    once, twice = (tool["pack"](small, tmp_path / f"{n}.zip").read_bytes() for n in (1, 2))
    assert once == twice
    with pytest.raises(SystemExit, match="make book"):
        tool["pack"](tmp_path / "nothing", tmp_path / "x.zip")


@pytest.mark.parametrize("page", SHOWN)
def test_opens_without_a_network(browser, unpacked, page):
    """Beginning at index.html, or at a page with mathematics; then a link of the contents is followed."""
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 900})
    try:
        tab = context.new_page()
        asked, errors = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("requestfailed", lambda request: errors.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((unpacked / ("index.html" if page == "intro" else f"{page}.html")).as_uri())
        tab.wait_for_url(f"**/{page}.html")
        tab.evaluate("window.MathJax ? MathJax.startup.promise.then(() => true) : true")
        found = tab.evaluate(
            """() => ({math: document.querySelectorAll('mjx-container').length,
                       tex: document.querySelectorAll('.math').length,
                       pictures: [...document.querySelectorAll('article img')].length,
                       broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)})"""
        )
        assert not found["broken"]
        assert (found["math"] > 0) == (found["tex"] > 0) == (page != "intro")
        assert found["pictures"] > 0 or page == "appendix/notation"
        tab.click("nav.bd-links a[href*='04_neighbours']")
        tab.wait_for_url("**/04_neighbours.html")
    finally:
        context.close()
    assert not errors
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
