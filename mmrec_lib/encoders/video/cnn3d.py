"""A small 3D convolutional network, trained on the films at hand: with labels, or on the order of the frames."""

from __future__ import annotations

import numpy as np

from ...errors import DataError, MMRecError, ParameterError
from ..base import Encoder
from ..precision import placed
from .frames import sample_frames

TASKS = ("order", "arrow")


class SmallCNN3D(Encoder):
    """3D convolutions over a clip, learned from the films themselves: what moves, and how.

    With labels the network is trained to tell them (as C3D is: Tran et al., 2015). Without, it learns from a question
    that every film answers by itself:

    ``task="order"``
        Are the frames in order or shuffled? (Misra et al., 2016, ask it of three frames.)
    ``task="arrow"``
        Does the film run forwards or backwards? (Wei et al., 2018.) There must be something to see of the arrow of
        time: things fall, smoke spreads. A camera that moves left as often as right shows nothing of it.

    The vector is what the last layer before the answer holds, averaged over space and time.

    Parameters
    ----------
    dim : int, default 128
    frames : int, default 8
        Sampled uniformly from the whole film.
    size : int, default 48
        Pixels; frames are cropped to a square in the middle.
    task : {"order", "arrow"}
        Used only without labels.
    epochs, batch_size, learning_rate, seed
        Of the training (Adam). The films are never mirrored or reversed to get more of them: that would turn a
        movement to the left into one to the right.

    All clips are held in memory while it learns: 55 kB each with the defaults.
    """

    name = "cnn3d"
    modality = "video"
    reads_files = True
    needs_fit = True
    batch_sizes = {"cpu": 16, "cuda": 128, "mps": 64}  # noqa: RUF012 - read only

    def __init__(
        self,
        dim: int = 128,
        frames: int = 8,
        size: int = 48,
        task: str = "order",
        epochs: int = 20,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        seed: int = 0,
    ) -> None:
        for name, value, least in (
            ("dim", dim, 1), ("frames", frames, 4), ("size", size, 16), ("epochs", epochs, 1),
            ("batch_size", batch_size, 2), ("seed", seed, 0),
        ):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
        if task not in TASKS:
            raise ParameterError(f"task={task!r}: choose one of {', '.join(TASKS)}")
        if not learning_rate > 0:
            raise ParameterError(f"learning_rate={learning_rate!r}: give a number above 0")
        self._dim = dim
        self.frames, self.size, self.task, self.epochs = frames, size, task, epochs
        self.batch_size, self.learning_rate, self.seed = batch_size, learning_rate, seed

    @property
    def dim(self) -> int:
        return self._dim

    def _open(self, item) -> np.ndarray:
        from PIL import ImageOps

        pictures = sample_frames(item, self.frames, size=2 * self.size)
        return np.stack([np.asarray(ImageOps.fit(picture, (self.size, self.size))) for picture in pictures])

    def _network(self):
        from .networks import Clip3D

        return Clip3D(self.dim)

    def _fit(self, items, labels, device):
        from .networks import train_clips

        clips, kept = [], []
        for row, item in enumerate(items):
            try:
                clips.append(self._open(item))
                kept.append(row)
            except MMRecError:  # named and masked when it is encoded
                continue
        if len(clips) < 2:
            raise DataError(f"{self.name}.fit: {len(clips)} of {len(items)} films can be read; at least 2 are needed")
        answers = None if labels is None else [str(labels[row]) for row in kept]
        if answers is not None and len(set(answers)) < 2:
            raise DataError(f"{self.name}.fit: all labels are {answers[0]!r}; two kinds at least, or labels=None")
        self.network_, self.history_ = train_clips(self, np.stack(clips), answers, device)

    def _encode(self, batch, device):
        import torch

        from .networks import as_input

        with torch.inference_mode():
            return placed(self.network_, device)(as_input(np.stack(batch), device)).float().cpu().numpy()
