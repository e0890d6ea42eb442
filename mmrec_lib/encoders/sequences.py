"""The network of :class:`~mmrec_lib.encoders.place.Trajectory` and its training; needs torch, so loaded late."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from ..training import device as devices
from ..training import loop


class NextStep(nn.Module):
    """A GRU over steps ``(east, north, log seconds)`` that says the next ``(east, north)``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gru = nn.GRU(3, dim, batch_first=True)
        self.out = nn.Linear(dim, 2)

    def forward(self, steps: PackedSequence) -> PackedSequence:
        """Predictions at each step, packed as the steps are."""
        states = self.gru(steps)[0]
        return states._replace(data=self.out(states.data))

    def last_state(self, steps: PackedSequence) -> Tensor:
        return self.gru(steps)[1][0]


def packed(ways: list[np.ndarray], device) -> PackedSequence:
    """Ways of different lengths without padding; the order of the rows is kept."""
    return pack_sequence([torch.from_numpy(way) for way in ways], enforce_sorted=False).to(device)


def train_next_step(encoder, ways: list[np.ndarray], device) -> tuple[NextStep, dict]:
    """The trained network and its learning curve."""
    device = devices.resolve(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(encoder.seed)
        network = encoder._network().to(device)

    def batches(epoch: int):
        order = loop.epoch_rng(encoder.seed, epoch).permutation(len(ways))
        for rows in np.array_split(order, max(1, -(-len(order) // encoder.batch_size))):
            chosen = [ways[row] for row in rows]
            # a step of zeros stands before the first, so that a way of a single step has something to predict
            before = [np.concatenate([np.zeros((1, 3), np.float32), way[:-1]]) for way in chosen]
            yield packed(before, device), packed([np.ascontiguousarray(way[:, :2]) for way in chosen], device)

    result = loop.fit(
        network,
        batches,
        lambda batch: (network(batch[0]).data - batch[1].data).square().mean(),
        epochs=encoder.epochs,
        learning_rate=encoder.learning_rate,
        seed=encoder.seed,
        description=f"training {encoder.name}",
    )
    return network.cpu(), {"epoch": result.history["epoch"].tolist(), "loss": result.history["loss"].tolist()}
