"""Grading a folder of notebooks with hidden tests: each in a process of its own, one broken notebook harms no other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """A wrong answer as students give it; tests prove that the public check and the hidden tests both notice it.

    Parameters
    ----------
    task : int
    name : str
        A few words: ``"divides by k"``.
    source : str
        Takes the place of the task's first cell with a solution; the task's other cells run after it as they are.
    message : str
        Regular expression, ignoring case, that is found in the message of the public check.
    """

    task: int
    name: str
    source: str
    message: str
