"""A small convolutional network that is trained on the pictures themselves, with labels or without."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ...errors import ParameterError
from ..base import Encoder
from ..precision import placed
from .augment import Augmentation
from .loading import check_whole, open_picture, read_all, square

_WHITE = 1.0  # value of the sheet; networks see 1 - picture, so that an empty corner is zero


class SmallCNN(Encoder):
    """Four convolutions and a mean over what is left, trained in place.

    With labels it learns to tell them apart. Without labels, or where all are equal, it learns to recognise the same
    picture in two changed versions among those of other pictures (SimCLR; Chen et al., 2020), with the loss
    :func:`mmrec_lib.training.losses.info_nce` and a small head that is thrown away afterwards.

    Parameters
    ----------
    dim : int, default 128
        Length of a vector.
    size : int, default 64
        Pictures are put on a white square of so many pixels; a multiple of 16.
    epochs : int, default 20
    batch_size : int, default 64
    learning_rate : float, default 0.002
        The largest; it falls to zero along half a cosine wave.
    augment : bool, default True
        Train on changed pictures (see :class:`~mmrec_lib.encoders.image.augment.Augmentation`). Without labels this is
        what there is to learn from, so it cannot be switched off there.
    temperature : float, default 0.2
        Of the loss without labels.
    most : int, default 20000
        Pictures that ``fit`` looks at, drawn at random where there are more: they are held in memory.
    seed : int, default 0

    Attributes
    ----------
    history_ : list of dict
        Learning curve: epoch, loss.

    Raises
    ------
    DataError
        No picture can be read, or without labels there is only one.
    """

    name = "cnn"
    modality = "image"
    reads_files = True
    needs_fit = True
    dim = 128

    def __init__(
        self,
        dim: int = 128,
        size: int = 64,
        epochs: int = 20,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        augment: bool = True,
        temperature: float = 0.2,
        most: int = 20_000,
        seed: int = 0,
    ) -> None:
        for name, value in (("learning_rate", learning_rate), ("temperature", temperature)):
            if not value > 0:
                raise ParameterError(f"{name}={value!r}: give a number above 0")
        if check_whole("size", size, 16) % 16:
            raise ParameterError(f"size={size!r}: give a multiple of 16")
        self.dim, self.size, self.epochs = check_whole("dim", dim), size, check_whole("epochs", epochs)
        self.batch_size, self.learning_rate = check_whole("batch_size", batch_size, 2), learning_rate
        self.augment, self.temperature = augment, temperature
        self.most, self.seed = check_whole("most", most), check_whole("seed", seed, 0)

    def _open(self, item):
        return np.asarray(square(open_picture(item, self.size), self.size))

    def _network(self):
        from torch import nn

        widths = (3, 32, 64, 128, self.dim)
        layers = []
        for level, (wide, next_wide) in enumerate(pairwise(widths)):
            # the first convolution halves the picture itself: a quarter of the work of halving it afterwards
            layers += [nn.Conv2d(wide, next_wide, 3, stride=1 if level else 2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(next_wide), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(2)] if 0 < level < 3 else []
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def _fit(self, items, labels, device) -> None:
        from .training import train

        pictures, rows = read_all(self._open, items, self.name, self.most, self.seed)
        known = None if labels is None else np.unique([str(labels[row]) for row in rows], return_inverse=True)[1]
        self.network_, self.history_ = train(self, np.stack(pictures), known, Augmentation(), device)

    def _encode(self, batch, device):
        import torch

        pictures = torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return placed(self.network_, device)(_WHITE - pictures / 255).float().cpu().numpy()
