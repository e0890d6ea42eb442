"""Every error that the library raises on purpose: what was wrong, what was expected, what to do.

All derive from :class:`MMRecError`, and also from the built-in exception that a caller would expect
(``ValueError``, ``FileNotFoundError``, ...), so that ordinary ``except`` clauses work.
"""

from __future__ import annotations


class MMRecError(Exception):
    """Base class of all errors of this library."""


class ParameterError(MMRecError, ValueError):
    """An argument has a value that makes no sense (negative ``k``, unknown split name, ...)."""


class DataError(MMRecError, ValueError):
    """Interactions, tables or media do not have the form that they must have."""


class MissingColumnError(DataError):
    """A table lacks a column."""

    def __init__(self, where: str, missing: str, found: list[str], hint: str = "") -> None:
        super().__init__(
            f"{where}: column {missing!r} is missing; found {', '.join(map(repr, found)) or 'no columns'}."
            + (f" {hint}" if hint else "")
        )


class FeatureError(DataError):
    """Feature vectors are not finite, or do not fit the items."""


class UnknownUserError(MMRecError, IndexError):
    """A user code that the model or data set does not know."""


class UnknownItemError(MMRecError, IndexError):
    """An item code that the model or data set does not know."""


class UnknownNameError(MMRecError, LookupError):
    """A name (model, data set, metric, ...) that is not registered."""

    def __init__(self, kind: str, name: object, known) -> None:
        import difflib

        known = sorted(map(str, known))
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


class NotFittedError(MMRecError, RuntimeError):
    """A recommender was asked before ``fit``."""


class DownloadError(MMRecError, OSError):
    """A file could not be obtained, or is not the file that was expected."""


class ModelFileError(MMRecError, ValueError):
    """A saved model is damaged, incomplete, or of another version."""


class BundleError(ModelFileError):
    """A bundle is damaged, incomplete, or of another schema."""


class StoreError(MMRecError, OSError):
    """Events could not be kept or read."""


class TrainingError(MMRecError, ArithmeticError):
    """Training went wrong: the loss is no longer finite."""


class MissingPackageError(MMRecError, ImportError):
    """A package that only a part of the library needs is not installed."""

    def __init__(self, package: str, what: str, extra: str = "encoders") -> None:
        super().__init__(f"{what} needs the package {package}: pip install 'mmrec-lib[{extra}]', or {package} alone")


class MediaWarning(UserWarning):
    """Some files could not be read; they are named, and masked."""


class WriterWarning(UserWarning):
    """A sentence that a language model wrote did not pass the check; the template's was taken in its place."""
