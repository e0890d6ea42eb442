"""Contrastive heads over frozen encoders: one map a modality, learned from items that have several media."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ... import ranking
from ...data import Features
from ...errors import DataError, FeatureError, ModelFileError, NotFittedError, ParameterError, UnknownNameError
from ...training import device as devices
from .. import keeping

LOSSES = ("infonce", "siglip")
_BLOCK = 8192  # rows mapped at once


class Alignment:
    """Heads that put the vectors of two or more frozen encoders into one space.

    A head is a linear map, or a small network, followed by division by the length. The heads are trained so that the
    media of one item come close and those of different items do not: CLIP's recipe (Radford et al., 2021) on vectors
    instead of media, so that it takes seconds on a CPU.

    Parameters
    ----------
    dim : int, default 128
        Of the common space.
    loss : {"infonce", "siglip"}, default "infonce"
        See :func:`mmrec_lib.training.losses.info_nce` and :func:`~mmrec_lib.training.losses.siglip`.
    temperature : float, default 0.1
        Divides the cosines. InfoNCE keeps it; SigLIP starts from it and learns it, with its bias.
    hidden : int, default 0
        Units of a hidden layer in each head; 0 for a linear map, which is what some hundred pairs can afford.
    dropout : float, default 0.5
        Share of a head's inputs (of its hidden units, where there are any) that is left out in each step.
    pairs : list of (str, str), optional
        Which modalities are brought together. Default: each with each. ``[("text", "image"), ("audio", "image")]``
        makes pictures the hub that binds the others (Girdhar et al., 2023).
    epochs, batch_size, learning_rate, weight_decay
        Of AdamW. A large batch has more negatives.
    eval_every, patience : int
        With validation rows: look every so many epochs, stop after so many looks without a better one.
    seed : int
    device : str, default "auto"

    Attributes
    ----------
    modalities_, dims_ : list
        What was learned, and the length of its vectors.
    best_epoch_ : int
        The epoch that was kept.
    history_ : dict of lists
        Learning curve, one entry an epoch: epoch, loss, metric (mean reciprocal rank on validation rows), seconds.
    """

    name = "alignment"

    def __init__(
        self, dim: int = 128, loss: str = "infonce", temperature: float = 0.1, hidden: int = 0, dropout: float = 0.5,
        pairs: Sequence[tuple[str, str]] | None = None, epochs: int = 100, batch_size: int = 512,
        learning_rate: float = 1e-3, weight_decay: float = 0.1, eval_every: int = 5, patience: int = 4, seed: int = 0,
        device: str = "auto",
    ) -> None:  # fmt: skip
        if loss not in LOSSES:
            raise ParameterError(f"loss={loss!r}: choose one of {', '.join(LOSSES)}")
        for name, value, least in (("dim", dim, 1), ("hidden", hidden, 0), ("batch_size", batch_size, 2)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
        if not (temperature > 0 and learning_rate > 0 and weight_decay >= 0 and 0 <= dropout < 1):
            raise ParameterError(
                f"temperature={temperature!r} and learning_rate={learning_rate!r} must be above 0, "
                f"weight_decay={weight_decay!r} not below it, and dropout={dropout!r} in [0, 1)"
            )
        self.dim, self.loss, self.temperature = dim, loss, temperature
        self.hidden, self.dropout = hidden, dropout
        self.pairs = None if pairs is None else [tuple(pair) for pair in pairs]
        self.epochs, self.batch_size = epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.eval_every, self.patience = eval_every, patience
        self.seed, self.device = seed, device

    def get_params(self) -> dict:
        """Settings by name."""
        return {p: getattr(self, p) for p in inspect.signature(type(self).__init__).parameters if p != "self"}

    def __repr__(self) -> str:
        return f"Alignment({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    # -- learning --------------------------------------------------------------------------------------------------
    def fit(
        self,
        features: Features,
        rows: Sequence[int] | None = None,
        valid_rows: Sequence[int] | None = None,
        groups: Sequence | None = None,
    ) -> Alignment:
        """Learn from the items that have at least two of the media; return self.

        Parameters
        ----------
        features
            Two or more modalities. An item without one of them takes no part in the pairs that need it.
        rows
            Items to learn from. Default: all that are not in ``valid_rows``.
        valid_rows
            Items that decide when to stop: the epoch is kept in which each medium best finds the other (mean reciprocal
            rank). Without them all epochs are run.
        groups
            One entry an item; items with the same entry (the same sentence, say) are no negatives of each other.

        Raises
        ------
        DataError, ParameterError, UnknownNameError
            Fewer than two modalities, no two items with the same two media, rows that do not exist or are in both
            lists, a pair of modalities that there is not.
        """
        self.modalities_, self.dims_ = list(features), list(features.dims.values())
        rows, valid_rows = _rows(features, rows, valid_rows)
        codes = _codes(groups, features.n_items)
        self._pairs = self._chosen_pairs(features, rows)
        self._train(_Vectors(features, codes), rows, valid_rows)
        return self

    def _chosen_pairs(self, features: Features, rows: np.ndarray) -> list[tuple[int, int]]:
        if len(features) < 2:
            raise DataError(f"an alignment needs two modalities or more; features have {', '.join(features) or 'none'}")
        for name in itertools.chain.from_iterable(self.pairs or []):
            if name not in features:
                raise UnknownNameError("modality", name, features)
        pairs = self.pairs or list(itertools.combinations(features, 2))
        counts = {pair: int((features.mask[pair[0]] & features.mask[pair[1]])[rows].sum()) for pair in pairs}
        usable = [pair for pair, n in counts.items() if n >= 2]
        lonely = set(features) - set(itertools.chain.from_iterable(usable))
        if lonely:
            raise DataError(
                f"{', '.join(sorted(lonely))}: no two items to learn from have it together with another medium "
                f"(items in common: {counts}); leave it out, or give more rows"
            )
        return [(self.modalities_.index(a), self.modalities_.index(b)) for a, b in usable]

    def _train(self, vectors: _Vectors, rows: np.ndarray, valid_rows: np.ndarray | None) -> None:
        import torch

        from ...training import loop

        device = devices.resolve(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self._network()
        for head, modality in zip(network.heads, self.modalities_, strict=True):
            head.centre(vectors.of(modality, rows[vectors.mask[modality][rows]]))
        network.to(device)
        rows = rows[sum(vectors.mask[m][rows].astype(int) for m in self.modalities_) >= 2]
        n_batches = -(-len(rows) // self.batch_size)

        def batches(epoch: int) -> list[np.ndarray]:
            return np.array_split(loop.epoch_rng(self.seed, epoch).permutation(rows), n_batches)

        result = loop.fit(
            network,
            batches,
            lambda batch: self._batch_loss(network, vectors, batch, device),
            epochs=self.epochs,
            optimizer=torch.optim.AdamW(self._parameter_groups(network), self.learning_rate, fused=True),
            validate=None if valid_rows is None else lambda: self._found(network, vectors, valid_rows, device),
            eval_every=self.eval_every,
            patience=self.patience,
            seed=self.seed,
            description="alignment",
        )
        self.network_ = network.cpu().eval()
        self.best_epoch_ = result.best_epoch
        self.history_ = {column: values.tolist() for column, values in result.history.items()}

    def _parameter_groups(self, network) -> list[dict]:
        """Weights decay; scale and bias of SigLIP do not."""
        return [
            {"params": list(network.heads.parameters()), "weight_decay": self.weight_decay},
            {"params": list(network.scale_and_bias.parameters()), "weight_decay": 0.0},
        ][: 1 + (self.loss == "siglip")]

    def _batch_loss(self, network, vectors: _Vectors, rows: np.ndarray, device):
        """Mean over all couples of media in the batch: each couple counts alike, whatever its modalities."""
        mapped = [network.heads[i](vectors.of(m, rows).to(device)) for i, m in enumerate(self.modalities_)]
        total, n = 0.0 * sum(z.sum() for z in mapped), 0
        for i, j in self._pairs:
            both = np.flatnonzero(vectors.mask[self.modalities_[i]][rows] & vectors.mask[self.modalities_[j]][rows])
            if len(both) >= 2:
                groups = vectors.codes[rows[both]].to(device) if vectors.codes is not None else None
                total = total + len(both) * network.loss(mapped[i][both], mapped[j][both], groups)
                n += len(both)
        return total / max(n, 1)

    def _found(self, network, vectors: _Vectors, rows: np.ndarray, device) -> float:
        """Mean reciprocal rank over pairs of modalities and both directions."""
        values = []
        for i, j in self._pairs:
            a, b = self.modalities_[i], self.modalities_[j]
            both = rows[vectors.mask[a][rows] & vectors.mask[b][rows]]
            if len(both):
                groups = None if vectors.codes is None else vectors.codes[both].numpy()
                za, zb = (network.heads[h](vectors.of(m, both).to(device)).cpu().numpy() for h, m in ((i, a), (j, b)))
                values += [_reciprocal_rank(za, zb, groups), _reciprocal_rank(zb, za, groups)]
        return float(np.mean(values)) if values else 0.0

    def _network(self):
        from .heads import Heads

        return Heads(self.dims_, self.dim, self.hidden, self.dropout, self.loss, self.temperature)

    # -- using -----------------------------------------------------------------------------------------------------
    def transform(self, features: Features) -> Features:
        """The features in the common space: rows of length 1, with the same masks.

        ``features`` may have other items than those that were learned from, and any of the modalities.
        Raises :class:`UnknownNameError` for a modality that was not learned, :class:`FeatureError` for vectors of
        another length, :class:`NotFittedError` before :meth:`fit`.
        """
        return Features({m: self.map(m, vectors) for m, vectors in features.items()}, features.mask)

    def map(self, modality: str, vectors: np.ndarray) -> np.ndarray:
        """Vectors ``(n, dim)`` of one modality in the common space: a query, for example."""
        import torch

        if not hasattr(self, "network_"):
            raise NotFittedError("this alignment has not learned yet: call fit(features) first")
        if modality not in self.modalities_:
            raise UnknownNameError("modality of this alignment", modality, self.modalities_)
        index, vectors = self.modalities_.index(modality), np.asarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dims_[index]:
            raise FeatureError(f"{modality}: vectors {vectors.shape}, but {self.dims_[index]} dimensions were learned")
        out = np.empty((len(vectors), self.dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(vectors), _BLOCK):
                part = torch.from_numpy(np.ascontiguousarray(vectors[start : start + _BLOCK]))
                out[start : start + _BLOCK] = self.network_.heads[index](part).numpy()
        return out

    # -- keeping ---------------------------------------------------------------------------------------------------
    def save(self, path) -> Path:
        """Write settings and heads to the folder ``path`` (JSON and safetensors)."""
        if not hasattr(self, "network_"):
            raise NotFittedError("this alignment has not learned yet: call fit(features) before save")
        return keeping.write(self, path)

    @classmethod
    def load(cls, path) -> Alignment:
        """Read what :meth:`save` wrote; raises :class:`ModelFileError` for anything else."""
        header, arrays = keeping.read(path)
        if header["encoder"] != cls.name:
            raise ModelFileError(f"{path} holds no alignment but {header['encoder']!r}: see mm.encoders.load")
        return keeping.restore(cls(**header["params"]), header, arrays)


class _Vectors:
    """Arrays, masks and groups as training needs them: tensors on the CPU, of which a batch goes to the device."""

    def __init__(self, features: Features, codes: np.ndarray | None) -> None:
        import torch

        self._tensors = {m: torch.from_numpy(np.ascontiguousarray(array)) for m, array in features.items()}
        self.mask = features.mask
        self.codes = None if codes is None else torch.from_numpy(codes)

    def of(self, modality: str, rows: np.ndarray):
        return self._tensors[modality][rows]


def _rows(features: Features, rows, valid_rows) -> tuple[np.ndarray, np.ndarray | None]:
    """Row numbers to learn from and to validate on, checked: they exist and do not overlap."""
    checked = []
    for name, given in (("rows", rows), ("valid_rows", valid_rows)):
        given = None if given is None else np.asarray(given)
        if given is not None and given.dtype == bool and given.shape == (features.n_items,):
            given = np.flatnonzero(given)
        if given is not None and (given.dtype.kind not in "iu" or not _within(given, features.n_items)):
            raise ParameterError(f"{name}: give row numbers from 0 to {features.n_items - 1}, or a mask of all rows")
        checked.append(given)
    rows, valid_rows = checked
    if rows is None:
        rows = np.setdiff1d(np.arange(features.n_items), [] if valid_rows is None else valid_rows)
    if valid_rows is not None and len(both := np.intersect1d(rows, valid_rows)):
        raise ParameterError(f"{len(both)} rows are in rows and in valid_rows: what was learned from cannot validate")
    return rows, valid_rows


def _within(rows: np.ndarray, n: int) -> bool:
    return not len(rows) or (rows.min() >= 0 and rows.max() < n)


def _codes(groups, n_items: int) -> np.ndarray | None:
    import pandas as pd

    if groups is None:
        return None
    if len(groups) != n_items:
        raise ParameterError(f"groups has {len(groups)} entries for {n_items} items: give one each")
    codes = pd.factorize(pd.Series(list(groups)))[0].astype(np.int64)
    missing = codes < 0  # None and NaN are no group: each is its own
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(missing.sum())
    return codes


def _reciprocal_rank(queries: np.ndarray, items: np.ndarray, groups: np.ndarray | None) -> float:
    groups = np.arange(len(items)) if groups is None else groups
    total = 0.0
    for block in ranking.blocks(np.arange(len(queries)), len(items)):
        scores = queries[block] @ items.T
        own = scores[np.arange(len(block)), block][:, None]
        better = (scores >= own) & (groups[block][:, None] != groups[None, :])
        total += (1 / (1 + better.sum(axis=1))).sum()
    return total / len(queries)
