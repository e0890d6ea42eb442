"""Do the chapters start where versions are others than ours? ``python tools/environments.py`` (``make colab``).

Two fresh environments are made, one after the other, and removed again: one with the oldest versions that
``pyproject.toml`` admits, one with the newest that the package index serves. In each the first cells of every chapter
run, from the set-up cell to the first cell that loads data, as on Colab: the set-up cell finds a module
``google.colab``, and its ``%pip install`` is checked and then left out, since this checkout is installed already.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.machinery
import io
import json
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import types
from importlib import import_module
from importlib.metadata import metadata, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
#: The oldest IPython is the one of Colab.
IPYTHON = "ipython>=7.34"
LOADERS = {"load", "load_folder", "load_benchmark", "load_open_bandit", "load_amazon_2023"}
#: Imported once before the processes of the chapters are forked, which saves each of them the wait.
PRELOADED = ("torch", "transformers", "sklearn.pipeline", "scipy.stats", "matplotlib.pyplot", "pandas", "mmrec_lib")
SHOWN = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "torchvision", "transformers", "matplotlib", "pillow")


# -- in the new environment ----------------------------------------------------------------------------------------
def first_cells(notebook: dict) -> list[str]:
    """Sources of the code cells up to the first that loads data, which belongs to them."""
    from IPython.core.inputtransformer2 import TransformerManager

    sources = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            sources.append("".join(cell["source"]))
            if loads_data(TransformerManager().transform_cell(sources[-1])):
                return sources
    raise ValueError(f"no cell calls one of mm.datasets.{{{', '.join(sorted(LOADERS))}}}")


def loads_data(source: str) -> bool:
    """Is one of the loaders of ``mmrec_lib.datasets`` called here?"""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # running the cell says it better
        return False
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return any(ast.unparse(call).rpartition("datasets.")[2] in LOADERS and "datasets." in ast.unparse(call)
               for call in calls)  # fmt: skip


def wrong_with(requirement: str) -> str | None:
    """What is wrong with the line of ``%pip install``, as far as that can be told without a network."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        words = shlex.split(requirement)
        if words[:2] != ["install", "-q"] or len(words) != 3:
            return f"%pip {requirement}: expected install -q and one requirement"
        parsed = Requirement(words[2])
    except (ValueError, InvalidRequirement) as error:  # the former: a quotation mark that is not closed
        return f"%pip {requirement}: {error}"
    known = metadata("mmrec-lib")
    unknown = parsed.extras - set(known.get_all("Provides-Extra"))
    if parsed.name != known["Name"] or unknown or not str(parsed.url).startswith("git+https://"):
        return f"%pip {requirement}: not this library, an unknown extra ({unknown or 'no'}), or no address"
    return None


def start(path: Path) -> str | None:
    """Run the first cells of a chapter as on Colab; returns what went wrong."""
    from IPython.core.interactiveshell import InteractiveShell

    installed, said = [], io.StringIO()
    os.chdir(path.parent)
    sys.modules["google.colab"] = types.ModuleType("google.colab")
    sys.modules["google.colab"].__spec__ = importlib.machinery.ModuleSpec("google.colab", None)
    shell = InteractiveShell.instance(colors="NoColor")
    shell.register_magic_function(installed.append, "line", "pip")
    try:
        sources = first_cells(json.loads(path.read_text(encoding="utf-8")))
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            for number, source in enumerate(sources, start=1):
                result = shell.run_cell(source, store_history=False)
                if not result.success:
                    return f"cell {number}: {result.error_before_exec or result.error_in_exec!r}\n{said.getvalue()}"
    except ValueError as error:
        return str(error)
    for line in installed:
        if problem := wrong_with(line):
            return problem
    expected = f"mmrec_lib {version('mmrec-lib')}"
    if not installed or expected not in said.getvalue():
        return f"the set-up cell installed {installed} and did not say {expected!r}:\n{said.getvalue()}"
    return None


