"""Recommenders for items that nobody has met: what clicks teach about known items is read from the content of new ones.

A score of a known item and a score of a new one come from different sources, and need not be on one scale. Vectors read
from content by regression are short, so that new items stay at the end of lists in which known ones compete; those
trained on clicks may be too long. ``calibration`` changes that, and never the order within either group.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from .. import ranking
from ..checks import above, at_least, between, one_of, whole
from ..data import Features, Interactions
from ..errors import DataError, FeatureError, NotFittedError, ParameterError
from ..training import losses
from .base import Recommender
from .factors import BATCH_BYTES, outer_sums
from .fold_in import FoldsIn
from .multimodal import ContentEmbeddings, MultimodalRecommender, prepare
from .torch_base import TorchRecommender, to_numpy

CALIBRATIONS = ("none", "length", "spread")


# -- known and new items on one scale ------------------------------------------------------------------------------


def same_length(vectors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The vectors of new items, all times one factor, so that they are on average as long as those of known items."""
    lengths = np.linalg.norm(vectors, axis=1)
    if known.all() or not known.any() or not lengths[~known].any():
        return vectors
    factor = lengths[known].mean() / lengths[~known].mean()
    return (vectors * np.where(known, 1, factor)[:, None]).astype(np.float32)


def same_spread(scores: np.ndarray, known: np.ndarray, seen: sparse.csr_matrix) -> np.ndarray:
    """Scores of new items with the mean and standard deviation of each user's known, unseen ones.

    ``scores`` and ``seen`` are ``(n, n_items)``, ``known`` bool ``(n_items,)``. The scores of who has seen all known
    items stay.
    """
    unseen = np.repeat(known[None], len(scores), axis=0)
    unseen[ranking.positions(np.arange(len(scores)), seen)] = False
    if known.all() or not unseen.any():
        return scores
    mean, deviation = _moments(scores, unseen)
    new_mean, new_deviation = _moments(scores, np.broadcast_to(~known, scores.shape))
    factor = np.divide(deviation, new_deviation, out=np.ones_like(deviation), where=new_deviation > 1e-9)
    moved = (scores - new_mean) * factor + mean
    return np.where(known | ~unseen.any(axis=1, keepdims=True), scores, moved).astype(np.float32)


