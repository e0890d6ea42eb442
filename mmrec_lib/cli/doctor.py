"""``mmrec doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

from .. import __version__
from ..errors import MMRecError
from . import project

#: Package to what needs it.
_PACKAGES = {
    "transformers": "encoders of text", "torchvision": "pretrained encoders of pictures", "librosa": "sounds",
    "av": "films", "fastapi": "mmrec serve", "uvicorn": "mmrec serve", "prometheus_client": "mmrec serve",
    "faiss": "approximate indices",
}  # fmt: skip
_EXTRA = {"fastapi": "serve", "uvicorn": "serve", "prometheus_client": "serve", "faiss": "serve"}


def examine(place: Path) -> int:
    """Print one line for each thing looked at; 1 if something is broken, else 0."""
    failed = 0
    for name, look in _CHECKS:
        try:
            state, told = look(place)
        except MMRecError as error:
            state, told = "wrong", str(error)
        failed += state == "wrong"
        print(f"{state:7} {name}: {told}")
    print("all is well" if not failed else f"{failed} of {len(_CHECKS)} checks failed")
    return int(failed > 0)


def _versions(place: Path) -> tuple[str, str]:
    import torch

    return "ok", f"mmrec_lib {__version__}, Python {platform.python_version()}, torch {torch.__version__}"


def _device(place: Path) -> tuple[str, str]:
    from ..training import device

    return "ok", str(device.resolve("auto"))


def _packages(place: Path) -> tuple[str, str]:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return "ok", "all there"
    parts = [f"{n} ({_PACKAGES[n]}: pip install 'mmrec-lib[{_EXTRA.get(n, 'encoders')}]')" for n in missing]
    return "missing", "; ".join(parts)


def _disk(place: Path) -> tuple[str, str]:
    free = shutil.disk_usage(place if place.exists() else Path()).free / 2**30
    return ("ok" if free > 1 else "wrong"), f"{free:.1f} GiB free"


def _configuration(place: Path) -> tuple[str, str]:
    plan = project.read(place)
    project.make(plan.model, plan.seed)  # raises for an unknown model or parameter
    return "ok", f"{plan.model['name']} on {', '.join(plan.encoders) or 'clicks alone'}"


def _catalogue(place: Path) -> tuple[str, str]:
    from ..data import quality_report
    from ..datasets import load_folder

    plan = project.read(place)
    data = load_folder(plan.path(plan.catalogue))
    notes = [note for note in quality_report(data).table["note"] if note]
    return "ok", f"{data!r}" + "".join(f"\n        - {note}" for note in notes)


def _bundle(place: Path) -> tuple[str, str]:
    from ..serving import Engine, load_bundle

    plan = project.read(place)
    folder = plan.path(plan.bundle)
    if not folder.exists():
        return "missing", f"{folder} is not there yet: `mmrec train {place}` writes it"
    engine = Engine(load_bundle(folder))
    answer = engine.recommend(next(iter(engine.user_codes), None), 5)
    return ("wrong" if answer.fallback else "ok"), f"{engine.bundle!r}, {len(answer.items)} things in a list"


_CHECKS: list[tuple[str, Callable[[Path], tuple[str, str]]]] = [
    ("versions", _versions), ("device", _device), ("packages", _packages), ("disk", _disk),
    ("configuration", _configuration), ("catalogue", _catalogue), ("bundle", _bundle),
]  # fmt: skip
