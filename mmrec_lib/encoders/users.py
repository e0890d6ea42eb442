"""Users as vectors: from what they chose, what they wrote, and what they say about themselves.

A user encoder's item is one user. Where it is a history, it is a list of item codes, the oldest first, or a pair
``(codes, times)`` with times in seconds; :func:`histories` makes such a list from interactions and :func:`profiles`
goes all the way to :class:`~mmrec_lib.data.Features` with one row a user. The vectors of the items are no setting:
they are given by ``with_items(vectors, mask)`` before anything else, kept with what is learned, and part of the
fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from ..data import Dataset, Features, Interactions
from ..errors import DataError, NotFittedError, ParameterError, UnknownItemError
from .base import Encoder
from .metadata import Metadata, rows_of
from .precision import placed

_DAY = 86_400


def histories(data: Dataset | Interactions) -> list:
    """What each user chose, the oldest first: one entry a user, ``None`` for users without interactions.

    An entry is a pair of arrays ``(codes, times)``, or the codes alone when times are unknown; then they are in the
    order of the interactions. Events at the same second keep that order too.
    """
    codes, times, starts = _flat(data)
    parts = np.split(codes, starts[1:-1])
    if times is not None:
        parts = list(zip(parts, np.split(times, starts[1:-1]), strict=True))
    empty = np.diff(starts) == 0
    return [None if nothing else part for part, nothing in zip(parts, empty, strict=True)] if len(empty) else []


def profiles(
    data: Dataset | Interactions, features: Features, encoder: str = "history-mean", device="auto", **options
) -> Features:
    """Vectors of all users, modality by modality, from the vectors of the items that they chose.

    Parameters
    ----------
    data
        Give training interactions alone when test interactions are to be predicted.
    features
        Vectors of the items; items without a modality are left out of its profile.
    encoder
        ``"history-mean"`` or ``"history-attention"``, which is trained on these very histories.
    options
        Settings of the encoder.

    Returns
    -------
    Features
        The same modalities and dimensions, one row a user; masked where a user chose nothing that has the modality.
    """
    from . import create

    interactions = data.interactions if isinstance(data, Dataset) else data
    features.check(interactions.n_items)
    arrays, mask = {}, {}
    for modality in features:
        model = create(encoder, **options)
        if not isinstance(model, _OfItems):
            raise ParameterError(f"encoder={encoder!r}: choose history-mean or history-attention")
        model.with_items(features[modality], features.mask[modality])
        if isinstance(model, HistoryMean):  # all users in one sparse product
            arrays[modality], mask[modality] = model.pool(*_flat(interactions))
        else:
            people = histories(interactions)
            found = model.fit(people, device=device).run(people, device=device)
            arrays[modality], mask[modality] = found.vectors, found.mask
    return Features(arrays, mask)


def _flat(data: Dataset | Interactions) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """All histories one after another: codes, times or None, and where each user's begins (and the last ends)."""
    data = data.interactions if isinstance(data, Dataset) else data
    # lexsort is stable, so equal times keep the order of the interactions
    order = np.lexsort((data.user,) if data.time is None else (data.time, data.user))
    starts = np.concatenate([[0], np.cumsum(data.user_counts())])
    return data.item[order].astype(np.int64), None if data.time is None else data.time[order], starts


