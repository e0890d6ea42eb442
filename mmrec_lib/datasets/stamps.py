"""The stamps of Tux Paint: real pictures, sentences and sounds, and a simulated audience.

The catalogue comes with the drawing program Tux Paint (GPL-2, https://tuxpaint.org). Nobody ever rated a stamp: the
people are simulated, see :mod:`mmrec_lib.simulation`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd
from tqdm import tqdm

from ..data import Dataset, Interactions, Media
from ..errors import DataError, DownloadError
from .download import cache_dir, fetch, locked, unpack
from .drawing import svg_to_png

INSTALLED = Path("/usr/share/tuxpaint/stamps")
PACKAGE = "tuxpaint-stamps-default"
ARCHIVE = "tuxpaint-stamps-2022.06.04.tar.gz"
ARCHIVE_URL = f"https://sourceforge.net/projects/tuxpaint/files/tuxpaint-stamps/2022-06-04/{ARCHIVE}/download"
ARCHIVE_SHA256 = "842065576fae554358e00e51d71a492616a6490b12b592228067477c287a0bf8"
#: Longest side of a picture that is rendered from a drawing (SVG), in pixels.
RENDER_SIZE = 512


def load(*, path: str | Path | None = None, audience: bool = True, **options) -> Dataset:
    """The stamps of Tux Paint with a simulated audience, or without people.

    Parameters
    ----------
    path
        Folder of stamps. Default: the installed package (``/usr/share/tuxpaint/stamps``), else the cache, else the
        system's package is downloaded and unpacked (no root needed), else the release archive of the authors.
    audience
        ``False`` gives the bare catalogue: no users, no interactions.
    options
        Passed to :func:`mmrec_lib.simulation.simulate`: ``n_users``, ``seed``, ``weights``, ``popularity_bias``, ...

    Returns
    -------
    Dataset
        ``items`` (index: path without ending) has the columns title, category (the folder: ``animals/birds``),
        top_category, text_en, text_zh. ``media`` has text, text_zh (sentences), image (PNG files), audio (the sound
        that the thing makes) and speech (an English voice that reads the sentence); ``None`` where there is none.
        ``interactions`` holds the first click of each user on each item with a rating from 1 to 5 and a time;
        ``extras["audience"]`` is the :class:`~mmrec_lib.simulation.Audience` that produced it.

    Raises
    ------
    DownloadError
        The stamps could not be had from any source.
    DataError
        ``path`` is no folder of stamps.
    """
    root = catalogue_folder() if path is None else Path(path)
    dataset = _catalogue(root)
    if not audience:
        return dataset
    from .. import simulation

    attributes = simulation.extract_attributes(dataset, cache=_cache_folder())
    people = simulation.simulate(dataset, attributes=attributes, **options)
    dataset.interactions, dataset.users = people.interactions, people.users
    dataset.extras["audience"] = people
    dataset.__post_init__()  # the checks once more, now with people
    return dataset


# -- the catalogue -------------------------------------------------------------------------------------------------
def _catalogue(root: Path) -> Dataset:
    names = sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.txt"))
    if not names:
        raise DataError(
            f"{root}: no stamps there (no .txt file in any folder); give the folder that holds animals/, ..."
        )
    english, chinese = zip(*(_sentences(root / f"{name}.txt") for name in names), strict=True)
    folders = [name.rpartition("/")[0] for name in names]
    items = pd.DataFrame(
        {
            "title": [_title(text, name) for text, name in zip(english, names, strict=True)],
            "category": folders,
            "top_category": [folder.split("/")[0] for folder in folders],
            "text_en": english,
            "text_zh": pd.Series(chinese, index=names, dtype=object),
        },
        index=pd.Index(names, name="item"),
    )
    media = Media(
        {
            "text": english,
            "text_zh": chinese,
            "image": _pictures(root, names),
            "audio": [_existing(root / f"{name}.ogg") for name in names],
            "speech": [_existing(root / f"{name}_desc.ogg") for name in names],
        }
    )
    nobody = Interactions([], [], time=[], n_users=0, n_items=len(names))
    return Dataset(nobody, pd.DataFrame(index=pd.Index([], name="user")), items, media, name="stamps")


def _sentences(path: Path) -> tuple[str | None, str | None]:
    """English and Chinese sentence of a ``.txt`` file: the first line, and the line ``zh_CN.utf8=``."""
    try:
        first, *rest = path.read_text(encoding="utf-8-sig").splitlines() or [""]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}); obtain the stamps again") from None
    chinese = next((line.partition("=")[2].strip() for line in rest if line.startswith("zh_CN.utf8=")), "")
    return first.strip() or None, chinese or None


def _title(text: str | None, name: str, longest: int = 40) -> str:
    """A short name to show: the first sentence without article and full stop; the file's name if there is no text."""
    if text is None:
        return name.rpartition("/")[2].replace("_", " ")
    title = text.split(". ")[0].strip().rstrip(".")
    for article in ("A ", "An ", "The ", "Some "):
        title = title.removeprefix(article)
    title = title[:1].upper() + title[1:]
    return title if len(title) <= longest else title[: longest - 1].rsplit(" ", 1)[0] + "…"


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _pictures(root: Path, names: list[str]) -> list[Path | None]:
    drawings = {name for name in names if not (root / f"{name}.png").exists() and (root / f"{name}.svg").exists()}
    rendered = dict(_render([root / f"{name}.svg" for name in sorted(drawings)]))
    return [rendered[root / f"{n}.svg"] if n in drawings else _existing(root / f"{n}.png") for n in names]


