"""Take the README's picture of a chapter anew: ``python tools/screenshot.py`` after ``make book``."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "_build" / "html" / "chapters" / "2_collaborative_filtering" / "04_neighbours.html"
ABOVE_FIRST_FIGURE = 420  # pixels of text and code that stay in the picture


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": 1400, "height": 860}, color_scheme="light").new_page()
        tab.goto(PAGE.as_uri())
        tab.evaluate("window.MathJax ? MathJax.startup.promise.then(() => true) : true")
        top = tab.evaluate("document.querySelector('article figure').getBoundingClientRect().top + scrollY")
        tab.evaluate(f"window.scrollTo({{top: {top - ABOVE_FIRST_FIGURE}, behavior: 'instant'}})")
        tab.wait_for_timeout(500)
        picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
        browser.close()
    # few colours keep the file small, and a page has no more
    picture.quantize(128, dither=Image.Dither.NONE).save(ROOT / "_static" / "screenshot.png", optimize=True)


if __name__ == "__main__":
    main()
