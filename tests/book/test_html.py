"""The built book: links and pictures in the files, then each page in a browser, wide and narrow, light and dark."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
repository = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))["repository"]()
PAGES = sorted(p for p in HTML.rglob("*.html") if "_static" not in p.parts and p.name not in ("index.html",))
CONTENT = [p for p in PAGES if p.name not in ("search.html", "genindex.html")]
LOOKS = [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")]

if not PAGES:
    pytest.skip("the book is not built: run `make book`", allow_module_level=True)


def name(path: Path) -> str:
    return str(path.relative_to(HTML).with_suffix(""))


@pytest.fixture(scope="module", params=PAGES, ids=name)
def page(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def soup(page):
    return parse(page)


def parse(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "lxml")


def test_every_chapter_is_built():
    sources = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))["chapters"]()
    missing = [s.name for s in sources if not (HTML / s.relative_to(ROOT)).with_suffix(".html").exists()]
    assert not missing


def test_nothing_is_fetched_from_elsewhere(page, soup):
    fetched = [
        tag.get("src") or tag.get("href")
        for tag in soup.select("script[src], link[href], img[src], iframe[src], source[src]")
    ]
    fetched = [url for url in fetched if urlsplit(url).scheme in ("http", "https") or url.startswith("//")]
    assert not fetched


def test_links_lead_somewhere(page, soup):
    dead = []
    for tag in soup.select("a[href], img[src], script[src], link[href], source[src], audio[src]"):
        url = urlsplit(tag.get("href") or tag.get("src"))
        if url.scheme or url.netloc:
            continue
        target = (page.parent / unquote(url.path)).resolve() if url.path else page
        if not target.exists():
            dead.append(tag.get("href") or tag.get("src"))
        elif url.fragment and target.suffix == ".html" and tag.name == "a" and not has_anchor(target, url.fragment):
            dead.append(tag["href"])
    assert not dead


_anchors: dict[Path, set[str]] = {}


def has_anchor(path: Path, fragment: str) -> bool:
    if path not in _anchors:
        _anchors[path] = {tag["id"] for tag in parse(path).select("[id]")}
    return unquote(fragment) in _anchors[path]


def test_addresses_of_the_repository_point_at_files(page, soup):
    """Colab and repository links derive from one setting and name files that exist."""
    home = repository["url"].rstrip("/")
    owner = home.removeprefix("https://github.com/")
    for tag in soup.select("a[href]"):
        url = tag["href"]
        if "colab.research.google.com" in url:
            assert url.startswith(f"https://colab.research.google.com/github/{owner}/blob/{repository['branch']}/")
            assert (ROOT / url.split(f"/blob/{repository['branch']}/", 1)[1]).is_file(), url
        elif url.startswith(home):
            within = re.fullmatch(rf"/(?:blob|edit|tree)/{repository['branch']}/(.+?)(?:\?.*)?", url[len(home) :])
            assert within is None or (ROOT / within[1]).exists(), url
        else:
            assert "github.com" not in url or owner.split("/")[0] not in url, f"another address of ours: {url}"


def test_chapters_have_launch_and_download_buttons(page, soup):
    if "chapters" not in page.parts:
        pytest.skip("not a chapter")
    links = [tag["href"] for tag in soup.select("a[href]")]
    assert any("colab.research.google.com" in link for link in links)
    assert any(link.endswith(".ipynb") and not link.startswith("http") for link in links)


def test_no_unresolved_markup(soup):
    for tag in soup.select("script, style, code, pre, .math"):
        tag.extract()
    article = soup.select_one("article") or soup
    text = article.get_text(" ")
    assert not re.search(r"\{(?:numref|cite:\w+|eq|term|ref|doc|prf:ref)\}|:::|\$\$|``", text)


def test_pictures_have_alternative_text(soup):
    assert not [tag.get("src") for tag in soup.select("article img") if not tag.get("alt")]


@pytest.mark.parametrize(("width", "scheme"), LOOKS, ids=lambda value: str(value))
@pytest.mark.parametrize("path", CONTENT, ids=name)
def test_in_a_browser(browser, path, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        tab = context.new_page()
        errors, requests = [], []
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("requestfailed", lambda request: errors.append(f"failed: {request.url}"))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_function("!window.MathJax || (MathJax.startup && MathJax.startup.promise)")
        tab.evaluate("window.MathJax ? MathJax.startup.promise.then(() => true) : true")
        found = tab.evaluate(LOOK)
    finally:
        context.close()
    assert not errors
    assert not [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    assert found["theme"] == scheme
    assert not found["broken"], "pictures that do not load"
    assert found["page"] <= found["window"], f"the page scrolls sideways: {found['wide']}"
    assert not found["tex"], "mathematics that was not set"
    assert not found["mathError"]


LOOK = r"""() => {
  const article = document.querySelector('article') || document.body;
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  const tex = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest('pre, code, script, style, mjx-container')) continue;
    const match = node.data.match(/\\\(|\\\[|\\begin\{|\\frac|\\mathbf|\\sum\b|\$[^$\s][^$]*\\[^$]*\$/);
    if (match) tex.push(node.data.trim().slice(0, 80));
  }
  const wide = [...article.querySelectorAll('*')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3).map(e => e.tagName + '.' + e.className);
  return {
    theme: document.documentElement.dataset.theme,
    broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
    page: document.documentElement.scrollWidth, window: innerWidth, wide, tex,
    mathError: [...document.querySelectorAll('mjx-merror, [data-mml-node="merror"]')].map(e => e.textContent),
  };
}"""
