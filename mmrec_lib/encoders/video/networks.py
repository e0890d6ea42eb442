"""The network of :class:`~mmrec_lib.encoders.video.SmallCNN3D` and its training; needs torch, so loaded late."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...training import device as devices
from ...training import loop


class Clip3D(nn.Module):
    """Four 3D convolutions, and a mean over space and time: ``(n, 3, frames, size, size)`` to ``(n, dim)``.

    Space is halved four times, time once: motion is to be seen at full rate by the first three layers.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths, strides = (3, 16, 32, 64, dim), ((1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 2, 2))
        layers = []
        for wide_in, wide_out, stride in zip(widths, widths[1:], strides, strict=False):
            layers += [nn.Conv3d(wide_in, wide_out, 3, stride, padding=1, bias=False), nn.BatchNorm3d(wide_out)]
            layers += [nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, clips: Tensor) -> Tensor:
        return self.layers(clips).mean(dim=(2, 3, 4))


def as_input(clips: np.ndarray, device) -> Tensor:
    """Pixels ``(n, frames, size, size, 3)`` from 0 to 255 as ``(n, 3, frames, size, size)`` from -1 to 1."""
    return torch.from_numpy(clips).to(device).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def train_clips(encoder, clips: np.ndarray, labels: list[str] | None, device) -> tuple[Clip3D, dict]:
    """The trained network and its learning curve."""
    device = devices.resolve(device)
    classes = sorted(set(labels)) if labels is not None else [True, False]
    codes = None if labels is None else np.array([classes.index(label) for label in labels])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(encoder.seed)
        network = encoder._network()
        whole = nn.Sequential(network, nn.Linear(encoder.dim, len(classes))).to(device)

    def batches(epoch: int):
        rng = loop.epoch_rng(encoder.seed, epoch)
        order = rng.permutation(len(clips))
        for rows in np.array_split(order, max(1, -(-len(order) // encoder.batch_size))):
            chosen = clips[rows]
            if codes is None:
                chosen, answers = _asked(chosen, encoder.task, rng)
            else:
                answers = codes[rows]
            light = rng.uniform(0.8, 1.2, (len(chosen), 1, 1, 1, 1)).astype(np.float32)
            yield (
                as_input(np.clip(chosen * light, 0, 255).astype(np.uint8), device),
                torch.from_numpy(answers).to(device),
            )

    result = loop.fit(
        whole,
        batches,
        lambda batch: F.cross_entropy(whole(batch[0]), batch[1]),
        epochs=encoder.epochs,
        learning_rate=encoder.learning_rate,
        weight_decay=1e-3,
        seed=encoder.seed,
        description=f"training {encoder.name}",
    )
    return network.cpu(), {"epoch": result.history["epoch"].tolist(), "loss": result.history["loss"].tolist()}


def _asked(clips: np.ndarray, task: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each clip twice, as it is (0) and with its frames in another order (1)."""
    wrong = clips[:, ::-1] if task == "arrow" else np.stack([clip[_mixed(len(clip), rng)] for clip in clips])
    return np.concatenate([clips, wrong]), np.repeat(np.array([0, 1]), len(clips))


def _mixed(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of frames that is neither the right one nor its reverse (which may be as natural)."""
    while True:
        order = rng.permutation(n)
        if abs(np.diff(order)).max() > 1:
            return order
