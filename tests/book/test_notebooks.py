"""The form of the chapters, as CONTRIBUTING.md describes it; nothing is executed here."""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
tool = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))
CHAPTERS = tool["chapters"]()
BANNED = (
    "rapid development",
    "in today's world",
    "in the era of",
    "delve",
    "plays a crucial role",
    "plays a vital role",
    "it is worth noting",
    "it's worth noting",
    "it is important to note",
    "in recent years",
    "state-of-the-art results",
    "game changer",
    "game-changer",
    "tapestry",
    "leverage the power",
    "unlock the",
    "ever-evolving",
    "ever-growing",
)
SECTIONS = ("What we measured", "Summary", "Exercises", "Quiz", "Further reading")
IMAGE_TYPES = ("image/png", "image/svg+xml", "image/jpeg")
QUESTION = re.compile(r"^\*\*(\d+)\. (.+)\*\*$")
CHOICE = re.compile(r":::\{dropdown\} ([A-D])\. (.+)\n\*\*(Right|No|Not quite)\.\*\* (.+)\n:::")


@pytest.fixture(scope="module", params=CHAPTERS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def notebook(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def text(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def tagged(cells, tag: str) -> list:
    return [cell for cell in cells if tag in tags(cell)]


def outputs(cells):
    return [output for cell in cells for output in cell.outputs]


def test_there_are_chapters_and_each_is_in_the_contents():
    assert CHAPTERS
    listed = set(re.findall(r"file: (chapters/\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
    assert listed == {str(path.relative_to(ROOT).with_suffix("")) for path in CHAPTERS}


def test_valid_and_small(path, notebook):
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000, "keep pictures small and outputs short"
    assert notebook.metadata.kernelspec.name == "python3"


def test_title_carries_the_number_of_the_file(path, notebook):
    number = path.name[:2]
    assert re.match(rf"# {number} \S", notebook.cells[0].source), f"begin with `# {number} Title`"
    assert ":class: objectives" in notebook.cells[0].source, "the box `In this chapter` stands in the first cell"


def test_stored_from_one_clean_run(code):
    run = [cell for cell in code if "nbval-skip" not in tags(cell)]
    assert [cell.execution_count for cell in run] == list(range(1, len(run) + 1))
    assert not [out for out in outputs(tagged(code, "nbval-skip")) if out.output_type == "error"]


def test_no_errors_and_no_warnings_in_outputs(code):
    unexpected = [cell for cell in code if "raises-exception" not in tags(cell)]
    assert not [out.ename for out in outputs(unexpected) if out.output_type == "error"]
    assert not [out.text for out in outputs(code) if out.output_type == "stream" and out.name == "stderr"]


def test_cells_are_short(code):
    own = [cell for cell in code if "setup" not in tags(cell)]
    for cell in own:
        lines = cell.source.splitlines()
        assert len(lines) <= 30, f"{len(lines)} lines: {lines[0]!r} ... needs a function of the library"
        too_wide = [line for line in lines if len(line) > 100]
        assert not too_wide, f"wider than the page: {too_wide[0]!r}"


def test_setup_cell_is_the_standard_one(path, code):
    (setup,) = tagged(code, "setup")
    assert setup.source == tool["setup_source"](path), "run `make links`"
    assert setup is code[0]
    assert not setup.outputs


def test_checked_outputs_and_assertions(code, text):
    checked = tagged(code, "nbval-check-output")
    assert len(checked) >= 3, "tag at least three cells nbval-check-output"
    assert all(cell.outputs for cell in checked), "a checked cell needs an output to compare"
    measured = tagged(code, "measured")
    assert measured, "tag the cell under `What we measured`"
    for cell in measured:
        found = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
        assert found, "a measured cell asserts"
        assert not any(isinstance(node.test, ast.Constant) for node in found), "an assertion that cannot fail"
        assert not {"hide-cell", "hide-input", "remove-cell", "remove-input"} & set(tags(cell)), "readers must see it"


def test_compared_outputs_do_not_depend_on_the_device(code):
    assert not [cell.source for cell in tagged(code, "nbval-check-output") if "by_device" in cell.source]


def test_sections(text):
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == list(SECTIONS)


def test_figures_have_name_caption_and_alternative_text(path, code):
    figures = [
        cell for cell in code if any(kind in out.get("data", {}) for out in cell.outputs for kind in IMAGE_TYPES)
    ]
    assert len(figures) >= 2, "a chapter shows its findings: two figures at least"
    for cell in figures:
        look = cell.metadata.get("mystnb", {})
        start = cell.source[:60]
        assert sum(kind in out.get("data", {}) for out in cell.outputs for kind in IMAGE_TYPES) == 1, (
            f"two figures: {start}"
        )
        assert len(look.get("image", {}).get("alt", "")) >= 20, f"alt text is missing: {start}"
        assert len(look.get("figure", {}).get("caption", "")) >= 20, f"caption is missing: {start}"
        assert re.fullmatch(rf"fig-{path.name[:2]}-[a-z0-9-]+", look["figure"].get("name", "")), f"name: {start}"


def test_no_path_of_a_machine(notebook):
    stored = json.dumps([{"source": c.source, "outputs": strip_media(c.get("outputs", []))} for c in notebook.cells])
    found = re.search(r"(/(home|Users)/\w+|/(ro+t|tmp|wor+k)/|[A-Z]:\\\\Users)", stored)
    assert found is None, found and stored[max(0, found.start() - 60) : found.end() + 60]


def strip_media(outputs: list) -> list:
    """Outputs without the base64 of pictures and sounds, in which anything may occur by chance."""
    return json.loads(re.sub(r"(?:[A-Za-z0-9+/=]|\\n){200,}", "", json.dumps(outputs)))


def test_long_enough_and_in_our_voice(text):
    words = len(re.findall(r"[A-Za-z][\w'-]*", text))
    assert words >= 1200, f"{words} words"
    lowered = text.lower()
    assert not [phrase for phrase in BANNED if phrase in lowered]


def test_exercises_have_solutions(path, text):
    exercises = set(re.findall(r"\{exercise\}[^\n]*\n:label: (\S+)", text))
    solutions = set(re.findall(r"\{solution(?:-start)?\} (\S+)", text))
    assert len(exercises) >= 3
    assert exercises == solutions
    assert all(label.startswith(f"ex-{path.name[:2]}-") for label in exercises)
    assert text.count("{solution-start}") == text.count("{solution-end}")


def test_cites(text):
    keys = set(re.findall(r"\{cite:\w+\}`([^`]+)`", text))
    assert len(keys) >= 2


def quiz(text: str) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Questions, each with its choices: letter, title, first word of the explanation, the rest of it."""
    (section,) = re.findall(r"^## Quiz\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    questions: list[tuple[str, list[tuple[str, ...]]]] = []
    for number, block in enumerate(filter(None, (part.strip() for part in section.split("\n\n")))):
        question, choice = QUESTION.fullmatch(block), CHOICE.fullmatch(block)
        assert question or choice, f"neither a question nor a choice with its explanation: {block[:80]}"
        assert question or number, "choices without a question"
        if question:
            assert int(question[1]) == len(questions) + 1, f"numbered in order: {block[:80]}"
            questions.append((question[2], []))
        else:
            questions[-1][1].append(choice.groups())
    return questions


def check_question(question: str, choices: list[tuple[str, ...]]) -> None:
    assert choices, f"no choices: {question}"
    letters, titles, verdicts, explanations = zip(*choices, strict=True)
    assert "".join(letters) in ("ABC", "ABCD"), f"three or four choices, in order: {question}"
    assert verdicts.count("Right") == 1, f"one choice is right: {question}"
    assert len(set(titles)) == len(titles), f"a choice twice: {question}"
    for explanation in explanations:
        assert len(explanation.split()) >= 6, f"says too little: {explanation}"
        assert not re.search(r"\b(choice|answer) [A-D]\b", explanation), f"choices may move: {explanation}"


def check_quiz(text: str) -> int:
    """Assert the form of CONTRIBUTING.md; the number of questions."""
    questions = quiz(text)
    for question, choices in questions:
        check_question(question, choices)
    return len(questions)


def test_quiz(text):
    assert 3 <= check_quiz(text) <= 5


def test_quiz_of_the_template():
    assert check_quiz((ROOT / "chapters" / "TEMPLATE.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("wrong", "instead"),
    [
        ("**Right.**", "**No.**"),  # none is right
        ("**No.** Two", "**Right.** Two"),  # two are
        ("**No.** Two and two would be", "Two and two would be"),  # without a verdict
        ("**No.** Two and two would be three plus nothing.", "**No.** Wrong."),  # without an explanation
        ("Two and two would be three plus nothing.", ""),
        (":::{dropdown} C.", ":::{dropdown} D."),  # letters
        ("**1. ", "**2. "),  # numbers
        ("**1. How much is two and two?**\n\n", ""),  # no question
        ("\n:::\n\n:::{dropdown} C.", "\n:::{dropdown} C."),  # not closed
        ("one choice more than", "as answer A says, one more than"),
    ],
)
def test_a_quiz_out_of_form_is_noticed(wrong, instead):
    text = """## Quiz

**1. How much is two and two?**

:::{dropdown} A. Four
**Right.** Count on your fingers: one choice more than three.
:::

:::{dropdown} B. Three
**No.** Two and two would be three plus nothing.
:::

:::{dropdown} C. Twenty-two
**Not quite.** So they look side by side, but we add.
:::

## Further reading
"""
    assert check_quiz(text) == 1
    assert text.count(wrong) == 1
    with pytest.raises(AssertionError):
        check_quiz(text.replace(wrong, instead))


def test_the_right_choice_cannot_be_guessed():
    cells = [cell for path in CHAPTERS for cell in nbformat.read(path, as_version=4).cells]
    sections = [cell.source for cell in cells if cell.cell_type == "markdown" and "\n## Quiz\n" in f"\n{cell.source}"]
    questions = [choices for section in sections for _, choices in quiz(section)]
    right = [next(choice for choice in choices if choice[2] == "Right") for choices in questions]
    shares = {letter: sum(choice[0] == letter for choice in right) / len(right) for letter in "ABCD"}
    assert max(shares.values()) < 0.4, f"the right choice stands too often in one place: {shares}"
    longest = [
        choice[1] == max((c[1] for c in choices), key=len) for choice, choices in zip(right, questions, strict=True)
    ]
    assert sum(longest) / len(longest) < 0.4, "the right choice is too often the longest"
