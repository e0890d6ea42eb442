"""Multimodal recommenders that generate a person's clicks: an autoencoder over modalities, and diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from ..checks import above, at_least, whole
from ..training import loop
from ..training.graph import SparseMatrix, mean_of_layers, normalise
from .autoencoders import kl_divergence, multinomial_loss
from .multimodal import ContentEmbeddings, MultimodalRecommender, remembered
from .multimodal_graphs import contrastive


@dataclass(repr=False, eq=False)
class MMVAE(MultimodalRecommender):
    """A variational autoencoder of a person's clicks and of what the clicked things are like.

    One encoder sees which items a person met, one for each modality sees the mean of these items' content. Each gives a
    normal distribution; their product with the standard normal one is the posterior (product of experts: Wu and
    Goodman, 2018), so that a modality that is missing is a factor left out. The decoder scores an item by its own
    vector plus its mapped content, under a multinomial likelihood (Liang et al., 2018); so it knows items that nobody
    met. In training each expert is left out of the product with probability ``expert_dropout``.

    Parameters
    ----------
    hidden : int, default 256
        Width of the encoders.
    dropout : float, default 0.5
        Share of a person's items that are hidden from the encoders in training.
    beta : float, default 0.2
        Weight of the Kullback-Leibler divergence.
    annealing_epochs : int, default 20
        ``beta`` grows from 0 over so many epochs.
    expert_dropout : float, default 0.2
    dim : int, default 64
        Length of the latent vector and of the vectors of items.
    l2 : float, default 0
        On all vectors of items.
    batch_size : int, default 512
        Number of users.

    ``negatives``, ``n_negatives`` and ``loss`` are not used: all items compete. The rest: see
    :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "mmvae"

    hidden: int = 256
    dropout: float = 0.5
    beta: float = 0.2
    annealing_epochs: int = 20
    expert_dropout: float = 0.2
    map_rate: float = 1.0
    l2: float = 0.0
    batch_size: int = 512
    learning_rate: float = 0.002

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden, self.beta = whole("hidden", self.hidden), at_least("beta", self.beta, 0)
        self.dropout = at_least("dropout", self.dropout, 0, below=1)
        self.annealing_epochs = whole("annealing_epochs", self.annealing_epochs, least=0)
        self.expert_dropout = at_least("expert_dropout", self.expert_dropout, 0, below=1)

    def _build(self, train, features):
        return Experts(self)

    def _prepare(self, train, features) -> None:
        super()._prepare(train, features)
        self._met = self._tensor(np.flatnonzero(self.popularity_))

    def _batches(self, rng, epoch):
        weight = self.beta * min(1.0, epoch / max(self.annealing_epochs, 1))
        users = rng.permutation(np.flatnonzero(np.diff(self.seen_.indptr)))
        for start in range(0, len(users), self.batch_size):
            yield self._tensor(self.seen_[users[start : start + self.batch_size]].toarray()), weight

    def _loss(self, module, batch):
        rows, weight = batch
        mean, log_variance = module.posterior(F.dropout(rows, self.dropout, module.training))
        latent = mean + torch.randn_like(mean) * (log_variance / 2).exp() if module.training else mean
        items, bias = module.items()
        met = self._met  # that nobody met an item says nothing against it
        scores = latent @ items[met].T + bias[met]
        loss = multinomial_loss(scores, rows[:, met]) + weight * kl_divergence(mean, log_variance)
        return loss + self.l2 / 2 * items.square().sum() / len(items)

    def _final(self, module):
        users = np.arange(self.n_users_)
        parts = [users[i : i + self.batch_size] for i in range(0, len(users), self.batch_size)]
        latent = torch.cat([module.posterior(self._tensor(self.seen_[part].toarray()))[0] for part in parts])
        items, bias = module.items()
        users, items = F.pad(latent, (0, 1), value=1.0), torch.cat([items, bias[:, None]], dim=1)
        if self.graph_at_test:
            users, items = mean_of_layers(users, items, self._click_graph(), self.graph_at_test)
        return users, items