def inside(notebooks: list[Path]) -> int:
    """Start each chapter in a process of its own; returns how many failed."""
    print("  " + ", ".join(f"{name} {version(name)}" for name in SHOWN), flush=True)
    for name in PRELOADED:
        import_module(name)
    failed = 0
    processes = multiprocessing.get_context("fork").Pool(min(2, os.cpu_count() or 1), maxtasksperchild=1)
    with processes:
        for path, problem in zip(notebooks, processes.imap(start, notebooks), strict=True):
            if problem:
                failed += 1
                print(f"  FAILED {path.name}: {problem}", flush=True)
    print(f"  {len(notebooks) - failed} passed, {failed} failed", flush=True)
    return failed


# -- from the outside ----------------------------------------------------------------------------------------------
def by_extras(notebooks: list[Path]) -> dict[str, list[Path]]:
    """The chapters by what their set-up cell installs, the shortest list of extras first."""
    groups: dict[str, list[Path]] = {}
    for path in notebooks:
        found = re.search(r"mmrec-lib\[([\w,]+)\]", path.read_text(encoding="utf-8"))
        if found is None:
            raise SystemExit(f"{path}: the set-up cell installs no mmrec-lib[...]; run `make links`")
        groups.setdefault(found[1], []).append(path)
    return dict(sorted(groups.items(), key=lambda group: len(group[0])))


def try_environment(name: str, notebooks: list[Path]) -> int:
    """Make an environment, start the chapters in it, remove it; returns the exit status."""
    begun, failed = time.perf_counter(), 0
    (ROOT / "_build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=ROOT / "_build") as scratch:
        place = Path(scratch)
        # what uv unpacks is linked into the environment, so that it is on the disk once
        env = {**os.environ, "UV_CACHE_DIR": str(place / "cache"), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        env["MMREC_CACHE"] = str(_data_without_vectors(place / "data"))
        uv, python, source = [sys.executable, "-m", "uv"], place / "env" / "bin" / "python", _copy(place / "source")
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, place / "env"], env=env, check=True)
        install = ["pip", "install", "--quiet", "--python", python, "--resolution", RESOLUTIONS[name], IPYTHON]
        for extras, group in by_extras(notebooks).items():
            start = time.perf_counter()
            subprocess.run([*uv, *install, f"{source}[{extras}]"], env=env, check=True)
            print(f"{name} [{extras}]: installed in {time.perf_counter() - start:.0f} s", flush=True)
            done = subprocess.run([python, __file__, "--inside", *group], env=env, cwd=place, check=False)
            failed = max(failed, done.returncode)
    print(f"{name}: {time.perf_counter() - begun:.0f} s in all", flush=True)
    return failed


def _data_without_vectors(place: Path) -> Path:
    """The cache of data sets, but no vectors: encoders must work with these versions too."""
    place.mkdir()
    cache = Path(os.environ.get("MMREC_CACHE") or ROOT / "datasets" / ".cache")
    for entry in cache.iterdir() if cache.is_dir() else ():
        if entry.name != "features":
            (place / entry.name).symlink_to(entry.resolve())
    return place


def _copy(place: Path) -> Path:
    """What belongs to the library, elsewhere: building it leaves nothing in the checkout."""
    place.mkdir()
    shutil.copytree(ROOT / "mmrec_lib", place / "mmrec_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, place / name)
    return place


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", type=Path, nargs="*", help="default: all chapters")
    parser.add_argument("--only", choices=RESOLUTIONS, help="one of the two environments")
    parser.add_argument("--inside", action="store_true", help="run here; used by this program itself")
    options = parser.parse_args(arguments)
    notebooks = [path.resolve() for path in options.notebooks or sorted((ROOT / "chapters").rglob("[0-9]*.ipynb"))]
    if options.inside:
        return int(inside(notebooks) > 0)
    return max(try_environment(name, notebooks) for name in ([options.only] if options.only else RESOLUTIONS))


if __name__ == "__main__":
    sys.exit(main())