def _moments(scores: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = np.maximum(which.sum(axis=1, keepdims=True), 1)
    mean = (scores * which).sum(axis=1, keepdims=True) / count
    return mean, np.sqrt((np.square(scores - mean) * which).sum(axis=1, keepdims=True) / count)


class ColdItems(FoldsIn):
    """Scores by a dot product of vectors, with new items brought to the scale of known ones.

    Parameters
    ----------
    calibration : {"none", "length", "spread"}, default "none"
        ``"length"``: the vectors of new items are multiplied by one factor, so that they are on average as long as
        those of known items. ``"spread"``: for each user, the scores of new items get the mean and standard deviation
        of the known, unseen ones. Where new items are held back, both bring them into the lists, the second as if
        they were on average as good as known ones; what they gain there, the known ones lose.
    """

    needs_features = True
    scores_new_items = True
    calibration: str = "none"

    def _known(self) -> np.ndarray:
        return self.popularity_ > 0

    def _on_one_scale(self, items: np.ndarray) -> np.ndarray:
        return same_length(items, self._known()) if self.calibration == "length" else items

    def _score(self, users):
        return self._calibrated(self.user_factors_[users], self.seen_[users])

    def _score_histories(self, histories, users):
        return self._calibrated(self.fold_in(histories), histories)

    def _calibrated(self, vectors: np.ndarray, histories: sparse.csr_matrix) -> np.ndarray:
        scores = vectors @ self.item_factors_.T
        return same_spread(scores, self._known(), histories) if self.calibration == "spread" else scores


# -- from content to the vectors of a factor model -----------------------------------------------------------------


class ColdMap(ColdItems, Recommender):
    """A factor model whose item vectors are read from content where nobody has met the item.

    Gantner et al., ICDM 2010: fit a factor model, learn a map from the content of known items to their vectors, apply
    it to the new ones. Known items keep their vectors, so that their scores are those of the base. How well new items
    are ranked depends on the base more than on the map: vectors that are held close to zero teach it little.

    Parameters
    ----------
    base : str, default "als"
        Registered name of a model with ``user_factors_`` and ``item_factors_``; ``item_biases_`` count too.
    base_params : dict, optional
        Its parameters.
    how : {"ridge", "mlp"}, default "ridge"
        The map: ridge regression with an intercept, or a network with one hidden layer.
    l2 : float, default 10
        Penalty on the map. Above 0.
    hidden : int, default 64
        Units of the hidden layer; of ``how="mlp"``.
    components : int or None, default 128
        Principal components kept of each modality; None: all dimensions.
    calibration : {"none", "length", "spread"}, default "none"
        See :class:`ColdItems`.
    seed : int, default 0
        Of the network, and of a base that draws and names no seed of its own.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, dim), (n_items, dim)

    Raises
    ------
    ParameterError, UnknownNameError
        An unknown base or parameter of it; at ``fit``, a base without vectors of users and items.
    """

    name = "coldmap"

    def __init__(
        self, base: str = "als", base_params: Mapping | None = None, how: str = "ridge", l2: float = 10.0,
        hidden: int = 64, components: int | None = 128, calibration: str = "none", seed: int = 0,
    ) -> None:  # fmt: skip
        self.base, self.base_params = base, None if base_params is None else dict(base_params)
        self.how = one_of("how", how, ("ridge", "mlp"))
        self.l2 = above("l2", l2, 0)
        self.hidden = whole("hidden", hidden)
        self.components = None if components is None else whole("components", components)
        self.calibration = one_of("calibration", calibration, CALIBRATIONS)
        self.seed = whole("seed", seed, least=0)
        make_base(base, self.base_params, self.seed)  # checks them

    def _fit(self, train, features, valid) -> None:
        model = make_base(self.base, self.base_params, self.seed).fit(train, features=features, valid=valid)
        users, items = factors_of(model)
        x, known = content_matrix(features, self.components), self._known()
        if not known.all():
            mean, items = items[known].mean(axis=0), items.copy()
            items[~known] = self._map(x[known], items[known] - mean, x[~known]) + mean
        self.user_factors_, self.item_factors_ = users, self._on_one_scale(items)

    def warm_up(self, clicks: Interactions, strength: float | None = None) -> ColdMap:
        """A copy of the fitted model whose new items have taken note of their first clicks.

        Collaborative topic regression (Wang and Blei, KDD 2011): the vector ``q`` of an item fits its clicks as in ALS,
        but is pulled towards what was read from its content, ``m``, and not towards zero. It minimises the sum over
        people of ``c (y - p_u . q)^2``, plus ``strength |q - m|^2``, with ``y = 1`` and ``c = w + alpha`` for who
        clicked, else ``y = 0`` and ``c = w``. A new item has been passed over by fewer people than a known one, so
        ``w``, which is 1 in training, is its clicks divided by those of an average known item, at most 1 (our choice).

        Parameters
        ----------
        clicks : Interactions
            What happened since training. Vectors of users and of items known in training stay; all pairs count as seen.
        strength : float, optional
            How hard content pulls. Above 0. Default: ``l2`` of the base. Without content the pull is towards the mean
            of all known items.

        Raises
        ------
        NotFittedError, ParameterError, DataError
            Before ``fit``; another base than ``"als"``; clicks of other users or items.
        """
        if not hasattr(self, "seen_"):
            raise NotFittedError("ColdMap has not learned yet: call fit(train, features=...) before warm_up")
        if self.base != "als":
            raise ParameterError(f"base={self.base!r}: clicks are taken in by least squares, which needs base='als'")
        if clicks.shape != self.seen_.shape:
            raise DataError(f"clicks count {clicks.shape} users and items, the model {self.seen_.shape}: use one code")
        base = make_base(self.base, self.base_params, self.seed)
        strength = base.l2 if strength is None else above("strength", strength, 0)
        arrived, warm = clicks.to_csr(), copy.copy(self)
        new = np.flatnonzero(~self._known() & (arrived.getnnz(axis=0) > 0))
        warm.item_factors_ = self.item_factors_.copy()
        warm.item_factors_[new] = self._pulled(arrived.T.tocsr()[new], self.item_factors_[new], base.alpha, strength)
        warm.seen_ = (self.seen_ + arrived).tocsr()
        warm.seen_.data[:] = 1
        return warm

    def _pulled(self, clicks: sparse.csr_matrix, content: np.ndarray, alpha: float, strength: float) -> np.ndarray:
        """Vectors of items from their clicks, CSR ``(n, n_users)`` of ones, and what their content says."""
        people, vectors = self.user_factors_, np.empty_like(content)
        everybody = people.T @ people
        share = np.minimum(np.diff(clicks.indptr) / self.popularity_[self._known()].mean(), 1).astype(np.float32)
        for rows in ranking.blocks(np.arange(len(content)), everybody.size, BATCH_BYTES):
            some, w = clicks[rows], share[rows]
            left = outer_sums(some * np.float32(alpha), people) + w[:, None, None] * everybody
            left[:, np.arange(people.shape[1]), np.arange(people.shape[1])] += np.float32(strength)
            right = (w[:, None] + np.float32(alpha)) * (some @ people) + np.float32(strength) * content[rows]
            vectors[rows] = np.linalg.solve(left, right[..., None])[..., 0]
        return vectors

    def _map(self, x: np.ndarray, vectors: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Vectors for ``new``, learned from pairs of content and vector."""
        if self.how == "ridge":
            middle = x.mean(axis=0)
            centred = x - middle
            products = centred.T @ centred
            products[np.diag_indices_from(products)] += np.float32(self.l2)
            return (new - middle) @ np.linalg.solve(products, centred.T @ vectors)
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        network = MLPRegressor(hidden_layer_sizes=(self.hidden,), alpha=self.l2, max_iter=200, random_state=self.seed)
        scale = max(float(vectors.std()), 1e-9)  # the network starts at vectors of this size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(x, vectors / scale)
        return network.predict(new).reshape(len(new), -1).astype(np.float32) * np.float32(scale)


def make_base(name: str, params: Mapping | None, seed: int) -> Recommender:
    """The model whose vectors are wanted; ``seed`` where it draws and ``params`` do not name one."""
    from . import create, get_class

    params = dict(params or {})
    if "seed" not in params and "seed" in create(name, **params).get_params():
        params["seed"] = seed
    if issubclass(get_class(name), ColdItems):
        raise ParameterError(f"base={name!r} reads vectors from content itself: name a model of clicks, such as 'als'")
    return create(name, **params)


def factors_of(model: Recommender) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of users and items whose products are the model's scores, up to a constant for each user."""
    if not hasattr(model, "user_factors_") or not hasattr(model, "item_factors_"):
        raise ParameterError(f"base={model.name!r} has no vectors of users and items: choose als, bpr, lightgcn, ...")
    users, items = model.user_factors_, model.item_factors_
    if hasattr(model, "item_biases_"):
        users = np.column_stack([users, np.ones(len(users), np.float32)])
        items = np.column_stack([items, model.item_biases_])
    return users, items


def content_matrix(features: Features, components: int | None) -> np.ndarray:
    """All modalities side by side, each standardised, reduced, and of length 1 or 0; float32 ``(n_items, width)``."""
    return np.concatenate(list(prepare(features, components).values()), axis=1)


# -- popularity within categories ----------------------------------------------------------------------------------


class CategoryPopularity(Recommender):
    """The popular items of the categories that the user likes: what a model for new items must beat.

    ``score = sum over categories c of P(c | u) P(i | c)``: how much of the user's history lies in ``c`` (smoothed
    towards everybody's), times the item's share of the clicks in ``c``. A new item counts as one of average popularity
    in its categories: new items of the same categories are equal, and stand in the order of their codes. A user without
    history has everybody's taste.

    Parameters
    ----------
    modality : str, optional
        Features that are the categories: a column each, with ones and zeros; an item may be in several or in none.
        Default: the first modality that holds nothing but ones and zeros; without one, clusters of all content, found
        by k-means among the known items.
    n_clusters : int, default 50
        Where there are no categories.
    components : int or None, default 128
        Principal components kept of each modality for the clusters; None: all dimensions.
    smoothing : float, default 1
        Items of everybody's taste that are added to each history. Above 0.
    seed : int, default 0
        Of the clusters.

    Attributes
    ----------
    categories_ : float32 (n_items, n_categories)
        An item's shares in the categories; the last column is for items without any.
    everybody_ : float (n_categories,)
        What is added to each history.
    user_factors_, item_factors_ : float32 (n_users, n_categories), (n_items, n_categories)
        ``P(c | u)`` and ``P(i | c)``.

    Raises
    ------
    ParameterError, FeatureError
        At ``fit``, a ``modality`` that the features lack, or that holds other numbers than ones and zeros.
    """

    name = "categorypop"
    histories = "exact"
    needs_features = True
    scores_new_items = True
    scores_new_users = True

    def __init__(
        self, modality: str | None = None, n_clusters: int = 50, components: int | None = 128, smoothing: float = 1.0,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.modality = modality
        self.n_clusters = whole("n_clusters", n_clusters)
        self.components = None if components is None else whole("components", components)
        self.smoothing = above("smoothing", smoothing, 0)
        self.seed = whole("seed", seed, least=0)

    def _fit(self, train, features, valid) -> None:
        known = self.popularity_ > 0
        self.categories_ = self._categories(features, known)
        clicks = self.categories_ * self.popularity_[:, None]
        self.everybody_ = self.smoothing * clicks.sum(axis=0) / clicks.sum()
        in_category = np.maximum(self.categories_[known].sum(axis=0), 1e-9)
        typical = clicks.sum(axis=0) / in_category  # clicks of an average known item of the category
        clicks = np.where(known[:, None], clicks, self.categories_ * typical)
        self.user_factors_ = self.fold_in(self.seen_)
        self.item_factors_ = (clicks / np.maximum(clicks.sum(axis=0), 1e-9)).astype(np.float32)

    def fold_in(self, histories: sparse.csr_matrix) -> np.ndarray:
        """``P(c | u)`` of people with the given histories (CSR ``(n, n_items)`` of ones)."""
        counts = histories @ self.categories_ + self.everybody_
        return (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)

    def _categories(self, features: Features, known: np.ndarray) -> np.ndarray:
        modality = self.modality or next((m for m in features if is_binary(features[m])), None)
        if modality is None:
            table = self._clusters(content_matrix(features, self.components), known)
        elif modality not in features:
            raise ParameterError(f"modality={modality!r}: features have {', '.join(features)}")
        elif not is_binary(features[modality]):
            raise FeatureError(
                f"modality={modality!r} holds other numbers than ones and zeros: give a column a category"
            )
        else:
            table = features[modality] * features.mask[modality][:, None]
        table = np.column_stack([table, ~table.any(axis=1)]).astype(np.float32)
        return table / table.sum(axis=1, keepdims=True)

    def _clusters(self, x: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Ones and zeros ``(n_items, n_clusters)``; what has no content is in none."""
        from sklearn.cluster import KMeans

        shown = x.any(axis=1)
        distinct = len(np.unique(x[known & shown], axis=0))
        table = np.zeros((len(x), max(1, min(self.n_clusters, distinct))), np.float32)
        if distinct:
            means = KMeans(table.shape[1], n_init=10, random_state=self.seed).fit(x[known & shown])
            table[np.flatnonzero(shown), means.predict(x[shown])] = 1
        return table

    def _score(self, users):
        return self.user_factors_[users] @ self.item_factors_.T

    def _score_histories(self, histories, users):
        return self.fold_in(histories) @ self.item_factors_.T


def is_binary(table: np.ndarray) -> bool:
    """Nothing but ones and zeros, and both?"""
    return bool(((table == 0) | (table == 1)).all() and (table == 0).any() and (table == 1).any())


# -- networks that learn to do without clicks ----------------------------------------------------------------------


class DropoutNet(ColdItems, TorchRecommender):
    """A network that turns vectors of a factor model and content into new vectors, and learns to do without the former.

    Volkovs, Yu and Poutanen, NeurIPS 2017: in training, an item loses its vector of the factor model with probability
    ``dropout``, and the network must reproduce the factor model's scores all the same, from the content. A new item is
    one that has lost its vector. Users go through a linear map; here they have no content of their own.

    Parameters
    ----------
    base : str, default "als"
        Registered name of a model with ``user_factors_`` and ``item_factors_``; ``item_biases_`` count too.
    base_params : dict, optional
        Its parameters.
    dim : int, default 64
        Length of the new vectors.
    hidden : int, default 128
        Units of the items' hidden layer.
    dropout : float, default 0.5
        Share of the items of a batch that lose the vector of the factor model; below 1.
    input_dropout : float, default 0.5
        Share of the numbers that the items' network reads and that are hidden from it, anew in each step; below 1. It
        keeps the network from learning a few hundred items by heart.
    components : int or None, default 128
        Principal components kept of each modality; None: all dimensions.
    items_per_batch : int, default 512
        Known items drawn for a batch; the batch is ``batch_size`` users, and all pairs of both count.
    calibration : {"none", "length", "spread"}, default "none"
        See :class:`ColdItems`. Early stopping looks at scores without.
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`; an epoch is every user with as many draws of items
        as go through all of them.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, dim), (n_items, dim)

    Raises
    ------
    ParameterError, UnknownNameError
        As :class:`ColdMap`.
    """

    name = "dropoutnet"

    def __init__(
        self, base: str = "als", base_params: Mapping | None = None, dim: int = 64, hidden: int = 128,
        dropout: float = 0.5, input_dropout: float = 0.5, components: int | None = 128, items_per_batch: int = 512,
        calibration: str = "none", epochs: int = 60, batch_size: int = 256, learning_rate: float = 0.003,
        weight_decay: float = 0.0, metric: str = "ndcg@20", eval_every: int = 5, patience: int = 5, seed: int = 0,
        device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device)
        self.base, self.base_params = base, None if base_params is None else dict(base_params)
        self.dim, self.hidden = whole("dim", dim), whole("hidden", hidden)
        self.items_per_batch = whole("items_per_batch", items_per_batch)
        self.dropout = at_least("dropout", dropout, 0, below=1)
        self.input_dropout = at_least("input_dropout", input_dropout, 0, below=1)
        self.components = None if components is None else whole("components", components)
        self.calibration = one_of("calibration", calibration, CALIBRATIONS)
        make_base(base, self.base_params, self.seed)  # checks them

    def _prepare(self, train, features) -> None:
        users, items = factors_of(make_base(self.base, self.base_params, self.seed).fit(train, features=features))
        known = self._known()
        scale = np.sqrt(max(np.square(users @ items[known].T).mean(), 1e-12))  # the targets' size; the order stays
        self._users, self._items = self._tensor(users), self._tensor(items * known[:, None])
        self._targets = self._tensor(users / scale), self._tensor(items)
        self._content = self._tensor(content_matrix(features, self.components))
        self._has_vector = self._tensor(known.astype(np.float32)[:, None])

    def _build(self, train, features):
        return Replacement(self._users.shape[1], self._content.shape[1], self.hidden, self.dim, self.input_dropout)

    def _batches(self, rng, epoch):
        known = np.flatnonzero(self._known())
        for items in np.array_split(rng.permutation(known), -(-len(known) // self.items_per_batch)):
            order = rng.permutation(self.n_users_)
            for start in range(0, len(order), self.batch_size):
                kept = rng.random((len(items), 1), np.float32) >= self.dropout
                batch = order[start : start + self.batch_size], items, kept.astype(np.float32)
                yield tuple(self._tensor(column) for column in batch)

    def _loss(self, module, batch):
        users, items, kept = batch
        target = self._targets[0][users] @ self._targets[1][items].T
        made = module.item(self._items[items] * kept, kept, self._content[items])
        return losses.mse(module.user(self._users[users]) @ made.T, target)

    def _vectors(self, module) -> tuple[Tensor, Tensor]:
        return module.user(self._users), module.item(self._items, self._has_vector, self._content)

    def _scorer(self, module):
        users, items = self._vectors(module)
        return lambda block: (users[self._tensor(block)] @ items.T).cpu().numpy()

    def _keep(self, module):
        users, items = (to_numpy(x) for x in self._vectors(module))
        self._users = self._items = self._targets = self._content = self._has_vector = None  # needed no more
        return {"user_factors_": users, "item_factors_": self._on_one_scale(items)}


class Replacement(nn.Module):
    """A linear map of users; of items, a map of the vector where there is one, a network over vector and content."""

    def __init__(self, length: int, width: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.user = nn.Linear(length, dim, bias=False)
        self.vector = nn.Linear(length, dim, bias=False)
        first = nn.Linear(length + 1 + width, hidden)
        self.network = nn.Sequential(nn.Dropout(dropout), first, nn.Tanh(), nn.Linear(hidden, dim))

    def item(self, vectors: Tensor, has: Tensor, content: Tensor) -> Tensor:
        """``has`` ``(n, 1)`` is 1 where there is a vector; ``vectors`` are zeros elsewhere."""
        return self.vector(vectors) + self.network(torch.cat([vectors, has, content], dim=1))


@dataclass(repr=False, eq=False)
class CLCRec(ColdItems, MultimodalRecommender):
    """Contrastive learning of vectors from clicks and from content (Wei et al., ACM Multimedia 2021).

    A known item has an embedding ``e``, learned from clicks, and a vector ``z``, a linear map of its content. There are
    two losses. The user's vector must find the item among ``n_negatives`` others (softmax), where each item shows ``z``
    in place of ``e`` with probability ``mix``; and ``e`` must find its own ``z`` among those of the batch, and the
    other way round, by cosines. Known items are scored by ``e``, new ones by ``z``, which may well be the longer:
    calibration then takes new items down.

    Parameters
    ----------
    content_loss : float, default 0.1
        Weight of the second loss.
    temperature : float, default 0.2
        Of the second loss; above 0.
    mix : float, default 0.5
        From 0 to 1. At 0 content is learned by the second loss alone.
    calibration : {"none", "length", "spread"}, default "none"
        See :class:`ColdItems`. Early stopping looks at scores without.
    n_negatives : int, default 32
    l2 : float, default 0.02
        On the vectors of a batch.

    ``loss`` and ``negatives="hard"`` have no meaning here. The rest: see
    :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "clcrec"

    content_loss: float = 0.1
    temperature: float = 0.2
    mix: float = 0.5
    calibration: str = "none"
    n_negatives: int = 32
    map_rate: float = 1.0
    batch_size: int = 1024
    learning_rate: float = 0.005
    epochs: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self.content_loss = at_least("content_loss", self.content_loss, 0)
        self.temperature = above("temperature", self.temperature, 0)
        self.mix = between("mix", self.mix, 0, 1)
        self.calibration = one_of("calibration", self.calibration, CALIBRATIONS)
        one_of("loss", self.loss, ("bpr", "softmax"))
        one_of("negatives", self.negatives, ("uniform", "popularity"))

    def _build(self, train, features):
        return TwoViews(self)

    def _loss(self, module, batch):
        users, positives, negatives = batch
        own, read = module.item, module.read()
        u = module.user.index_select(0, users)
        items = torch.cat([positives[:, None], negatives], dim=1)
        e, z = (x.index_select(0, items.flatten()).view(*items.shape, -1) for x in (own, read))
        shown = torch.where(torch.rand_like(e[..., :1]) < self.mix, z, e)
        scores = (shown @ u[..., None])[..., 0]
        ranking_loss = losses.sampled_softmax(scores[:, 0], scores[:, 1:])
        views = F.normalize(e[:, 0], dim=1), F.normalize(z[:, 0], dim=1)
        agreement = losses.info_nce(*views, self.temperature, groups=positives)
        penalty = (u.square().sum() + shown.square().sum() / items.shape[1]) / len(users)
        return ranking_loss + self.content_loss * agreement + self.l2 / 2 * penalty

    def _keep(self, module):
        kept = super()._keep(module)
        return kept | {"item_factors_": self._on_one_scale(kept["item_factors_"])}


class TwoViews(ContentEmbeddings):
    """An embedding of each item that somebody met, and what is read from content of all."""

    def __init__(self, model: CLCRec) -> None:
        super().__init__(model, bias=False)
        self._met = [model._tensor((model.popularity_ > 0)[:, None])]  # in a list: no part of the module's state

    def read(self) -> Tensor:
        """Vectors of all items from their content, ``(n_items, dim)``."""
        return sum(self.content())

    def forward(self) -> tuple[Tensor, Tensor]:
        return self.user, torch.where(self._met[0], self.item, self.read())
