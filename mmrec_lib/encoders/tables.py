"""Embeddings of categories, learned by a small network; needs torch, so loaded late."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..errors import DataError
from ..training import device as devices
from ..training import loop

_BATCH = 256


def learn_embeddings(encoder, bags: list, labels: list | None, device) -> list[list[list[float]]]:
    """A vector for each category of each column, as plain lists ``[column][category][number]``.

    ``bags`` are sparse matrices ``(rows, categories)``, one a column. The vectors of a row's categories are averaged in
    each column, put side by side, and a linear layer says the label (numbers: squared error; else: cross-entropy).
    Without labels each column is told from the others.
    """
    if labels is None and len(bags) < 2:
        raise DataError("an embedding of one column learns from labels: give fit(items, labels=[...])")
    device = devices.resolve(device)
    target, n_out = _target(labels)
    shares = [bag.multiply(1 / np.maximum(bag.sum(axis=1), 1)).tocsr() for bag in bags]
    outs = [n_out] if labels is not None else [bag.shape[1] for bag in bags]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(encoder.seed)
        tables = nn.ModuleList(nn.Linear(bag.shape[1], encoder.size, bias=False) for bag in bags)
        heads = nn.ModuleList(nn.Linear(encoder.size * len(bags), n) for n in outs)
        for table in tables:
            nn.init.normal_(table.weight, std=0.1)
    network = nn.ModuleList([tables, heads]).to(device)

    def batches(epoch: int):
        order = loop.epoch_rng(encoder.seed, epoch).permutation(bags[0].shape[0])
        return np.array_split(order, max(1, -(-len(order) // _BATCH)))

    def loss(rows):
        cells = [torch.from_numpy(share[rows].toarray()).float().to(device) for share in shares]
        parts = [table(cell) for table, cell in zip(tables, cells, strict=True)]
        if labels is not None:
            out = heads[0](torch.cat(parts, dim=1))
            wanted = target[torch.from_numpy(rows)].to(device)
            return (out[:, 0] - wanted).square().mean() if n_out == 1 else F.cross_entropy(out, wanted)
        total = 0.0
        for at, cell in enumerate(cells):
            others = torch.cat([part * (k != at) for k, part in enumerate(parts)], dim=1)
            total = total + F.cross_entropy(heads[at](others), cell)
        return total

    loop.fit(
        network, batches, loss, epochs=encoder.epochs, learning_rate=0.02, weight_decay=1e-3, seed=encoder.seed,
        description=f"training {encoder.name}",
    )  # fmt: skip
    # a category that no row had keeps nothing of its random start
    seen = [np.asarray(bag.sum(axis=0)).reshape(-1, 1) > 0 for bag in bags]
    vectors = [table.weight.detach().cpu().numpy().T.astype(float) for table in tables]
    return [np.where(there, vector, 0.0).tolist() for there, vector in zip(seen, vectors, strict=True)]


def _target(labels: list | None) -> tuple[torch.Tensor | None, int]:
    """Numbers on a standard scale (one output), or codes of classes."""
    if labels is None:
        return None, 0
    try:
        values = np.array([float(label) for label in labels], np.float32)
    except (TypeError, ValueError):
        classes = {label: code for code, label in enumerate(sorted({str(label) for label in labels}))}
        return torch.tensor([classes[str(label)] for label in labels]), max(len(classes), 2)
    return torch.from_numpy((values - values.mean()) / max(values.std(), 1e-9)), 1
