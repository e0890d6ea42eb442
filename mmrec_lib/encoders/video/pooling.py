"""A film as a bag of pictures: an image encoder's vectors, pooled over sampled frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import ParameterError, UnknownNameError
from ..base import Encoder
from .frames import HOW, sample_frames

_POOLINGS = ("mean", "max", "mean+std")
_SHORTER_SIDE = 320  # pixels of the frames that are kept; image encoders look at 224


class FramePooling(Encoder):
    """Vectors of an image encoder, pooled over frames: what is to be seen, not how it moves.

    The order of the frames makes no difference. It is the baseline that Karpathy et al. (2014) found hard to beat.

    Parameters
    ----------
    image : str or Encoder, default "efficientnet-lite0"
        A registered image encoder, a model of the hub, the folder of a saved encoder, or an :class:`Encoder`, of which
        name and settings are kept. One that must learn first has to be saved, and its folder given.
    pooling : {"mean", "max", "mean+std"}
        ``"mean+std"`` puts the standard deviation over the frames behind the mean: how much the picture changes.
    frames : int, default 8
    how : {"uniform", "keyframes"}
        See :func:`~mmrec_lib.encoders.video.sample_frames`.
    image_options : dict, optional
        Settings of an image encoder given by name.

    ``dim`` is that of the image encoder, twice with ``"mean+std"``.
    """

    name = "frames"
    modality = "video"
    reads_files = True
    not_in_fingerprint = ("image", "image_options")  # the image encoder's own fingerprint stands for them
    batch_sizes = {"cpu": 4, "cuda": 16, "mps": 8}  # noqa: RUF012 - read only; films, each of several pictures

    def __init__(
        self,
        image: str | Encoder = "efficientnet-lite0",
        pooling: str = "mean",
        frames: int = 8,
        how: str = "uniform",
        image_options: dict | None = None,
    ) -> None:
        for name, value, known in (("pooling", pooling, _POOLINGS), ("how", how, HOW)):
            if value not in known:
                raise ParameterError(f"{name}={value!r}: choose one of {', '.join(known)}")
        if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
            raise ParameterError(f"frames={frames!r}: give a whole number of at least 1")
        self._encoder: Encoder | None = None
        if isinstance(image, Encoder):
            if image_options:
                raise ParameterError("image_options belong to an image encoder given by name; this one has its own")
            self._encoder, image, image_options = _checked(image), image.name, image.get_params()
        elif not _known(image):
            raise UnknownNameError("image encoder", image, _image_encoders())
        self.image, self.image_options = str(image), image_options or {}
        self.pooling, self.frames, self.how = pooling, frames, how

    @property
    def image_encoder(self) -> Encoder:
        """The encoder of single pictures; made when it is first needed."""
        if self._encoder is None:
            from .. import create, load

            saved = (Path(self.image) / "encoder.json").is_file()
            made = load(self.image) if saved else create(self.image, modality="image", **self.image_options)
            self._encoder = made if saved else _checked(made)
        return self._encoder

    @property
    def dim(self) -> int:
        return self.image_encoder.dim * (2 if self.pooling == "mean+std" else 1)

    def _weights_id(self) -> str:
        return self.image_encoder.fingerprint

    def _open(self, item):
        pictures = sample_frames(item, self.frames, self.how, _SHORTER_SIDE)
        return [self.image_encoder._open(picture) for picture in pictures]

    def _encode(self, batch, device):
        flat = [picture for film in batch for picture in film]
        size = self.image_encoder.batch_sizes.get(device.type, 32)
        parts = [self.image_encoder._encode(flat[at : at + size], device) for at in range(0, len(flat), size)]
        vectors = np.concatenate([np.asarray(part, np.float32) for part in parts])
        vectors = vectors.reshape(len(batch), self.frames, -1)
        if self.pooling == "max":
            return vectors.max(axis=1)
        mean = vectors.mean(axis=1)
        return mean if self.pooling == "mean" else np.concatenate([mean, vectors.std(axis=1)], axis=1)


def _checked(encoder: Encoder) -> Encoder:
    if encoder.modality != "image":
        raise ParameterError(f"image={encoder!r} reads {encoder.modality}: give an image encoder")
    if encoder.needs_fit:
        raise ParameterError(
            f"image encoder {encoder.name!r} learns from pictures: fit it, save(folder), and give image='folder'"
        )
    return encoder


def _known(image: str) -> bool:
    return image in _image_encoders() or "/" in str(image) or (Path(image) / "encoder.json").is_file()


def _image_encoders() -> list[str]:
    from ..catalogue import ENTRIES

    return [name for name, entry in ENTRIES.items() if entry.modality == "image"]
