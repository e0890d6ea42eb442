"""Which lists people were shown, and with what probability."""

from __future__ import annotations

import numpy as np


def list_probabilities(scores: np.ndarray, length: int) -> np.ndarray:
    """Probability of each item to stand at a given place of a list: softmax of ``scores``, at most ``1 / length``.

    ``scores`` is ``(n_users, n_items)``, the result likewise; rows sum to one. A list of ``length`` different items
    holds an item with ``length`` times that probability, so no item can have more than ``1 / length``: what is above is
    handed on to the others in proportion.
    """
    weights = np.exp(scores - scores.max(axis=1, keepdims=True)).astype(float)
    capped = np.zeros(weights.shape, bool)
    probability = weights / weights.sum(axis=1, keepdims=True)
    while (over := (probability > 1 / length) & ~capped).any():
        capped |= over
        rest = np.where(capped, 0.0, weights)
        room = 1 - capped.sum(axis=1, keepdims=True) / length
        total = np.maximum(rest.sum(axis=1, keepdims=True), 1e-300)
        probability = np.where(capped, 1 / length, rest * room / total)
    return probability


def sample_lists(probability: np.ndarray, n_lists: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n_lists`` lists of ``length`` different items for each user: int32 ``(n_users, n_lists, length)``.

    The probability that item i stands at place k of a list is exactly ``probability[user, i]``, for every k. Systematic
    sampling (Madow 1949) draws the set: the items, in an order that is random for each user, are laid end to end as
    pieces of length ``length * probability``, and a comb with unit steps and a random start picks the pieces that it
    touches. The places within the list are then shuffled.
    """
    n_users, n_items = probability.shape
    order = rng.permuted(np.broadcast_to(np.arange(n_items), (n_users, n_items)), axis=1)
    ends = np.cumsum(np.take_along_axis(probability, order, axis=1) * length, axis=1)
    ends *= length / ends[:, -1:]  # rounding: the pieces must end at `length` sharp
    comb = rng.random((n_users, n_lists, 1)) + np.arange(length)
    # one search for all users: user u's pieces and comb are moved to the interval [u * length, (u + 1) * length)
    offset = np.arange(n_users)[:, None] * length
    place = np.searchsorted((ends + offset).ravel(), (comb + offset[:, :, None]).ravel(), side="right")
    place = np.minimum(place.reshape(n_users, -1) - np.arange(n_users)[:, None] * n_items, n_items - 1)
    lists = np.take_along_axis(order, place, axis=1).reshape(n_users, n_lists, length)
    return rng.permuted(lists, axis=2).astype(np.int32)