def _render(drawings: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Pairs of a drawing (SVG) and its picture (PNG, in the cache); the drawing itself where it cannot be rendered."""
    wanted = {}
    for path in drawings:
        content = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        wanted[path] = _cache_folder() / f"rendered-{RENDER_SIZE}" / f"{path.stem}-{content}.png"
    missing = [path for path, png in wanted.items() if not png.exists()]
    for path in tqdm(missing, desc="drawing the SVG stamps", disable=None):
        png = _svg_to_png(path)
        if png is None:
            wanted[path] = path
        else:
            _write(wanted[path], png)
    return iter(wanted.items())


def _svg_to_png(path: Path) -> bytes | None:
    """The drawing as a PNG whose longer side has RENDER_SIZE pixels; ``None`` when it cannot be drawn."""
    try:
        return svg_to_png(path, RENDER_SIZE)
    except (ImportError, DataError):
        return None


# -- where the files are -------------------------------------------------------------------------------------------
def catalogue_folder() -> Path:
    """The folder of the stamps: installed, or in the cache; obtained on the first call.

    Raises :class:`DownloadError` when no source has them.
    """
    if INSTALLED.is_dir():
        return INSTALLED
    target = _cache_folder() / "catalogue"
    with locked(_cache_folder()) as cache:
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix=".obtain-", dir=cache) as scratch:
                unpack(_archive(Path(scratch)), target, keep=_wanted)
    folder = next(target.glob("**/stamps"), None)
    if folder is None:
        raise DownloadError(f"{target} holds no folder stamps; delete it and load again")
    return folder


def _archive(scratch: Path) -> Path:
    """A tar file with the stamps, from the first source that has them."""
    failures = []
    for source in (_system_package, _release):
        try:
            return source(scratch)
        except (OSError, subprocess.SubprocessError) as error:
            failures.append(str(error))
    raise DownloadError(
        f"the stamps could not be obtained. {'; '.join(failures)}. "
        f"Remedy: install the package {PACKAGE}, or unpack {ARCHIVE} and call load('stamps', path='.../stamps')."
    )


def _system_package(scratch: Path) -> Path:
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise DownloadError(f"this system has no {program}")
    try:
        _run("apt-get", "download", PACKAGE, folder=scratch)
    except DownloadError:  # lists of packages that are missing, incomplete or old, as on Colab
        if os.geteuid() != 0:
            raise
        _run("apt-get", "update", folder=scratch)
        _run("apt-get", "download", PACKAGE, folder=scratch)
    package = next(scratch.glob("*.deb"), None)
    if package is None:
        raise DownloadError(f"apt-get download {PACKAGE} gave no package")
    archive = scratch / "package.tar"
    with open(archive, "wb") as file:
        _run("dpkg-deb", "--fsys-tarfile", package.name, folder=scratch, stdout=file)
    return archive


def _run(*command: str, folder: Path, stdout=subprocess.PIPE) -> None:
    done = subprocess.run(command, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, timeout=900, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise DownloadError(f"{' '.join(command[:2])} ended with {done.returncode}: {said}")


def _release(scratch: Path) -> Path:
    return fetch(ARCHIVE_URL, scratch / ARCHIVE, ARCHIVE_SHA256)


def _wanted(name: str) -> bool:
    """Leave out what only the drawing program needs, and the descriptions spoken in other languages."""
    path = PurePosixPath(name)
    wanted = path.suffix in (".txt", ".png", ".svg") or (path.suffix == ".ogg" and "_desc_" not in path.name)
    return wanted and "stamps" in path.parts[:-1]


def _cache_folder() -> Path:
    return cache_dir() / "stamps"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
