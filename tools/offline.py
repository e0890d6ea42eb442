"""One file to hand out: the built book as a zip archive. ``python tools/offline.py`` (``make offline``).

The archive holds what ``make book`` built: pages, figures, sounds, notebooks, search and MathJax, with relative links,
so that a browser shows it from a folder without a network. The same book gives the same archive, byte by byte.
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
NAME = "multimodal-recommendation-in-practice"
ARCHIVE = ROOT / "_build" / f"{NAME}.zip"
START = """\
Unpack this archive, then open index.html in a browser. No network is needed.
Notebooks lie beside the pages (the download button at the top of a chapter). To run them: appendix/setup.html.
Text CC BY 4.0, code Apache-2.0, pictures and sounds of the stamps: the Tux Paint authors, GPL-2.
"""
LEFT_OUT = {".buildinfo", "objects.inv"}  # for tools that build other books
PACKED_ALREADY = {".png", ".jpg", ".jpeg", ".webp", ".ogg", ".woff", ".woff2", ".zip"}


def pack(html: Path = HTML, archive: Path = ARCHIVE) -> Path:
    """Write the archive in one step; ``SystemExit`` where the book is not built."""
    if not (html / "index.html").is_file():
        raise SystemExit(f"{html} holds no book: run `make book`")
    scratch = archive.with_suffix(".tmp")
    with zipfile.ZipFile(scratch, "w") as out:
        _add(out, "READ-ME.txt", START.encode())
        for path in sorted(p for p in html.rglob("*") if p.is_file() and p.name not in LEFT_OUT):
            _add(out, path.relative_to(html).as_posix(), path.read_bytes())
    os.replace(scratch, archive)
    return archive


def _add(out: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(f"{NAME}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    packed = Path(name).suffix.lower() in PACKED_ALREADY
    entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    out.writestr(entry, content)


if __name__ == "__main__":
    made = pack()
    print(f"{made.relative_to(ROOT)}: {made.stat().st_size / 1e6:.0f} MB")
    sys.exit(0)