class _OfItems(Encoder):
    """What encoders of histories have in common: the vectors of the items."""

    modality = "user"
    batch_sizes = {"cpu": 1024, "cuda": 4096, "mps": 1024}  # noqa: RUF012 - read only

    #: Vectors of the items, float32 (n_items, dim), which of them are real, and a hash of both.
    vectors_: np.ndarray | None = None
    mask_: np.ndarray | None = None
    items_id_: str = ""

    def with_items(self, vectors: np.ndarray, mask: Sequence[bool] | None = None) -> _OfItems:
        """Say what the item codes stand for, and return self.

        Parameters
        ----------
        vectors : array (n_items, dim)
            Row number is the item's code.
        mask : bool (n_items,), optional
            Items whose row is real; others are left out of every history. Default: all.

        What was learned before stays when the new vectors are as long as the old ones (a catalogue that has grown).
        """
        checked = Features({"items": vectors}, None if mask is None else {"items": mask})
        if self.vectors_ is not None and checked["items"].shape[1] != self.vectors_.shape[1]:
            self.fitted_on_ = ""
        self.vectors_, self.mask_ = checked["items"], checked.mask["items"]
        digest = hashlib.sha256(np.ascontiguousarray(self.vectors_).tobytes() + self.mask_.tobytes())
        self.items_id_ = f"{self.vectors_.shape} {digest.hexdigest()}"
        return self

    @property
    def dim(self) -> int:
        """Length of the items' vectors."""
        self._check_items()
        return self.vectors_.shape[1]

    def _weights_id(self) -> str:
        return self.items_id_

    def check_fitted(self) -> None:
        self._check_items()
        super().check_fitted()

    def _check_items(self) -> None:
        if self.vectors_ is None:
            raise NotFittedError(
                f"encoder {self.name!r} does not know the items: call with_items(vectors, mask) first, "
                "or mm.encoders.users.profiles(interactions, features), which does"
            )

    def as_items(self, items):
        """Histories as pairs of arrays, oldest first; ``None`` for those in which no item has a vector."""
        self._check_items()
        return [self._history(row, item) for row, item in enumerate(super().as_items(items))]

    def _history(self, row: int, item):
        if item is None:
            return None
        timed = isinstance(item, tuple) and len(item) == 2 and (item[1] is None or np.ndim(item[0]) == 1)
        codes, times = item if timed else (item, None)
        codes = np.asarray(codes)
        if codes.size == 0:
            return None
        if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
            raise ParameterError(f"history {row}: give a list of item codes, or (codes, times); got {str(item)[:60]}")
        outside = codes[(codes < 0) | (codes >= len(self.vectors_))]
        if len(outside):
            raise UnknownItemError(f"history {row}: item {outside[0]} is unknown; there are {len(self.vectors_)}")
        if times is not None:
            times = np.asarray(times)
            if times.shape != codes.shape:
                raise ParameterError(f"history {row}: {codes.size} items and {times.size} times: give one each")
            order = np.argsort(times, kind="stable")
            codes, times = codes[order], times[order]
        return (codes.astype(np.int64), times) if self.mask_[codes].any() else None

    def _joined(self, batch: list) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """A list of histories one after another, as :func:`_flat` gives them."""
        codes = np.concatenate([codes for codes, _ in batch])
        times = [times for _, times in batch]
        timed = all(part is not None for part in times)
        starts = np.concatenate([[0], np.cumsum([len(codes) for codes, _ in batch])])
        return codes, np.concatenate(times) if timed else None, starts

    def _known(self, codes, times, starts) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """The same histories without the items that have no vector."""
        keep = self.mask_[codes]
        starts = np.concatenate([[0], np.cumsum(keep)])[starts]
        return codes[keep], None if times is None else times[keep], starts


