"""Multimodal recommenders on graphs: of clicks, of items that resemble each other, or both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import above, at_least, between, whole
from ..training import losses
from ..training.graph import SparseMatrix, WeightedEdges, mean_of_layers, normalise
from .content import nearest_by_content
from .multimodal import ContentEmbeddings, MultimodalRecommender


@dataclass(repr=False, eq=False)
class MMGCN(MultimodalRecommender):
    """A graph network for each modality, whose results are averaged (Wei et al., ACM MM 2019).

    In the graph of a modality items start with their content, users with what they like of it. A layer takes the mean
    over the neighbours, a linear map and LeakyReLU, adds a map of the node's own vector and the embedding that all
    modalities share, and maps once more. Users and items are the mean of the modalities' last layers. The maps between
    nodes start as the identity; from random ones the content of a user and of an item would not be comparable at first.

    Parameters
    ----------
    layers : int, default 2

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "mmgcn"

    layers: int = 2
    learning_rate: float = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers = whole("layers", self.layers)

    def _build(self, train, features):
        to_users = SparseMatrix(normalise(self.seen_, "rows"), self._device)
        to_items = SparseMatrix(normalise(self.seen_.T.tocsr(), "rows"), self._device)
        return ModalityNetworks(self, to_users, to_items)


class ModalityNetworks(ContentEmbeddings):
    """For each modality its users' preferences and, layer by layer, three maps shared by users and items."""

    def __init__(self, model, to_users: SparseMatrix, to_items: SparseMatrix) -> None:
        super().__init__(model)
        self.to_users, self.to_items = to_users, to_items
        dim, n = model.dim, len(self.maps)
        self.preference = nn.ParameterList(torch.randn(model.n_users_, dim) * 0.03 for _ in range(n))
        self.steps = nn.ModuleList(nn.ModuleList(Step(dim) for _ in range(model.layers)) for _ in range(n))

    def forward(self) -> tuple[Tensor, Tensor]:
        all_users, all_items = 0, 0
        for users, items, steps in zip(self.preference, self.content(), self.steps, strict=True):
            users, items = F.normalize(users), F.normalize(items)
            for step in steps:
                users, items = (
                    step(self.to_users @ items, users, self.user),
                    step(self.to_items @ users, items, self.item),
                )
            all_users, all_items = all_users + users, all_items + items
        return all_users / len(self.steps), all_items / len(self.steps)


class Step(nn.Module):
    """From the neighbours' mean, a node's own vector and its shared embedding to its next vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.neighbours, self.own, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        # people get content by way of two maps, items by way of another; from random ones they would not match at first
        for layer in (self.neighbours, self.own, self.out):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, neighbours: Tensor, own: Tensor, shared: Tensor) -> Tensor:
        h = F.leaky_relu(self.neighbours(neighbours))
        return F.leaky_relu(self.out(h) + F.leaky_relu(self.own(own)) + shared)


@dataclass(repr=False, eq=False)
class GRCN(MultimodalRecommender):
    """Refine the graph of clicks by content before smoothing over it (Wei et al., ACM MM 2020).

    A user has a prototype in each modality. It is routed: attention over the user's items by their affinity to the
    prototype, the attended content added to it, a few times. An edge counts as much as the modality says in which user
    and item agree best, each with a learned confidence, so that accidental clicks fade. Embeddings are then averaged
    over layers of the refined graph, and each modality's prototypes and content are put beside them.

    Parameters
    ----------
    layers : int, default 2
    routing : int, default 3
        Rounds of routing.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "grcn"

    layers: int = 2
    routing: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers, self.routing = whole("layers", self.layers), whole("routing", self.routing, least=0)

    def _build(self, train, features):
        return Refined(self, WeightedEdges(self.seen_, self._device))


