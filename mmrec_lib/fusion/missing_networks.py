"""Imputers of a missing modality that are small networks: a masked autoencoder, and a pair of adversaries."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checks import above, at_least, between, whole
from ..data import Features
from ..errors import TrainingError
from ..training import device as devices
from ..training import loop
from .missing import FEW, Code, Imputer, held_out, masks


class AutoencoderImputer(Imputer):
    """A small network that sees some of an item's modalities and rebuilds the others.

    A masked autoencoder over modalities: of each item a random part, at least one modality and never all, is shown, and
    the squared error counts on what was hidden (a denoising autoencoder, Vincent et al., 2008, whose noise takes away
    whole modalities). A straight path leads past the hidden layers: they need not learn what is linear.

    Parameters
    ----------
    components
        Principal components that a modality is reduced to, after standardising.
    hidden
        Width of the two hidden layers.
    epochs
        At most; a tenth of the items decides when to stop.
    batch_size, learning_rate, weight_decay, seed, device
        Of the training.
    """

    def __init__(
        self, components: int = 64, hidden: int = 128, epochs: int = 200, batch_size: int = 256,
        learning_rate: float = 0.002, weight_decay: float = 0.01, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        self.components, self.hidden = whole("components", components), whole("hidden", hidden)
        self.epochs, self.batch_size = whole("epochs", epochs), whole("batch_size", batch_size)
        self.learning_rate = above("learning_rate", learning_rate, 0)
        self.weight_decay = at_least("weight_decay", weight_decay, 0)
        self.seed, self.device = whole("seed", seed, 0), device

    def _fit(self, features):
        self._device = devices.resolve(self.device)
        self.codes_ = {m: Code(x[features.mask[m]], self.components, self.seed) for m, x in features.items()}
        sizes = [code.size for code in self.codes_.values()]
        self._block = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(self._device)
        blocks = functional.one_hot(self._block).float()
        self._mean = blocks / blocks.sum(dim=0)  # (d, n_modalities): of each modality's numbers
        vectors, there = self._encode(features)
        useful = np.flatnonzero(there.sum(axis=1) > 1)
        vectors, there = vectors[useful], there[useful]
        test, train = held_out(len(useful), self.seed) if len(useful) >= FEW else (np.arange(0), slice(None))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._network = _Network(sum(sizes), len(sizes), self.hidden).to(self._device)
            self._learn(vectors[train], there[train], self._validation(vectors[test], there[test]))
        self._network.eval()

    def _learn(self, vectors, there, validate) -> None:
        loop.fit(
            self._network,
            lambda epoch: self._batches(vectors, there, epoch),
            self._loss,
            epochs=self.epochs, learning_rate=self.learning_rate, weight_decay=self.weight_decay, validate=validate,
            eval_every=5, patience=6, seed=self.seed, amp=False, description="imputer",
        )  # fmt: skip

    def _loss(self, batch) -> Tensor:
        truth, there, shown = batch
        return self._error(self._network(self._shown(truth, shown), shown), truth, there - shown)

    def _batches(self, vectors: np.ndarray, there: np.ndarray, epoch: int):
        """Vectors ``(b, d)``, what is there, and what is shown of it, both ``(b, n_modalities)``."""
        rng = loop.epoch_rng(self.seed, epoch)
        order = rng.permutation(len(vectors))
        vectors, there = vectors[order], there[order]
        rank = np.where(there, rng.random(there.shape), 2).argsort(axis=1).argsort(axis=1)
        n_shown = rng.integers(1, there.sum(axis=1))  # at least one, at most all but one
        columns = [self._tensor(x) for x in (vectors, there, rank < n_shown[:, None])]
        yield from zip(*(column.split(self.batch_size) for column in columns), strict=True)

    def _validation(self, vectors: np.ndarray, there: np.ndarray):
        """The error when each modality in turn is hidden, negative so that higher is better; None without items."""
        if not len(vectors):
            return None
        n = there.shape[1]
        hidden = np.repeat(np.eye(n, dtype=bool), len(there), axis=0) & np.tile(there, (n, 1))
        columns = np.tile(vectors, (n, 1)), hidden, np.tile(there, (n, 1)) & ~hidden
        truth, hidden, shown = (self._tensor(x) for x in columns)
        return lambda: -float(self._error(self._network(self._given(truth, shown), shown), truth, hidden))

    def _shown(self, vectors: Tensor, shown: Tensor) -> Tensor:
        return vectors * shown[:, self._block]

    def _error(self, output: Tensor, truth: Tensor, counts: Tensor) -> Tensor:
        """Mean squared error over the modalities for which ``counts`` is one, each a mean over its dimensions."""
        errors = (output - truth).square() @ self._mean
        return (errors * counts).sum() / counts.sum().clamp(min=1)

    def _encode(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        parts = [self.codes_[m].encode(x) * features.mask[m][:, None] for m, x in features.items()]
        return np.concatenate(parts, axis=1).astype(np.float32), masks(features)

    def _fill(self, features):
        vectors, there = (self._tensor(x) for x in self._encode(features))
        with torch.no_grad():
            output = self._network(self._given(vectors, there), there).cpu().numpy()
        ends = np.cumsum([code.size for code in self.codes_.values()])[:-1]
        parts = np.split(output, ends, axis=1)
        return {m: code.decode(part) for (m, code), part in zip(self.codes_.items(), parts, strict=True)}

    _given = _shown

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self._device)


class GANImputer(AutoencoderImputer):
    """GAIN (Yoon, Jordon and van der Schaar, ICML 2018), with whole modalities in the place of single numbers.

    The generator sees what is shown of an item, noise in the place of the rest, and which is which; it makes all
    modalities. The discriminator sees the item with the gaps filled and guesses for each modality whether it is real;
    the hint tells it the truth about some of them. The generator learns to be taken for real, and to be right.

    GAIN learns from tables with gaps of their own, and can be right only about what it was shown. Here modalities that
    are known are hidden, as for the autoencoder, and the squared error counts on them too. With a small ``alpha`` the
    vectors look more real, and are further from the truth.

    Parameters
    ----------
    alpha
        Weight of the squared error against the adversarial loss.
    hint
        Chance that the discriminator is told the truth about a modality.
    noise
        Standard deviation of the noise, where vectors have about 1.
    components, hidden, epochs, batch_size, learning_rate, weight_decay, seed, device
        As for :class:`AutoencoderImputer`; of the epochs, the best on the tenth held out is kept.
    """

    def __init__(
        self, alpha: float = 10.0, hint: float = 0.9, noise: float = 0.1, components: int = 64, hidden: int = 128,
        epochs: int = 150, batch_size: int = 256, learning_rate: float = 0.002, weight_decay: float = 0.01,
        seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(components, hidden, epochs, batch_size, learning_rate, weight_decay, seed, device)
        self.alpha, self.hint = at_least("alpha", alpha, 0), between("hint", hint, 0, 1)
        self.noise = at_least("noise", noise, 0)

    def _learn(self, vectors, there, validate) -> None:
        judge = _Network(len(self._block), there.shape[1], self.hidden, there.shape[1]).to(self._device)
        makes, judges = (
            torch.optim.AdamW(net.parameters(), self.learning_rate, weight_decay=self.weight_decay)
            for net in (self._network, judge)
        )
        best, kept = -np.inf, None
        for epoch in range(1, self.epochs + 1):
            rng = np.random.default_rng([self.seed, epoch, 1])
            for truth, known, shown in self._batches(vectors, there, epoch):
                told = self._tensor(rng.random(shown.shape) < self.hint)
                made = self._network(self._given(truth, shown, rng), shown)
                filled = self._shown(truth, shown) + self._shown(made, 1 - shown)
                clues = told * shown + (1 - told) / 2
                doubt = 1 - told  # the discriminator is asked about what it was not told
                _step(judges, _guess(judge(filled.detach(), clues), shown, doubt))
                error = self._error(made, truth, known)
                loss = _guess(judge(filled, clues), torch.ones_like(shown), doubt * (1 - shown)) + self.alpha * error
                _step(makes, loss)
            if not torch.isfinite(loss):
                raise TrainingError(f"gan: the loss became {float(loss)} in epoch {epoch}; lower the learning rate")
            if validate is not None and epoch % 5 == 0:
                with torch.no_grad():
                    score = validate()
                if score > best:
                    best, kept = score, {k: v.clone() for k, v in self._network.state_dict().items()}
        if kept is not None:
            self._network.load_state_dict(kept)

    def _given(self, vectors: Tensor, shown: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        rng = rng or np.random.default_rng(self.seed)
        noise = self._tensor(self.noise * rng.standard_normal(vectors.shape, np.float32))
        return self._shown(vectors, shown) + self._shown(noise, 1 - shown)


class _Network(nn.Module):
    """Two hidden layers and a straight path beside them, over vectors and a number for each modality."""

    def __init__(self, size: int, n_modalities: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        inputs, out = size + n_modalities, out or size
        self.straight = nn.Linear(inputs, out)
        self.deep = nn.Sequential(
            nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out)
        )

    def forward(self, vectors: Tensor, modalities: Tensor) -> Tensor:
        x = torch.cat([vectors, modalities], dim=1)
        return self.straight(x) + self.deep(x)


def _guess(logits: Tensor, real: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of the guesses that count."""
    loss = functional.binary_cross_entropy_with_logits(logits, real, reduction="none")
    return (loss * counts).sum() / counts.sum().clamp(min=1)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
