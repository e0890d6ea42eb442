"""Coursework: personal data, checks that teach, student versions of notebooks, and a grader.

A student needs :func:`start` and :func:`check`. A lecturer needs the command ``mmrec coursework`` and
``coursework/README.md``.
"""

from __future__ import annotations

import importlib

# Name to module; modules load when they are first used, so that a student's notebook never waits for the grader.
_WHERE = {
    "Assignment": "checking", "Failed": "checking", "Result": "checking", "Work": "personal", "Wrong": "grading",
    "assignments": "registry", "check": "checking", "find": "registry", "grade": "grading", "seed_of": "personal",
    "start": "personal", "student_version": "notebooks",
}  # fmt: skip

__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
