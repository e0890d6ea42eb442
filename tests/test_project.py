"""What the files at the top say about the project, and whether they agree."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import mmrec_lib as mm

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def bounds(requirements) -> dict[str, str]:
    parsed = [Requirement(line) for line in requirements]
    return {r.name.lower().replace("_", "-"): str(r.specifier) for r in parsed}


def test_environment_says_the_same_as_pyproject(project):
    extras = project["optional-dependencies"]
    wanted = bounds([*project["dependencies"], *extras["book"], *extras["encoders"], *extras["serve"], *extras["dev"]])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert bounds(environment[-1]["pip"]) == wanted
    assert f"python{project['requires-python']}" in environment


def test_constraints_pin_every_requirement_exactly(project):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = bounds(line for line in lines if line and not line.startswith("#"))
    assert all(re.fullmatch(r"==[\w.]+", pin) for pin in pins.values())
    asked = bounds(chain(project["dependencies"], *project["optional-dependencies"].values()))
    for name, bound in asked.items():
        assert name in pins, f"{name} has no tested version in constraints.txt"
        version = pins[name].removeprefix("==")
        assert Requirement(f"{name}{bound}").specifier.contains(version, prereleases=True), (name, bound, version)
    assert pins["jupyter-book"] == "==1.0.4.post1"


def test_library_asks_for_lower_bounds_only(project):
    assert all(re.fullmatch(r">=[\d.]+", bound) for bound in bounds(project["dependencies"]).values())


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert citation["version"] == newest[1] == mm.__version__


def test_address_is_the_same_everywhere():
    address = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    for name in ("README.md", "CITATION.cff", "appendix/setup.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert address in text, f"{name} does not name {address}"
        assert set(re.findall(r"https://github\.com/[\w.-]+/[\w-]+", text)) == {address}, name


def test_configuration_has_no_key_twice():
    """YAML drops the first of two equal keys without a word."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key) for key, _ in node.value]
            assert len(keys) == len(set(keys)), f"a key occurs twice near line {node.start_mark.line + 1}: {keys}"
            return super().construct_mapping(node, deep)

    for name in ("_config.yml", "_toc.yml", "environment.yml"):
        yaml.load((ROOT / name).read_text(encoding="utf-8"), Loader=Strict)


def test_no_package_shadows_datasets():
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_import_is_quick_and_loads_nothing_heavy():
    program = (
        "import sys, time; start = time.perf_counter(); import mmrec_lib as mm; "
        "print(time.perf_counter() - start); "
        "print(*{'torch', 'transformers', 'pandas', 'sklearn', 'matplotlib', 'optuna'} & set(sys.modules)); "
        "mm.data; print('torch' in sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.splitlines()
        for _ in range(3)
    ]
    assert min(float(run[0]) for run in runs) <= 0.5  # the quickest of three: other work on the machine only slows down
    assert runs[0][1] == ""
    assert runs[0][2] == "False"


def test_example_of_the_readme_runs_as_printed():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    recall = re.search(r"^recall@20\s+([\d.]+)", done.stdout, flags=re.MULTILINE)
    assert float(recall[1]) > 0.25, done.stdout
    assert re.search(r"\['.+', '.+', '.+'\]", done.stdout), "three titles"


def test_readme_lists_what_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / name).exists(), name
    listed = re.findall(
        r"\b(\d\d) [A-Z]", text[text.index("## What is in the book") : text.index("## Where things are")]
    )
    assert listed == sorted(p.name[:2] for p in (ROOT / "chapters").rglob("[0-9]*.ipynb"))


def test_make_help_lists_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.+)$", text, flags=re.MULTILINE)[1].split())
    shown = set(re.findall(r"^([a-z]+):.*##", text, flags=re.MULTILINE))
    assert phony == shown
