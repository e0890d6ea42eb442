"""Data that belong to one student: a seed from the assignment and the student's id, and what is drawn with it."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ..errors import ParameterError
from .registry import find

PLACEHOLDER = "your-id"
_ID = re.compile(r"\w[\w.@+-]{0,63}")


class Work:
    """A student's own data; what the assignment drew for the student are attributes.

    Attributes
    ----------
    assignment, student : str
    seed : int
        Comes from both names, see :func:`seed_of`.
    data, split, ...
        Whatever the assignment gives; ``print(work)`` lists it.
    """

    def __init__(self, assignment: str, student: str, seed: int, given: dict) -> None:
        taken = {"assignment", "student", "seed"} & set(given)
        if taken:
            raise ParameterError(
                f"personal data of {assignment}: {', '.join(sorted(taken))} is taken, choose other names"
            )
        self.assignment, self.student, self.seed = assignment, student, seed
        self._given = tuple(given)
        self.__dict__.update(given)

    def __repr__(self) -> str:
        return f"Work({self.assignment!r} of {self.student!r}: {', '.join(self._given)})"


def student_id(student: str) -> str:
    """The id without blanks around it and in small letters, so that ``" Ada"`` and ``"ada"`` are one person.

    Raises :class:`ParameterError` for anything but 1 to 64 letters, digits and ``. _ @ + -`` after a letter or digit.
    """
    text = unicodedata.normalize("NFC", student).strip().casefold() if isinstance(student, str) else ""
    if not _ID.fullmatch(text):
        raise ParameterError(
            f"STUDENT={student!r}: give the id that your course uses, in quotation marks, as in 'jdoe42' "
            "(letters, digits and . _ @ + -)"
        )
    return text


def seed_of(assignment: str, student: str) -> int:
    """A seed from 0 to 2**32 - 1 for a student's data: the first four bytes of a SHA-256.

    The same on every machine and in every version; another student, or another assignment, gives another.

    >>> seed_of("a1", "ada") == seed_of("a1", " Ada ") != seed_of("a2", "ada")
    True
    """
    text = f"{assignment}/{student_id(student)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def start(assignment: str, student: str) -> Work:
    """The personal data of a student for an assignment.

    Parameters
    ----------
    assignment : str
        Key, as in ``"a1"``; :func:`mmrec_lib.coursework.assignments` lists them.
    student : str
        The id that the course uses. With ``"your-id"``, the placeholder of the notebooks, there are data to look at,
        and a line that says to put in the own id.

    Returns
    -------
    Work

    Raises
    ------
    UnknownNameError, ParameterError
        No such assignment; an id that cannot be one.
    """
    known = find(assignment)
    student = student_id(student)
    seed = seed_of(assignment, student)
    if student == PLACEHOLDER:
        print('These are nobody\'s data: put your own id into STUDENT = "your-id" and run this cell again.')
    return Work(assignment, student, seed, known.draw(seed))
