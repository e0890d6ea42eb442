"""Small networks over log-mel frames, trained on the sounds at hand: with labels, or by telling sounds apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...errors import DataError, ParameterError
from ...training import device as devices
from ...training import loop
from ..precision import placed
from . import augment, spectra
from .loading import RATE, SoundEncoder

_SHORTEST = 0.6  # a crop of a sound that is shorter than a crop keeps at least this share of it


class SoundNetwork(SoundEncoder):
    """What :class:`AudioCNN` and :class:`AudioGRU` share: frames, crops, both ways of learning.

    **With labels** a linear layer on top of the vector predicts the label (cross-entropy). **Without**, two crops of
    one sound must find each other among the crops of the other sounds of the batch (COLA: Saeed, Grangier and
    Zeghidour, 2021): similarity is bilinear, :math:`g(x)^\\top W g(x')`, with a projection ``g`` that is thrown away
    afterwards.

    Parameters
    ----------
    dim
        Length of the vector, default 128.
    bands
        Mel bands, default 64.
    crop_seconds
        Longest stretch of a sound that a training step sees; a random one each time.
    copies
        Random variants of each sound (:func:`~mmrec_lib.encoders.audio.augment.variant`) made before training. Each
        step then takes the sound or one of them; the number of steps stays. Default 0: none.
    epochs, batch_size, learning_rate, weight_decay
        Of AdamW.
    seed
        Of weights, crops, variants and dropout.
    rate, max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.

    Attributes
    ----------
    mean_, deviation_ : float32 (bands,)
        Of the training frames; frames are standardised with them.
    loss_ : list of float
        Mean loss of each epoch.
    """

    needs_fit = True
    batch_sizes = {"cpu": 16, "cuda": 128, "mps": 64}  # noqa: RUF012 - read only

    def __init__(
        self, dim=128, bands=spectra.BANDS, crop_seconds=1.0, copies=0, epochs=20, batch_size=32, learning_rate=3e-3,
        weight_decay=1e-2, seed=0, rate=RATE, max_seconds=10.0, level="none", trim=False, gate=False,
    ) -> None:  # fmt: skip
        super().__init__(rate, max_seconds, level, trim, gate)
        whole = {"dim": (dim, 2), "bands": (bands, 8), "copies": (copies, 0), "epochs": (epochs, 1)}
        whole |= {"batch_size": (batch_size, 2), "seed": (seed, 0)}
        for name, (value, least) in whole.items():
            if isinstance(value, bool) or int(value) != value or value < least:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
            setattr(self, name, int(value))
        for name, value in {"crop_seconds": crop_seconds, "learning_rate": learning_rate}.items():
            if not value > 0:
                raise ParameterError(f"{name}={value!r}: give a number above 0")
        if not weight_decay >= 0:
            raise ParameterError(f"weight_decay={weight_decay!r}: give a number of at least 0")
        if self.dim % 2:
            raise ParameterError(f"dim={dim}: give an even number; half of it reads forwards, half backwards")
        self.crop_seconds, self.learning_rate, self.weight_decay = crop_seconds, learning_rate, weight_decay

    @property
    def dim(self) -> int:
        return self._dim

    @dim.setter
    def dim(self, value: int) -> None:
        self._dim = value

    def _open(self, item) -> np.ndarray:
        return self._frames(super()._open(item))

    def _frames(self, wave: np.ndarray) -> np.ndarray:
        return spectra.log_mel(wave, self.rate, self.bands)

    # -- learning --------------------------------------------------------------------------------------------------
    def _fit(self, items, labels, device) -> None:
        device = devices.resolve(device)
        sounds, labels = self._readable(items, labels)
        everything = np.concatenate([variants[0] for variants in sounds])
        self.mean_, self.deviation_ = everything.mean(axis=0), np.maximum(everything.std(axis=0), 1e-3)
        sounds = [[self._standard(frames) for frames in variants] for variants in sounds]
        classes = 0 if labels is None else int(labels.max()) + 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            body = self._network()
            task = _Labels(body, self.dim, classes) if classes > 1 else _SoundsApart(body, self.dim)
            task.to(device)

        def batches(epoch: int) -> Iterator[tuple]:
            rng = loop.epoch_rng(self.seed, epoch)
            order = rng.permutation(len(sounds))
            for part in np.array_split(order, -(-len(order) // self.batch_size)):
                crops = [self._batch([self._crop(sounds[i], rng) for i in part], device) for _ in range(task.views)]
                yield crops, None if labels is None else torch.from_numpy(labels[part]).to(device)

        result = loop.fit(
            task, batches, task.loss, epochs=self.epochs, learning_rate=self.learning_rate,
            weight_decay=self.weight_decay, seed=self.seed, description=self.name,
        )  # fmt: skip
        self.loss_ = [float(loss) for loss in result.history["loss"]]
        self.network_ = body.cpu().eval()

    def _readable(self, items, labels) -> tuple[list[list[np.ndarray]], np.ndarray | None]:
        """Frames of the sounds that can be read, each with its variants, and their labels as codes."""
        sounds, kept = [], []
        rng = np.random.default_rng(self.seed)
        for row, item in enumerate(items):
            try:
                wave = SoundEncoder._open(self, item)
            except DataError:  # named and masked when it is encoded
                continue
            waves = [wave, *(augment.variant(wave, self.rate, rng) for _ in range(self.copies))]
            sounds.append([self._frames(w) for w in waves])
            kept.append(row)
        if len(sounds) < 2:
            raise DataError(f"{self.name}.fit: {len(sounds)} of {len(items)} sounds can be read; at least 2 are needed")
        if labels is None:
            return sounds, None
        return sounds, np.unique([str(labels[row]) for row in kept], return_inverse=True)[1]

    def _standard(self, frames: np.ndarray) -> np.ndarray:
        return (frames - self.mean_) / self.deviation_

    def _crop(self, variants: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """A random stretch of a random variant."""
        frames = variants[rng.integers(len(variants))]
        longest = max(1, round(self.crop_seconds * self.rate / spectra.HOP))
        length = min(longest, max(1, round(len(frames) * rng.uniform(_SHORTEST, 1))))
        start = rng.integers(len(frames) - length + 1)
        return frames[start : start + length]

    def _batch(self, frames: list[np.ndarray], device) -> tuple[Tensor, Tensor]:
        """Frames of several sounds, filled up with zeros ``(n, longest, bands)``, and their lengths ``(n,)``."""
        lengths = torch.tensor([len(f) for f in frames])
        padded = np.zeros((len(frames), int(lengths.max()), self.bands), np.float32)
        for row, values in enumerate(frames):
            padded[row, : len(values)] = values
        return torch.from_numpy(padded).to(device), lengths

    # -- encoding --------------------------------------------------------------------------------------------------
    def _encode(self, batch, device) -> np.ndarray:
        network = placed(self.network_, device)
        frames, lengths = self._batch([self._standard(frames) for frames in batch], device)
        with torch.inference_mode():
            return network(frames, lengths).float().cpu().numpy()


class AudioCNN(SoundNetwork):
    """Four blocks of convolutions over the log-mel picture, mean and maximum over time and frequency.

    What a filter knows it knows at every time and in every band. With labels it learns to tell them, without to tell
    the sounds apart.

    Parameters
    ----------
    dim, bands, crop_seconds, copies, epochs, batch_size, learning_rate, weight_decay, seed
        See :class:`SoundNetwork`.
    rate, max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.
    """

    name = "audio-cnn"

    def _network(self) -> nn.Module:
        return _CNN(self.dim)


class AudioGRU(SoundNetwork):
    """A recurrent network (GRU, both directions) over log-mel frames; the vector is the mean of its states.

    Cho et al., 2014. Sounds of different length share a batch, packed, so that none feels the length of another.
    With labels it learns to tell them, without to tell the sounds apart.

    Parameters
    ----------
    dim, bands, crop_seconds, copies, epochs, batch_size, learning_rate, weight_decay, seed
        See :class:`SoundNetwork`.
    rate, max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.
    """

    name = "audio-gru"

    def _network(self) -> nn.Module:
        return _GRU(self.bands, self.dim)


# -- networks ------------------------------------------------------------------------------------------------------
def _mask(lengths: Tensor, longest: int, device) -> Tensor:
    """1 where a frame is real, 0 where it only fills up: ``(n, longest)``."""
    return (torch.arange(longest)[None, :] < lengths[:, None]).to(device, torch.float32)


class _CNN(nn.Module):
    def __init__(self, dim: int, channels: tuple[int, ...] = (8, 16, 32, 64)) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in zip((1, *channels[:-1]), channels, strict=True)
        )
        self.out = nn.Linear(2 * channels[-1], dim)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """``(n, time, bands)`` and lengths ``(n,)`` to ``(n, dim)``."""
        x = frames[:, None]
        for block in self.blocks:
            # what fills up is set to zero after each block: a sound then has the same vector in any batch
            x = block(x) * _mask(lengths, x.shape[2], x.device)[:, None, :, None]
            x = F.max_pool2d(x, 2, ceil_mode=True)
            lengths = (lengths + 1) // 2
        mean = x.mean(dim=3).sum(dim=2) / lengths.to(x.device, x.dtype)[:, None]
        return self.out(torch.cat([mean, x.amax(dim=(2, 3))], dim=1))


class _GRU(nn.Module):
    def __init__(self, bands: int, dim: int) -> None:
        super().__init__()
        self.gru = nn.GRU(bands, dim // 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(dim, dim)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """``(n, time, bands)`` and lengths ``(n,)`` to ``(n, dim)``."""
        packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # zeros where it only fills up
        return self.out(states.sum(dim=1) / lengths.to(states.device, states.dtype)[:, None])


# -- what is learned -----------------------------------------------------------------------------------------------
class _Labels(nn.Module):
    """Predict the label of a crop."""

    views = 1

    def __init__(self, body: nn.Module, dim: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(dim, classes))

    def loss(self, batch) -> Tensor:
        (crop,), labels = batch
        return F.cross_entropy(self.head(self.body(*crop)), labels)


class _SoundsApart(nn.Module):
    """Find the other crop of the same sound."""

    views = 2

    def __init__(self, body: nn.Module, dim: int) -> None:
        super().__init__()
        self.body = body
        self.project = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim), nn.Tanh())
        self.similar = nn.Linear(dim, dim, bias=False)

    def loss(self, batch) -> Tensor:
        (first, second), _ = batch
        first, second = self.project(self.body(*first)), self.project(self.body(*second))
        scores = self.similar(first) @ second.T
        return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
