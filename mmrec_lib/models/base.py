"""What every recommender has in common: parameters, checks, recommend, save and load."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from .. import __version__, ranking
from ..data import Features, Interactions
from ..errors import (
    DataError,
    ModelFileError,
    NotFittedError,
    ParameterError,
    UnknownItemError,
    UnknownUserError,
)

_FORMAT = 1  # of the saved folder; raise it when old folders can no longer be read


class Recommender:
    """Base class: a scikit-learn-like estimator over user and item codes.

    Hyperparameters are the arguments of the constructor, stored under their own names. ``fit`` learns and returns
    self; what it learns ends in an underscore. A subclass writes ``_fit`` and ``_score``:

    ``_fit(train, features, valid)``
        Set learned attributes (NumPy arrays, SciPy CSR matrices, numbers, strings, or None), all ending in ``_``.
        They are saved and loaded without further code. ``self.seen_`` (CSR, ones) and ``self.popularity_`` (events
        per item) are there already.
    ``_score(users)``
        Float array ``(len(users), n_items)``; higher is better; finite.
    ``_score_histories(histories, users)``, in place of ``_score`` or beside it
        The same for people of whom nothing is known but what they met, CSR ``(n, n_items)``; ``histories`` (the
        attribute) then says how. ``users`` are None, or their codes where these are users after all, whose histories
        are given anew; a model that knows more of a user may use that. ``_score`` reads the rows of ``seen_``.

    A user without any training interaction gets the popularity order, unless the class says
    ``scores_new_users = True``.

    An item without any training interaction is placed by its content where ``scores_new_items`` is true. Elsewhere its
    vectors change nothing: models that count or solve give all such items the same score, which is that of an item that
    nobody likes; models trained by gradient descent leave them at their random start.
    """

    #: Registered name, as in ``mm.models.create(name)``.
    name: str = ""
    #: Does the model know something about users who have no interaction?
    scores_new_users = False
    #: Can the model score people by what they met, without learning again? ``"exact"``: the scores are those that they
    #: would have had as users, with everything else as it is. ``"fitted"``: their vectors come from a regression of the
    #: users' vectors on what these met. None: what is known of a user is fixed when it is fitted.
    histories: str | None = None
    #: Do the values of a history (ratings) matter?
    reads_values = False
    #: Does the model tell items without interactions apart, by their content?
    scores_new_items = False
    #: Does ``fit`` need features?
    needs_features = False

    # -- parameters ----------------------------------------------------------------------------------------------
    def get_params(self) -> dict:
        """Hyperparameters by name."""
        return {p: getattr(self, p) for p in inspect.signature(type(self).__init__).parameters if p != "self"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    # -- learning ------------------------------------------------------------------------------------------------
    def fit(self, train: Interactions, features: Features | None = None, valid: Interactions | None = None):
        """Learn from ``train`` and return self.

        Parameters
        ----------
        train : Interactions
        features : Features, optional
            Item vectors, for models that use content; others ignore them.
        valid : Interactions, optional
            Validation interactions, for early stopping; models without training epochs ignore them.

        Raises
        ------
        DataError, FeatureError
            No interactions, features with another number of rows, ``valid`` over other users or items.
        """
        if not len(train):
            raise DataError(f"{type(self).__name__}.fit: train holds no interactions")
        if valid is not None and valid.shape != train.shape:
            raise DataError(f"valid counts {valid.shape} users and items, train {train.shape}: use one code for both")
        if features is not None:
            features.check(train.n_items)
        elif self.needs_features:
            raise DataError(f"{type(self).__name__} needs item vectors: call fit(train, features=...)")
        self.n_users_, self.n_items_ = train.shape
        self.seen_ = train.to_csr()
        self.popularity_ = np.bincount(self.seen_.indices, minlength=train.n_items).astype(np.float32)
        self._fit(train, features, valid)
        return self

    def _fit(self, train: Interactions, features: Features | None, valid: Interactions | None) -> None:
        raise NotImplementedError

    # -- using ---------------------------------------------------------------------------------------------------
    def score(self, users) -> np.ndarray:
        """Scores of all items for each user, float32 ``(len(users), n_items)``; higher is better.

        Users without a training interaction get the popularity order. Raises :class:`NotFittedError` before ``fit``
        and :class:`UnknownUserError` for a code that is not below the number of users.
        """
        users = self._check_users(users)
        scores = np.asarray(self._score(users), dtype=np.float32)
        new = np.diff(self.seen_.indptr)[users] == 0
        if new.any() and not self.scores_new_users:
            scores = np.array(scores)
            scores[new] = self.popularity_ / max(self.popularity_.sum(), 1)
        return scores

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._score_histories(self.seen_[users], users)

    def score_histories(self, histories, users=None) -> np.ndarray:
        """Scores of all items for people who are known by what they met alone, float32 ``(n, n_items)``.

        Nothing is learned again (fold-in); the attribute ``histories`` says how the model does it. Who met nothing gets
        the popularity order, unless the class says ``scores_new_users = True``.

        Parameters
        ----------
        histories : sequence of sequences of item codes, or sparse matrix ``(n, n_items)``
            What each met; the order does not matter, and an item counts once. A model of ratings
            (``reads_values``) takes a matrix of ratings only.
        users : array of int, optional
            Codes ``(n,)``, if these are users of the model whose histories have changed; what the model knows about
            them beyond their histories stays.

        Raises
        ------
        NotFittedError, UnknownItemError, UnknownUserError
        ParameterError
            A model that cannot do it, another shape.
        """
        self._check_users([])  # fitted?
        if self.histories is None:
            raise ParameterError(self._no_histories())
        rows = as_histories(histories, self.n_items_, self.reads_values)
        if users is not None:
            users = self._check_users(users)
            if len(users) != rows.shape[0]:
                raise ParameterError(f"{len(users)} users and {rows.shape[0]} histories: give one history a user")
        scores = np.asarray(self._score_histories(rows, users), dtype=np.float32)
        empty = np.diff(rows.indptr) == 0
        if empty.any() and not self.scores_new_users:
            scores = np.array(scores)
            scores[empty] = self.popularity_ / max(self.popularity_.sum(), 1)
        return scores

    def _score_histories(self, histories: sparse.csr_matrix, users: np.ndarray | None) -> np.ndarray:
        raise NotImplementedError

    def _no_histories(self) -> str:
        name = type(self).__name__
        return f"{name} cannot score a changed history: what it knows of a user is fixed when it is fitted"

    def recommend_for(self, history, k: int = 10, exclude_seen: bool = True) -> pd.DataFrame:
        """The ``k`` best items for people who are not among the users, without learning again.

        ``history`` holds the item codes of one person, or is as in :meth:`score_histories`. The result is that of
        :meth:`recommend`; ``user`` counts the histories from 0. Raises what :meth:`score_histories` raises.
        """
        self._check_users([])  # fitted?
        ranking.check_k(k)
        if not sparse.issparse(history) and all(np.ndim(entry) == 0 for entry in history):
            history = [history]
        rows = as_histories(history, self.n_items_, self.reads_values)
        seen = rows if exclude_seen else None
        return self._lists(np.arange(rows.shape[0]), lambda people: self.score_histories(rows[people]), k, seen)

    def recommend(self, users, k: int = 10, exclude_seen: bool = True) -> pd.DataFrame:
        """The ``k`` best items of each user: DataFrame with columns user, item, rank (from 1), score.

        Items that the user has in the training data are left out, unless ``exclude_seen=False``. A list is shorter
        than ``k`` when fewer items are left.
        """
        users = self._check_users(users)
        ranking.check_k(k)
        return self._lists(users, self.score, k, self.seen_ if exclude_seen else None)

    def _lists(self, users: np.ndarray, score: Callable, k: int, seen: sparse.csr_matrix | None) -> pd.DataFrame:
        parts = list(ranking.iter_top_k(score, users, k, self.n_items_, seen))
        items = np.concatenate([p[1] for p in parts]) if parts else np.zeros((0, 1), int)
        scores = np.concatenate([p[2] for p in parts]) if parts else np.zeros((0, 1), np.float32)
        table = pd.DataFrame(
            {
                "user": np.repeat(users, items.shape[1]),
                "item": items.ravel(),
                "rank": np.tile(np.arange(1, items.shape[1] + 1), len(users)),
                "score": scores.ravel(),
            }
        )
        return table[table["item"] >= 0].reset_index(drop=True)

    def _check_users(self, users) -> np.ndarray:
        if not hasattr(self, "seen_"):
            raise NotFittedError(f"{type(self).__name__} has not learned yet: call fit(train) first")
        users = np.atleast_1d(np.asarray(users))
        if users.size == 0:
            return np.zeros(0, np.int64)
        if users.ndim != 1 or not np.issubdtype(users.dtype, np.integer):
            raise ParameterError(f"users must be integer codes, one-dimensional; got {users.dtype} {users.shape}")
        bad = users[(users < 0) | (users >= self.n_users_)]
        if len(bad):
            raise UnknownUserError(f"user {bad[0]} is unknown: the model knows codes 0 to {self.n_users_ - 1}")
        return users.astype(np.int64)

    # -- keeping -------------------------------------------------------------------------------------------------
    def save(self, path) -> Path:
        """Write the fitted model to the folder ``path`` (``model.json`` and ``model.safetensors``; no pickle).

        An existing model there is replaced in one step; when writing fails, nothing half-written is left.
        """
        if not hasattr(self, "seen_"):
            raise NotFittedError(f"{type(self).__name__} has not learned yet: there is nothing to save")
        path = Path(path)
        if path.exists() and any(path.iterdir() if path.is_dir() else [path]) and not (path / "model.json").exists():
            raise ModelFileError(f"{path} exists and is no saved model: name a new folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            self._write(scratch)
            os.chmod(scratch, 0o755)
            old = scratch.with_suffix(".old")
            if path.exists():
                os.replace(path, old)
            os.replace(scratch, path)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        return path

    def _write(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        arrays, plain = _pack(self._state())
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "model.safetensors")
        header = {
            "format": _FORMAT,
            "library": __version__,
            "model": self.name,
            "params": self.get_params(),
            "state": plain,
        }
        (folder / "model.json").write_text(json.dumps(header, indent=1, default=_plain), encoding="utf-8")

    def _state(self) -> dict:
        """Learned attributes by name; a class with other kinds of state overrides this and ``_restore``."""
        return {k: v for k, v in vars(self).items() if k.endswith("_") and not k.startswith("_")}

    def _restore(self, state: dict) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def as_histories(histories, n_items: int, values: bool = False) -> sparse.csr_matrix:
    """What people met as CSR ``(n, n_items)``, float32: ones, or with ``values`` the numbers of a given matrix.

    Raises :class:`UnknownItemError` for a code that is not below ``n_items``, :class:`ParameterError` for a matrix of
    another width, for codes that are no whole numbers, and for ``values`` without a matrix.
    """
    if sparse.issparse(histories):
        if histories.shape[1] != n_items:
            raise ParameterError(f"histories have {histories.shape[1]} columns, the model knows {n_items} items")
        rows = sparse.csr_matrix(histories, dtype=np.float32, copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        if not values:
            rows.data[:] = 1
        return rows
    if values:
        raise ParameterError("this model learns from ratings: give histories as a sparse matrix of ratings")
    histories = [np.unique(np.asarray(history)) for history in histories]
    sizes = [history.size for history in histories]
    codes = np.concatenate([h for h in histories if h.size]) if sum(sizes) else np.zeros(0, np.int64)
    if not np.issubdtype(codes.dtype, np.integer):
        raise ParameterError(f"histories hold {codes.dtype} values: give item codes, whole numbers")
    outside = codes[(codes < 0) | (codes >= n_items)]
    if len(outside):
        raise UnknownItemError(f"item {outside[0]} is unknown: the model knows codes 0 to {n_items - 1}")
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return sparse.csr_matrix((np.ones(len(codes), np.float32), codes, starts), (len(sizes), n_items))


def load(path) -> Recommender:
    """Read a model that :meth:`Recommender.save` wrote; its scores are the same as before.

    Raises :class:`ModelFileError` when files are missing, damaged, or of a newer format.
    """
    from . import create

    path = Path(path)
    for file in ("model.json", "model.safetensors"):
        if not (path / file).is_file():
            raise ModelFileError(f"{path} holds no saved model: {file} is missing")
    try:
        header = json.loads((path / "model.json").read_text(encoding="utf-8"))
        from safetensors.numpy import load_file

        arrays = load_file(path / "model.safetensors")
    except Exception as error:  # json, unicode and safetensors have an error type each
        raise ModelFileError(f"{path}: the saved model is damaged ({error}); save it again") from None
    if header.get("format") != _FORMAT:
        raise ModelFileError(f"{path} has format {header.get('format')}, this library ({__version__}) reads {_FORMAT}")
    model = create(header["model"], **header["params"])
    model._restore(_unpack(arrays, header["state"]))
    return model


def _pack(state: dict) -> tuple[dict[str, np.ndarray], dict]:
    """Divide the state into arrays (sparse matrices as their three arrays) and plain values."""
    arrays, plain = {}, {}
    for name, value in state.items():
        if sparse.issparse(value):
            value = value.tocsr()
            for part in ("data", "indices", "indptr"):
                arrays[f"{name}.{part}"] = getattr(value, part)
            plain[name] = {"csr": list(value.shape)}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            plain[name] = {"value": value}
    return arrays, plain


def _unpack(arrays: dict[str, np.ndarray], plain: dict) -> dict:
    state = {name: array for name, array in arrays.items() if "." not in name}
    for name, entry in plain.items():
        if "csr" in entry:
            parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
            state[name] = sparse.csr_matrix(parts, shape=tuple(entry["csr"]))
        else:
            state[name] = entry["value"]
    return state


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be saved; keep it as an array or a plain value")