class HistoryMean(_OfItems):
    """A user as the weighted mean of the vectors of the items that the user chose (Rocchio, 1971, without dislikes).

    Parameters
    ----------
    decay : float, default 1
        Above 0, at most 1: each step back in the history counts so many times the one after it. 1: all alike.
    half_life_days : float, optional
        An item chosen so many days before the user's last one counts half. Needs times. Default: age does not matter.

    The result does not depend on today's date: only the distances within a history count.
    """

    name = "history-mean"

    def __init__(self, decay: float = 1.0, half_life_days: float | None = None) -> None:
        if not 0 < decay <= 1:
            raise ParameterError(f"decay={decay!r}: give a number above 0, at most 1")
        if half_life_days is not None and not half_life_days > 0:
            raise ParameterError(f"half_life_days={half_life_days!r}: give a number of days above 0, or None")
        self.decay, self.half_life_days = decay, half_life_days

    def _encode(self, batch, device):
        return self.pool(*self._joined(batch))[0]

    def pool(self, codes: np.ndarray, times: np.ndarray | None, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors ``(n, dim)`` and mask ``(n,)`` of histories that lie one after another, in one sparse product."""
        codes, times, starts = self._known(codes, times, starts)
        weights = self._weights(times, starts)
        shape = (len(starts) - 1, len(self.vectors_))
        table = sparse.csr_matrix((weights, codes, starts), shape=shape)
        total = np.asarray(table.sum(axis=1), np.float32).reshape(-1, 1)
        return (table @ self.vectors_ / np.where(total > 0, total, 1)).astype(np.float32), np.diff(starts) > 0

    def _weights(self, times: np.ndarray | None, starts: np.ndarray) -> np.ndarray:
        size = np.diff(starts)
        weights = np.ones(starts[-1], np.float32)
        if self.decay < 1:
            place = np.repeat(starts[1:], size) - 1 - np.arange(starts[-1])  # 0 is the newest
            weights *= self.decay**place
        if self.half_life_days is not None:
            if times is None:
                raise DataError("half_life_days needs times: give histories as (codes, times), or use decay")
            newest = times[np.maximum(starts[1:] - 1, 0)] if len(times) else np.zeros(len(size))
            weights *= 0.5 ** ((np.repeat(newest, size) - times) / (_DAY * self.half_life_days))
        return weights


class HistoryAttention(_OfItems):
    """A user as a mean of chosen items whose weights are learned: how much an item says about the next one.

    The weight rests on the item's vector, on the mean of the history, and on the place from the newest. Trained to
    tell the next item of a history from those of other histories (in-batch softmax over cosines, corrected for
    popularity), with one item drawn from each history in each epoch. The profile stays a mean of item vectors, so it
    is compared with items by cosine as :class:`HistoryMean` is, which it equals before training.

    Parameters
    ----------
    hidden : int, default 32
        Width of the attention's layer.
    max_length : int, default 50
        Items of a history that are looked at, the newest.
    temperature : float, default 0.1
        Divides the cosines.
    epochs : int, default 20
    batch_size : int, default 256
        Histories a step of training; each item of the batch is a negative of the others.
    learning_rate : float, default 0.003
    seed : int, default 0
    """

    name = "history-attention"
    needs_fit = True

    def __init__(
        self, hidden: int = 32, max_length: int = 50, temperature: float = 0.1, epochs: int = 20,
        batch_size: int = 256, learning_rate: float = 0.003, seed: int = 0,
    ) -> None:  # fmt: skip
        whole = {"hidden": hidden, "max_length": max_length, "epochs": epochs, "batch_size": batch_size}
        for name, value in whole.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least 1")
        for name, value in (("temperature", temperature), ("learning_rate", learning_rate)):
            if not value > 0:
                raise ParameterError(f"{name}={value!r}: give a number above 0")
        self.hidden, self.max_length, self.temperature = hidden, max_length, temperature
        self.epochs, self.batch_size, self.learning_rate, self.seed = epochs, batch_size, learning_rate, seed

    def _network(self):
        from .pooling import AttentionPooling

        return AttentionPooling(self.dim, self.hidden)

    def _fit(self, items, labels, device):
        from .pooling import train

        codes, _, starts = self._known(*self._joined(items))
        size = np.diff(starts)
        if not (size > 1).any():
            raise DataError(f"{self.name}.fit: no history has two items with a vector; there is no next item to learn")
        longer = np.repeat(size > 1, size)
        starts = np.concatenate([[0], np.cumsum(size[size > 1])])
        self.network_, self.history_ = train(self, codes[longer], starts, device)

    def _encode(self, batch, device):
        codes, there, weights = self._attend(batch, device)
        return np.einsum("bl,bld->bd", weights, self.vectors_[codes] * there[..., None])

    def weights(self, items: Sequence, device="auto") -> list[np.ndarray | None]:
        """How much each item of each history counts, in the order of the history; zero for items without a vector."""
        from ..training import device as devices

        self.check_fitted()
        self.settle(device)
        result = []
        for item in self.as_items(items):
            if item is None:
                result.append(None)
                continue
            known = np.flatnonzero(self.mask_[item[0]])
            found = self._attend([item], devices.resolve(device))[2][0, : len(known)]
            weight = np.zeros(len(item[0]), np.float32)
            weight[known[::-1][: len(found)]] = found
            result.append(weight)
        return result

    def _attend(self, batch: list, device) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        from .pooling import windows

        codes, _, starts = self._known(*self._joined(batch))
        length = min(self.max_length, int(np.diff(starts).max()))
        at, there = windows(starts[1:], starts[:-1], length)
        network = placed(self.network_, device)
        with torch.inference_mode():
            vectors = torch.from_numpy(self.vectors_[codes[at]]).to(device)
            weights = network(vectors, torch.from_numpy(there).to(device)).cpu().numpy()
        return codes[at], there, weights


class UserText(Encoder):
    """A user as the mean of a text encoder's vectors over the texts that the user wrote.

    An item is a list of texts, the oldest first; ``None``, an empty list, and nothing but empty texts give no vector.

    Parameters
    ----------
    text : str, default "minilm"
        Name of a text encoder that need not learn first, or a model of the hub (``"org/model"``).
    decay : float, default 1
        Above 0, at most 1: each step back counts so many times the text after it. 1: all alike.
    """

    name = "user-text"
    modality = "user"
    batch_sizes = {"cpu": 64, "cuda": 512, "mps": 128}  # noqa: RUF012 - read only

    def __init__(self, text: str = "minilm", decay: float = 1.0) -> None:
        from . import create

        HistoryMean(decay)  # checks it
        self._encoder = create(text, modality="text")
        if self._encoder.needs_fit:
            raise ParameterError(
                f"text={text!r} must learn first: encode the texts with it yourself, then give their vectors to "
                "history-mean with with_items"
            )
        self.text, self.decay = text, decay

    @property
    def dim(self) -> int:
        """Length of the text encoder's vectors."""
        return self._encoder.dim

    def _weights_id(self) -> str:
        return self._encoder.fingerprint

    def as_items(self, items):
        return [self._texts(row, item) for row, item in enumerate(super().as_items(items))]

    def _texts(self, row: int, item):
        if item is None:
            return None
        if isinstance(item, str) or not all(text is None or isinstance(text, str) for text in item):
            raise ParameterError(f"user {row}: give a list of texts; got {str(item)[:60]!r}")
        return [text for text in item if text is not None and text.strip()] or None

    def _encode(self, batch, device):
        texts = [text for item in batch for text in item]
        mean = HistoryMean(self.decay).with_items(self._encoder.encode(texts, device=device))
        starts = np.concatenate([[0], np.cumsum([len(item) for item in batch])])
        return mean.pool(np.arange(len(texts)), None, starts)[0]


class Demographics(Metadata):
    """What is known about a user besides choices (age, sex, occupation): columns of a table, encoded as metadata.

    An item is a row: a mapping from column to value; of a data set, the rows of ``dataset.users``. Numbers are scaled,
    categories one-hot; a missing category is a row of zeros, a missing number its median and a mark.

    Parameters
    ----------
    columns : list of str, optional
        Default: all, without those that have more than ``max_levels`` categories (a postcode).
    scale, separator, min_count, max_levels
        See :class:`~mmrec_lib.encoders.metadata.Metadata`.
    """

    name = "demographics"
    modality = "user"

    def items_of(self, dataset, medium):
        return rows_of(dataset.users, self.columns)