class Refined(ContentEmbeddings):
    """Embeddings over a graph whose edges the content weighs, beside the prototypes of each modality."""

    def __init__(self, model, edges: WeightedEdges) -> None:
        super().__init__(model)
        self.edges, self.layers, self.routing = edges, model.layers, model.routing
        dim, n = model.dim, len(self.maps)
        self.preference = nn.ParameterList(torch.randn(model.n_users_, dim) * 0.03 for _ in range(n))
        self.scale = nn.Parameter(torch.full((n,), 0.5))  # cosines beside products of small vectors
        self.confidence_user = nn.Parameter(torch.zeros(model.n_users_, n))
        self.confidence_item = nn.Parameter(torch.zeros(model.n_items_, n))
        degree_u = torch.bincount(edges.users, minlength=model.n_users_).float()
        degree_i = torch.bincount(edges.items, minlength=model.n_items_).float()
        self._scale = 1 / (degree_u[edges.users] * degree_i[edges.items]).sqrt()

    def forward(self) -> tuple[Tensor, Tensor]:
        edges, affinities, modal = self.edges, [], []
        for users, items in zip(self.preference, self.content(), strict=True):
            users, items = F.normalize(users), F.normalize(F.leaky_relu(items))
            ends = items.index_select(0, edges.items)
            for _ in range(self.routing):
                weights = edges.softmax((users.index_select(0, edges.users) * ends).sum(1), "users")
                users = F.normalize(users + edges.to_users(weights, items))
            affinities.append((users.index_select(0, edges.users) * ends).sum(1))
            modal.append((users, items))
        # relu(1 + cosine) is 1 for a modality that says nothing; all modalities start with the same confidence
        agree = torch.relu(1 + torch.stack(affinities, dim=1))
        trust = torch.sigmoid(self.confidence_user[edges.users] + self.confidence_item[edges.items])
        weights = (2 * trust * agree).amax(dim=1) * self._scale
        users, items = self.user, self.item
        all_users, all_items = users, items
        for _ in range(self.layers):
            users, items = edges.to_users(weights, items), edges.to_items(weights, users)
            all_users, all_items = all_users + users, all_items + items
        share = self.layers + 1
        scaled = [(u * scale, i) for (u, i), scale in zip(modal, self.scale, strict=True)]
        parts = [(all_users / share, all_items / share), *scaled]
        return torch.cat([u for u, _ in parts], dim=1), torch.cat([i for _, i in parts], dim=1)


@dataclass(repr=False, eq=False)
class LATTICE(MultimodalRecommender):
    """Learn which items resemble each other, and smooth over that graph (Zhang et al., ACM MM 2021).

    Each modality has a graph of nearest items by its raw vectors and a second one by learned maps of them, whose
    neighbours are found anew before each epoch and whose weights are cosines that the loss can change. The two are
    mixed (``keep`` of the first), the modalities are mixed by learned weights, and what items gather over the mixed
    graph is added to their vectors from the graph of clicks.

    Parameters
    ----------
    k : int, default 10
        Nearest items.
    keep : float, default 0.9
        Share of the graph of raw vectors.
    item_layers : int, default 1
        Steps over the graph of items.
    layers : int, default 2
        Steps over the graph of clicks.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "lattice"

    k: int = 10
    keep: float = 0.9
    item_layers: int = 1
    layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.k, self.item_layers = whole("k", self.k), whole("item_layers", self.item_layers)
        self.layers, self.keep = whole("layers", self.layers, least=0), between("keep", self.keep, 0, 1)

    def _build(self, train, features):
        self._module = Learned(self, self._click_graph(), self._item_graphs(self.k))
        return self._module

    def _batches(self, rng, epoch):
        if self.keep < 1:
            self._module.renew(self.k)
        return super()._batches(rng, epoch)


class Learned(ContentEmbeddings):
    """Raw graphs of items, learned ones, and the weights of the modalities."""

    def __init__(self, model, clicks: SparseMatrix, graphs: list[SparseMatrix]) -> None:
        super().__init__(model)
        self.clicks, self.graphs, self.keep = clicks, graphs, model.keep
        self.layers, self.item_layers = model.layers, model.item_layers
        self.weight = nn.Parameter(torch.zeros(len(graphs)))
        self._edges: list[WeightedEdges] = []
        if self.keep < 1:
            self.renew(model.k)

    @torch.no_grad()
    def renew(self, k: int) -> None:
        """Find each item's neighbours anew, by the maps as they are now."""
        vectors = [F.normalize(x).cpu().numpy() for x in self._mapped()]
        self._edges = [WeightedEdges(nearest_by_content(x, k), self.item.device) for x in vectors]

    def _mapped(self) -> list[Tensor]:
        return [layer(x) * has for layer, x, has in zip(self.maps, self._inputs[0], self.has, strict=True)]

    def forward(self) -> tuple[Tensor, Tensor]:
        users, items = mean_of_layers(self.user, self.item, self.clicks, self.layers)
        shares = self.weight.softmax(0)
        vectors = map(F.normalize, self._mapped()) if self._edges else ()
        learned = [self._weights(x, edges) for x, edges in zip(vectors, self._edges, strict=True)]
        gathered = self.item
        for _ in range(self.item_layers):
            raw = sum(share * (graph @ gathered) for share, graph in zip(shares, self.graphs, strict=True))
            if self.keep < 1:
                new = sum(s * e.to_users(w, gathered) for s, e, w in zip(shares, self._edges, learned, strict=True))
                raw = self.keep * raw + (1 - self.keep) * new
            gathered = raw
        return users, items + gathered

    def _weights(self, vectors: Tensor, edges: WeightedEdges) -> Tensor:
        """Cosines of the neighbours, scaled to sum 1 over each item's neighbours."""
        cosines = torch.relu((vectors.index_select(0, edges.users) * vectors.index_select(0, edges.items)).sum(1))
        total = torch.zeros(edges.shape[0], device=cosines.device).index_add(0, edges.users, cosines)
        return cosines / total.index_select(0, edges.users).clamp(min=1e-6)


