"""Chapters and assignments as notebooks: make one from Markdown, run it, keep its set-up cell as it must be.

    python tools/notebooks.py make draft.md chapters/1_foundations/02_data.ipynb   # Markdown to notebook
    python tools/notebooks.py make draft.md coursework/a1_.../instructor.ipynb     # and student.ipynb beside it
    python tools/notebooks.py run chapters/1_foundations/02_data.ipynb             # execute, store the outputs
    python tools/notebooks.py setup                                                # rewrite every set-up cell

``run`` executes in a fresh kernel with one thread and stores nothing when a cell fails.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SETUP_TAG = "setup"
SETUP_CELL = """\
# On Colab: install the library and say what the machine is. Anywhere else this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install -q "mmrec-lib[{extras}] @ git+{url}@{branch}"
    import mmrec_lib as mm

    print(mm.about())
    if mm.by_device(cpu=True, gpu=False):
        print("For a GPU: Runtime > Change runtime type > T4 GPU, then run this cell again.")"""
#: What the chapters of a part, or an assignment, need of the library's extras.
EXTRAS = {"7_deployment": "encoders,serve", "a6_service": "encoders,serve"}


def repository(root: Path = ROOT) -> dict[str, str]:
    """Public address and branch, from the one setting in ``_config.yml``."""
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]


def setup_source(path: Path | None = None) -> str:
    """The set-up cell of the chapter at ``path``; the part that it belongs to decides what is installed."""
    part = path.resolve().parent.name if path else ""
    return SETUP_CELL.format(**repository(), extras=EXTRAS.get(part, "encoders"))


def chapters(root: Path = ROOT) -> list[Path]:
    """All notebooks of the book, in order."""
    return sorted(p for p in (root / "chapters").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def assignments(root: Path = ROOT) -> list[Path]:
    """The notebooks of the coursework, those of instructors and of students; they are stored without outputs."""
    return sorted((root / "coursework").glob("a*_*/*.ipynb"))


def put_setup(notebook: nbformat.NotebookNode, path: Path | None = None) -> nbformat.NotebookNode:
    """Write the set-up cell of the chapter at ``path`` anew; without one it is put before the first code cell."""
    tagged = [c for c in notebook.cells if SETUP_TAG in c.metadata.get("tags", [])]
    if not tagged:
        first = next((i for i, c in enumerate(notebook.cells) if c.cell_type == "code"), len(notebook.cells))
        tagged = [nbformat.v4.new_code_cell(id="setup")]
        notebook.cells.insert(first, tagged[0])
    tagged[0].metadata["tags"] = [SETUP_TAG, "hide-cell"]
    tagged[0].source = setup_source(path)
    return notebook


def from_markdown(text: str, path: Path | None = None) -> nbformat.NotebookNode:
    """A notebook without outputs from MyST Markdown: ``{code-cell}`` fences are code, ``+++`` divides text cells.

    ``path`` is where it will be stored: the part of the book decides what its set-up cell installs.
    """
    from myst_nb.core.read import read_myst_markdown_notebook

    notebook = read_myst_markdown_notebook(text)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02d}"
    notebook.metadata = nbformat.from_dict(METADATA)
    return put_setup(notebook, path)


def run(path: Path, timeout: int = 600) -> None:
    """Execute all cells in order in a fresh kernel and store the outputs; the file stays as it is if one fails."""
    from nbclient import NotebookClient

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    notebook = put_setup(nbformat.read(path, as_version=4), path)
    options = {"timeout": timeout, "kernel_name": "python3", "record_timing": False}
    NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}, **options).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _merge_streams(cell.outputs)
    write(notebook, path)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Store a notebook in one step."""
    nbformat.validate(notebook)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(scratch, path)


def _merge_streams(outputs: list) -> list:
    """One stream output instead of the several that a kernel sends by chance of timing."""
    merged: list = []
    for output in outputs:
        if merged and output.output_type == merged[-1].output_type == "stream" and output.name == merged[-1].name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="Markdown to notebook")
    make.add_argument("source", type=Path)
    make.add_argument("target", type=Path)
    for name, text in (("run", "execute and store the outputs"), ("setup", "rewrite the set-up cells")):
        commands.add_parser(name, help=text).add_argument(
            "notebooks", type=Path, nargs="*", help="default: all of them"
        )
    options = parser.parse_args(arguments)
    if options.command == "make":
        assignment = re.fullmatch(r"a\d+_[a-z0-9_]+/instructor\.ipynb", "/".join(options.target.parts[-2:]))
        if not assignment and not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", options.target.name):
            parser.error(
                f"{options.target}: a chapter is named like 04_neighbours.ipynb, an assignment instructor.ipynb"
            )
        options.target.parent.mkdir(parents=True, exist_ok=True)
        notebook = from_markdown(options.source.read_text(encoding="utf-8"), options.target)
        write(notebook, options.target)
        if assignment:
            from mmrec_lib.coursework import student_version

            write(student_version(notebook), options.target.with_name("student.ipynb"))
        return 0
    for path in options.notebooks or (chapters() if options.command == "run" else [*chapters(), *assignments()]):
        print(path, flush=True)
        if options.command == "run":
            run(path)
        else:
            write(put_setup(nbformat.read(path, as_version=4), path), path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