class Experts(ContentEmbeddings):
    """Encoders of rows of clicks, one for the identities of the items and one for each modality; vectors of items."""

    def __init__(self, model) -> None:
        super().__init__(model)
        del self.user
        sizes = [model.n_items_, *(x.shape[1] for x in self._inputs[0])]
        self.bias = nn.Parameter(torch.zeros(model.n_items_))
        self.expert_dropout = model.expert_dropout
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(size, model.hidden), nn.Tanh(), nn.Linear(model.hidden, 2 * model.dim))
            for size in sizes
        )

    def items(self) -> tuple[Tensor, Tensor]:
        """Vectors ``(n_items, dim)`` and biases ``(n_items,)`` of the decoder."""
        return self.item + sum(self.content()), self.bias

    def posterior(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``(n, dim)`` of the product of the experts, for rows of clicks ``(n, n_items)``."""
        seen = rows > 0
        inputs, present = [F.normalize(rows)], [seen.any(dim=1)]
        for content, has in zip(self._inputs[0], self.has, strict=True):
            inputs.append(F.normalize(rows @ content))
            present.append(seen.float() @ has[:, 0] > 0)
        precision, weighted = 1.0, 0.0  # of the standard normal distribution
        for expert, x, there in zip(self.experts, inputs, present, strict=True):
            mean, log_variance = expert(x).chunk(2, dim=1)
            if self.training and self.expert_dropout:
                there = there & (torch.rand(len(rows), device=rows.device) >= self.expert_dropout)
            own = (-log_variance).exp() * there[:, None]
            precision, weighted = precision + own, weighted + own * mean
        return weighted / precision, -torch.log(precision * torch.ones_like(weighted))


@dataclass(repr=False, eq=False)
class DiffMM(MultimodalRecommender):
    """Diffusion over the graph of clicks, guided by content (Jiang et al., ACM MM 2024), in two stages.

    First, for each modality, a network learns to restore a person's row of clicks from a noisy one; its second loss
    compares what the restored and the true row say about the content of that modality. The best items of each restored
    row are the edges of a graph that this modality generates. Then embeddings and content are smoothed over the clicks
    and over the generated graphs, fused by learned weights, and smoothed once more; a contrastive loss holds the
    modalities' views together. The paper alternates between the stages in each epoch, here one follows the other.

    Parameters
    ----------
    layers : int, default 2
        Steps over the graph of clicks.
    generated : float, default 0.1
        Weight of the generated graphs; 0 leaves out the first stage.
    edges : int, default 5
        Items that each generated row keeps.
    diffusion_epochs : int, default 10
    steps : int, default 5
        Steps of the diffusion.
    noise : float, default 0.1
        Largest share of the variance that is noise.
    guide : float, default 0.1
        Weight of the loss on content in the first stage.
    hidden : int, default 200
        Width of the restoring network.
    contrast : float, default 0.01
        Weight of the contrastive loss.
    temperature : float, default 0.2
    residual : float, default 0.5
        Weight of the fused vectors beside what is smoothed from them.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "diffmm"

    layers: int = 2
    generated: float = 0.1
    edges: int = 5
    diffusion_epochs: int = 10
    steps: int = 5
    noise: float = 0.1
    guide: float = 0.1
    hidden: int = 200
    contrast: float = 0.01
    temperature: float = 0.2
    residual: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "edges", "diffusion_epochs", "steps", "hidden"):
            setattr(self, name, whole(name, getattr(self, name)))
        for name in ("generated", "guide", "contrast", "residual"):
            setattr(self, name, at_least(name, getattr(self, name), 0))
        self.noise = above("noise", at_least("noise", self.noise, 0, below=1), 0)
        self.temperature = above("temperature", self.temperature, 0)

    def _build(self, train, features):
        graphs = [self._generate(x) for x in self._vectors.values()] if self.generated else []
        return Generated(self, self._click_graph(), graphs)

    def _generate(self, content: np.ndarray) -> SparseMatrix:
        settings = (self.n_items_, self.edges, self.diffusion_epochs, self.steps, self.noise, self.guide, self.hidden)
        clicks = (self.seen_.indptr, self.seen_.indices)
        graph = remembered(generate, (*clicks, content), *settings, self.seed, str(self._device))
        return SparseMatrix(normalise(graph), self._device)

    def _auxiliary(self, module, vectors, batch):
        views = module.views
        if not self.contrast or len(views) < 2:
            return 0.0
        total, pairs = 0.0, [(a, b) for i, a in enumerate(views) for b in views[:i]]
        for (u1, i1), (u2, i2) in pairs:
            total = total + contrastive(u1, u2, batch[0], self.temperature)
            total = total + contrastive(i1, i2, batch[1], self.temperature)
        return self.contrast * total / len(pairs)