@dataclass(repr=False, eq=False)
class FREEDOM(MultimodalRecommender):
    """Freeze the graph of items, thin out the graph of clicks (Zhou and Shen, ACM MM 2023).

    Items gather over the frozen graph of their nearest neighbours by content, and that is added to their vectors from
    the graph of clicks. In training, each epoch sees a part of the clicks only, where an edge between popular ends is
    the more likely to go; scoring uses all. A second ranking loss asks the user's vector to order items by their mapped
    content, modality by modality.

    Parameters
    ----------
    k : int, default 10
        Nearest items.
    weights : dict, optional
        Modality to its share of the graph of items; default: equal. Scaled to sum 1.
    item_layers : int, default 1
        Steps over the graph of items.
    layers : int, default 2
        Steps over the graph of clicks; 0 trains without it.
    edge_dropout : float, default 0.5
        Share of the clicks that are left out of the graph in an epoch.
    content_loss : float, default 0.1
        Weight of the second loss.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "freedom"

    k: int = 10
    weights: dict[str, float] | None = None
    item_layers: int = 1
    layers: int = 2
    edge_dropout: float = 0.5
    content_loss: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.k, self.item_layers = whole("k", self.k), whole("item_layers", self.item_layers, least=0)
        self.layers = whole("layers", self.layers, least=0)
        self.edge_dropout = at_least("edge_dropout", self.edge_dropout, 0, below=1)
        self.content_loss = at_least("content_loss", self.content_loss, 0)
        if self.weights is not None:
            self.weights = {m: at_least(f"weights[{m!r}]", w, 0) for m, w in self.weights.items()}

    def _build(self, train, features):
        shares = np.array([(self.weights or {}).get(m, 1.0) for m in self._vectors])
        shares = shares / max(shares.sum(), 1e-12)
        self._module = Frozen(self, self._click_graph(), self._item_graphs(self.k), shares.tolist())
        return self._module

    def _batches(self, rng, epoch):
        self._module.thinned = self._thinned(rng) if self.edge_dropout and self.layers else None
        return super()._batches(rng, epoch)

    def _thinned(self, rng: np.random.Generator) -> SparseMatrix:
        """The clicks of this epoch: drawn without replacement, an edge the likelier the less popular its ends are."""
        graph = normalise(self.seen_)
        # the largest of (log weight + Gumbel noise) are a draw without replacement (Efraimidis and Spirakis, 2006)
        keys = np.log(graph.data) + rng.gumbel(size=graph.nnz)
        n = max(1, round(graph.nnz * (1 - self.edge_dropout)))
        kept = self.seen_.copy()
        kept.data = np.zeros_like(kept.data)
        kept.data[np.argpartition(-keys, n - 1)[:n]] = 1
        kept.eliminate_zeros()
        return SparseMatrix(normalise(kept), self._device)

    def _auxiliary(self, module, vectors, batch):
        if not self.content_loss:
            return 0.0
        users, positives, negatives = batch
        u = vectors[0].index_select(0, users)
        total = 0.0
        for content, has in zip(module.content(), module.has, strict=True):
            p, n = content.index_select(0, positives), content.index_select(0, negatives[:, 0])
            both = (has[positives] * has[negatives[:, 0]])[:, 0]
            total = total + (F.softplus((u * (n - p)).sum(1)) * both).sum() / len(users)
        return self.content_loss * total


class Frozen(ContentEmbeddings):
    """Embeddings over the clicks, plus what items gather from their neighbours by content."""

    def __init__(self, model, clicks: SparseMatrix, graphs: list[SparseMatrix], shares: list[float]) -> None:
        super().__init__(model)
        self.clicks, self.graphs, self.shares = clicks, graphs, shares
        self.layers, self.item_layers = model.layers, model.item_layers
        self.thinned: SparseMatrix | None = None

    def forward(self) -> tuple[Tensor, Tensor]:
        clicks = self.thinned if self.training and self.thinned is not None else self.clicks
        users, items = mean_of_layers(self.user, self.item, clicks, self.layers)
        gathered = self.item
        for _ in range(self.item_layers):
            gathered = sum(share * (graph @ gathered) for share, graph in zip(self.shares, self.graphs, strict=True))
        return users, items + gathered if self.item_layers else items


@dataclass(repr=False, eq=False)
class MGCN(MultimodalRecommender):
    """Purify content by behaviour, and fuse it as the user's behaviour asks (Yu et al., ACM MM 2023).

    A gate made from an item's content multiplies its embedding, so that only content that matters for clicks passes.
    The result is smoothed over the modality's graph of nearest items, and carried to the users. Attention finds what
    the modalities share; what is special to each is weighed by gates that the vectors from the clicks set. Content and
    clicks are added, and a contrastive loss keeps them together.

    Parameters
    ----------
    k : int, default 10
        Nearest items.
    layers : int, default 2
        Steps over the graph of clicks.
    contrast : float, default 0.01
        Weight of the contrastive loss.
    temperature : float, default 0.2
        Of the contrastive loss.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "mgcn"

    k: int = 10
    layers: int = 2
    contrast: float = 0.01
    temperature: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.k, self.layers = whole("k", self.k), whole("layers", self.layers, least=0)
        self.contrast = at_least("contrast", self.contrast, 0)
        self.temperature = above("temperature", self.temperature, 0)

    def _build(self, train, features):
        return Purified(self, self._click_graph(), self._item_graphs(self.k))

    def _auxiliary(self, module, vectors, batch):
        if not self.contrast:
            return 0.0
        side_users, side_items, users, items = module.views
        return self.contrast * (
            contrastive(side_users, users, batch[0], self.temperature)
            + contrastive(side_items, items, batch[1], self.temperature)
        )


