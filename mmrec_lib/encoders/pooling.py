"""The network of :class:`~mmrec_lib.encoders.users.HistoryAttention` and its training; needs torch, so loaded late."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..training import device as devices
from ..training import loop, losses


class AttentionPooling(nn.Module):
    """How much each item of a history counts, from its vector, the history's mean, and its place from the newest.

    It begins as the plain mean: the last layer is zero, so whatever it becomes has been learned.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.key = nn.Linear(dim, hidden)
        self.context = nn.Linear(dim, hidden, bias=False)
        self.out = nn.Linear(hidden, 1, bias=False)
        self.recency = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.out.weight)

    def forward(self, vectors: Tensor, there: Tensor) -> Tensor:
        """Weights ``(b, length)``, each row summing to 1, of vectors ``(b, length, dim)``, the newest first."""
        unit = F.normalize(vectors, dim=-1)
        mean = (unit * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        logits = self.out(torch.tanh(self.key(unit) + self.context(mean)[:, None])).squeeze(-1)
        place = torch.arange(vectors.shape[1], dtype=logits.dtype, device=logits.device)
        logits = logits - self.recency * torch.log1p(place)
        return logits.masked_fill(~there, float("-inf")).softmax(dim=1)


def windows(ends: np.ndarray, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions ``(n, length)`` of the entries before each of ``ends``, the newest first, and which of them exist."""
    at = ends[:, None] - 1 - np.arange(length)
    there = at >= starts[:, None]
    return np.where(there, at, 0), there


def train(encoder, codes: np.ndarray, starts: np.ndarray, device) -> tuple[AttentionPooling, dict]:
    """Learn to tell the next item from those before it; the trained network and its learning curve.

    ``codes[starts[u] : starts[u + 1]]`` is a history of at least two items. In each epoch every history gives one
    pair: an item drawn from all but its first, and those before it.
    """
    device = devices.resolve(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(encoder.seed)
        network = encoder._network().to(device)
    vectors = torch.from_numpy(encoder.vectors_).to(device)
    count = np.bincount(codes, minlength=len(vectors))
    log_q = torch.from_numpy(np.log(np.maximum(count, 1) / count.sum()).astype(np.float32)).to(device)
    first, size = starts[:-1], np.diff(starts)

    def batches(epoch: int):
        rng = loop.epoch_rng(encoder.seed, epoch)
        ends = first + 1 + (rng.random(len(first)) * (size - 1)).astype(np.int64)
        order = rng.permutation(len(first))
        for rows in np.array_split(order, max(1, -(-len(order) // encoder.batch_size))):
            at, there = windows(ends[rows], first[rows], encoder.max_length)
            yield tuple(torch.from_numpy(x).to(device) for x in (codes[at], there, codes[ends[rows]]))

    def loss(batch):
        history, there, targets = batch
        known = vectors[history]
        profile = (network(known, there)[..., None] * known).sum(1)
        scores = F.normalize(profile, dim=-1) @ F.normalize(vectors[targets], dim=-1).T
        return losses.in_batch_softmax(scores / encoder.temperature, targets, log_q[targets])

    result = loop.fit(
        network,
        batches,
        loss,
        epochs=encoder.epochs,
        learning_rate=encoder.learning_rate,
        seed=encoder.seed,
        description=f"training {encoder.name}",
    )
    return network.cpu(), {"epoch": result.history["epoch"].tolist(), "loss": result.history["loss"].tolist()}
