"""How :class:`~mmrec_lib.encoders.image.cnn.SmallCNN` learns; needs torch, so it is loaded late."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...errors import DataError
from ...training import device as devices
from ...training import loop, losses


def train(encoder, pictures: np.ndarray, labels: np.ndarray | None, augmentation, device):
    """The trained network and its learning curve.

    Parameters
    ----------
    encoder
        A :class:`SmallCNN`: settings, and the untrained network.
    pictures
        uint8 ``(n, size, size, 3)``.
    labels
        Numbers from 0, one a picture; ``None``, or all the same: learn without labels.
    augmentation
        How pictures are changed.
    """
    device = devices.resolve(device)
    n_labels = 0 if labels is None else int(labels.max()) + 1
    if n_labels < 2 and len(pictures) < 2:
        raise DataError(f"{encoder.name}.fit: one picture has no other to be told from; give at least two, or labels")
    head_size = n_labels if n_labels > 1 else 64
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(encoder.seed)
        network = encoder._network()
        hidden = [] if n_labels > 1 else [nn.Linear(encoder.dim, encoder.dim), nn.ReLU()]
        head = nn.Sequential(*hidden, nn.Linear(encoder.dim, head_size))
    module = nn.ModuleList([network, head]).to(device)
    pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)
    targets = None if n_labels < 2 else torch.from_numpy(labels).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), encoder.learning_rate, weight_decay=1e-3, fused=True)

    def batches(epoch: int):
        # half a cosine wave, from the epoch alone, so that nothing else has to be remembered
        for group in optimizer.param_groups:
            group["lr"] = encoder.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / encoder.epochs)) / 2
        rng = loop.epoch_rng(encoder.seed, epoch)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        order = rng.permutation(len(pixels))
        parts = [order[at : at + encoder.batch_size] for at in range(0, len(order), encoder.batch_size)]
        if len(parts) > 1 and len(parts[-1]) < 2:
            parts.pop()  # a single picture has no variance to normalise by, and nothing to be told from
        for part in parts:
            yield torch.from_numpy(part).to(device), generator

    def changed(batch, generator):
        values = batch.float() / 255
        return 1 - (augmentation.batch(values, generator) if encoder.augment or targets is None else values)

    def loss(batch):
        rows, generator = batch
        chosen = pixels[rows]
        if targets is not None:
            return F.cross_entropy(head(network(changed(chosen, generator))), targets[rows], label_smoothing=0.1)
        both = head(network(torch.cat([changed(chosen, generator), changed(chosen, generator)])))
        first, second = F.normalize(both, dim=1).chunk(2)
        return losses.info_nce(first, second, encoder.temperature)

    result = loop.fit(
        module, batches, loss, epochs=encoder.epochs, optimizer=optimizer, patience=None, seed=encoder.seed,
        description=f"training {encoder.name}",
    )  # fmt: skip
    return network.eval(), result.history[["epoch", "loss"]].to_dict("records")