class Purified(ContentEmbeddings):
    """Vectors from clicks plus vectors from content; ``views`` holds both after each forward pass."""

    def __init__(self, model, clicks: SparseMatrix, graphs: list[SparseMatrix]) -> None:
        super().__init__(model)
        dim = model.dim
        self.clicks, self.graphs, self.layers = clicks, graphs, model.layers
        self.gates = nn.ModuleList(nn.Linear(dim, dim) for _ in graphs)
        self.prefer = nn.ModuleList(nn.Linear(dim, dim) for _ in graphs)
        self.attention = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))
        self.views: tuple[Tensor, ...] = ()

    def forward(self) -> tuple[Tensor, Tensor]:
        users, items = mean_of_layers(self.user, self.item, self.clicks, self.layers)
        sides = []
        for content, has, gate, graph in zip(self.content(), self.has, self.gates, self.graphs, strict=True):
            h = graph @ (self.item * torch.sigmoid(gate(content)) * has)
            sides.append(torch.cat([self.clicks @ h, h]))
        side = self._fuse(torch.cat([users, items]), sides)
        side_users, side_items = side.split([len(users), len(items)])
        self.views = (side_users, side_items, users, items)
        return users + side_users, items + side_items

    def _fuse(self, behaviour: Tensor, sides: list[Tensor]) -> Tensor:
        weights = torch.cat([self.attention(x) for x in sides], dim=1).softmax(1)
        common = sum(weights[:, i : i + 1] * x for i, x in enumerate(sides))
        special = sum(torch.sigmoid(p(behaviour)) * (x - common) for p, x in zip(self.prefer, sides, strict=True))
        return (common + special) / (len(sides) + 1)


#: Rows that a contrastive loss compares in a batch: all pairs of 8,192 rows would cost more than the rest of the model.
CONTRASTED = 1024


def contrastive(a: Tensor, b: Tensor, rows: Tensor, temperature: float) -> Tensor:
    """InfoNCE between two views of the same nodes, on the first distinct ones of ``rows``."""
    rows = torch.unique(rows[:CONTRASTED])
    a, b = F.normalize(a.index_select(0, rows)), F.normalize(b.index_select(0, rows))
    return losses.info_nce(a, b, temperature)