def generate(
    indptr: np.ndarray, indices: np.ndarray, content: np.ndarray, n_items: int, edges: int, epochs: int, steps: int,
    noise: float, guide: float, hidden: int, seed: int, device: str,
) -> sparse.csr_matrix:  # fmt: skip
    """The graph of the best ``edges`` items of each restored row, for clicks given as the arrays of a CSR matrix."""
    seen = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), (len(indptr) - 1, n_items))
    users = np.flatnonzero(np.diff(indptr))
    shown = torch.from_numpy(content).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        restorer = Restorer(n_items, hidden, steps, noise).to(device)

    def rows(order: np.ndarray) -> Iterator[Tensor]:
        for start in range(0, len(order), 1024):
            yield torch.from_numpy(seen[order[start : start + 1024]].toarray()).to(device)

    def loss(true: Tensor) -> Tensor:
        restored = restorer(*restorer.noisy(true))
        return (restored - true).square().mean() + guide * ((restored - true) @ shown).square().mean()

    loop.fit(
        restorer, lambda epoch: rows(loop.epoch_rng(seed, epoch).permutation(users)), loss, epochs=epochs,
        learning_rate=1e-3, seed=seed, description="DiffMM, generating",
    )  # fmt: skip
    with torch.no_grad():
        best = [restorer.restore(true).topk(min(edges, n_items)).indices.cpu().numpy() for true in rows(users)]
    items = np.concatenate(best)
    ends = np.repeat(users, items.shape[1]), items.ravel()
    return sparse.csr_matrix((np.ones(items.size, np.float32), ends), seen.shape)


class Restorer(nn.Module):
    """Predicts a clean row from a noisy one and the step: a network with one hidden layer."""

    def __init__(self, n_items: int, hidden: int, steps: int, noise: float) -> None:
        super().__init__()
        self.step = nn.Embedding(steps, 16)
        self.network = nn.Sequential(nn.Linear(n_items + 16, hidden), nn.Tanh(), nn.Linear(hidden, n_items))
        # share of the variance that is noise after each step
        self.shares = (noise * torch.linspace(1 / steps, 1, steps)).tolist()

    def noisy(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows with the noise of a random step, and the steps."""
        steps = torch.randint(len(self.shares), (len(rows),), device=rows.device)
        share = rows.new_tensor(self.shares)[steps][:, None]
        return (1 - share).sqrt() * rows + share.sqrt() * torch.randn_like(rows), steps

    def forward(self, rows: Tensor, steps: Tensor) -> Tensor:
        return self.network(torch.cat([F.normalize(rows), self.step(steps)], dim=1))

    def restore(self, rows: Tensor) -> Tensor:
        """Walk back from the true row, step by step, without noise: what it would be if more had been clicked."""
        x = rows
        for step in reversed(range(len(self.shares))):
            clean = self(x, torch.full((len(rows),), step, device=rows.device))
            share = self.shares[step - 1] if step else 0.0
            x = (1 - share) * clean + share * x
        return x


class Generated(ContentEmbeddings):
    """Views of each modality over clicks and generated graphs, fused; ``views`` after each forward pass."""

    def __init__(self, model, clicks: SparseMatrix, graphs: list[SparseMatrix]) -> None:
        super().__init__(model)
        self.clicks, self.graphs, self.layers = clicks, graphs, model.layers
        self.generated, self.residual = model.generated, model.residual
        self.weight = nn.Parameter(torch.zeros(len(self.maps)))
        self.views: list[tuple[Tensor, Tensor]] = []

    def forward(self) -> tuple[Tensor, Tensor]:
        clicks, self.views = self.clicks, []
        for n, content in enumerate(self.content()):
            # a person is what the content of the clicked things is; a thing is its content and who clicked it
            users, items = clicks @ content, content + clicks.T @ self.user
            users, items = users + clicks @ self.item, items + clicks.T @ (clicks @ content)
            if self.graphs:
                users = users + self.generated * (self.graphs[n] @ self.item)
                items = items + self.generated * (self.graphs[n].T @ self.user)
            self.views.append((users, items))
        shares = self.weight.softmax(0)
        users = self.user + sum(share * u for share, (u, _) in zip(shares, self.views, strict=True))
        items = self.item + sum(share * i for share, (_, i) in zip(shares, self.views, strict=True))
        smooth_users, smooth_items = mean_of_layers(users, items, clicks, self.layers)
        return smooth_users + self.residual * users, smooth_items + self.residual * items
