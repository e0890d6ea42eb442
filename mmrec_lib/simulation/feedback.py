"""What a recommender does to its own data: people click what they are shown, and the next model learns from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import ranking
from ..checks import between, whole
from ..data import Interactions
from ..errors import DataError, ParameterError
from .audience import Audience


@dataclass(frozen=True)
class FeedbackLoop:
    """The course of a loop; made by :func:`feedback_loop`.

    Attributes
    ----------
    rounds : DataFrame
        Indexed by round, from 1. ``clicks``: a list, as they happened; ``worth``: expected, from the true
        probabilities; ``utility``: mean true utility of what was shown; ``gini`` and ``coverage`` of the round's lists;
        ``overlap``: mean share of a list that the list of another person holds too, over all pairs of people;
        ``explored``: share of places filled at random; ``gini_clicks``: of all clicks so far, this round's included;
        with ``groups`` one column ``share of NAME`` of places for each.
    log : DataFrame
        One row per item shown: round, user, item, position, click, rating, explored.
    interactions : Interactions
        All clicks, those before the first round included; value 1.
    model : object
        The last round's.
    """

    rounds: pd.DataFrame
    log: pd.DataFrame
    interactions: Interactions
    model: object


def feedback_loop(
    audience: Audience,
    factory: Callable[[Interactions], object],
    rounds: int = 10,
    k: int = 10,
    *,
    start: Interactions | None = None,
    explore: float = 0.0,
    repeat: bool = False,
    choose: Callable | None = None,
    groups=None,
    time: float = 0.5,
    seed: int = 0,
) -> FeedbackLoop:
    """Fit on all clicks so far, show everybody a list, log the clicks, and again.

    Chaney, Stewart and Engelhardt (2018) call the loop algorithmic confounding: what the model learns from was chosen
    by the model, and people's lists can grow alike without anybody's taste having changed.

    Parameters
    ----------
    audience : Audience
        Its people answer every round.
    factory
        ``factory(clicks)`` returns a fitted model, anything with ``score(users)``, such as
        ``lambda clicks: mm.models.create("ease").fit(clicks)``.
    rounds, k
        How many times; length of the lists.
    start : Interactions, optional
        What is known before the first round. Default: the audience's own log.
    explore
        Probability with which a place is given to an item drawn at random from those that are not in the list.
    repeat
        May a list hold what the person has clicked before? Default: no.
    choose
        ``choose(model, users, k, clicks)`` returns lists ``(len(users), k)``, in place of the ``k`` best by score:
        a hook for re-ranking.
    groups : array (n_items,), optional
        One label per item, whose share of all places is reported (the popularity groups of ``start``, say).
    time
        Point of the audience's period, see :meth:`Audience.respond`.
    seed

    Returns
    -------
    FeedbackLoop

    Raises
    ------
    ParameterError, DataError
        Numbers out of range, a start over other people or items, lists of another shape, labels of other items.

    Examples
    --------
    >>> import mmrec_lib as mm
    >>> shop = mm.datasets.load("stamps", n_users=50, n_lists=5)  # doctest: +SKIP
    >>> ease = lambda clicks: mm.models.create("ease", l2=50.0).fit(clicks)  # doctest: +SKIP
    >>> feedback_loop(shop.extras["audience"], ease, rounds=3).rounds[["clicks", "gini"]]  # doctest: +SKIP
    """
    whole("rounds", rounds)
    between("explore", explore, 0, 1)
    if ranking.check_k(k) > audience.n_items:
        raise ParameterError(f"k={k}: the catalogue has only {audience.n_items} items")
    clicks = audience.interactions if start is None else start
    if clicks.shape != (audience.n_users, audience.n_items):
        raise DataError(
            f"start counts {clicks.shape} users and items, the audience {audience.n_users, audience.n_items}"
        )
    labels = None if groups is None else pd.Categorical(groups)
    if labels is not None and len(labels) != audience.n_items:
        raise DataError(f"groups: {len(labels)} labels for {audience.n_items} items; give one each")
    clicks = Interactions(clicks.user, clicks.item, n_users=clicks.n_users, n_items=clicks.n_items)

    rows, logs = [], []
    for number in tqdm(range(1, rounds + 1), desc="rounds", disable=None, leave=False):
        rng = np.random.default_rng([seed, number])
        model = factory(clicks)
        lists, explored = _lists(model, audience, clicks, k, explore, repeat, choose, rng)
        reply = audience.respond(np.arange(audience.n_users), lists, rng, time)
        reply.insert(0, "round", number)
        reply["explored"] = explored[lists >= 0]
        new = reply[reply["click"]]
        parts = [clicks, Interactions(new["user"].to_numpy(), new["item"].to_numpy(), None, None, *clicks.shape)]
        clicks = Interactions.concat(parts)
        logs.append(reply)
        rows.append({"round": number} | _measure(audience, reply, lists, clicks, labels, time))
    return FeedbackLoop(pd.DataFrame(rows).set_index("round"), pd.concat(logs, ignore_index=True), clicks, model)


def _lists(model, audience, clicks, k, explore, repeat, choose, rng) -> tuple[np.ndarray, np.ndarray]:
    """Lists ``(n_users, k)``, and which places were given away by chance."""
    n_users, n_items = clicks.shape
    users, seen = np.arange(n_users), None if repeat else clicks.to_csr()
    if choose is not None:
        lists = np.array(choose(model, users, k, clicks))
        if lists.shape != (n_users, k):
            raise DataError(f"choose returned lists of shape {lists.shape}; expected {(n_users, k)}")
    else:
        parts = ranking.iter_top_k(model.score, users, k, n_items, seen)
        lists = np.concatenate([items for _, items, _ in parts])
    explored = rng.random(lists.shape) < explore
    if explore:  # as many other items for everybody as there are places, in random order; each is used at most once
        draw = rng.random((n_users, n_items), dtype=np.float32)
        row, place = np.nonzero(lists >= 0)
        draw[row, lists[row, place]] = -np.inf
        if seen is not None:
            ranking.mask_seen(draw, users, seen)
        others = ranking.top_k(draw, k)[0]
        explored &= others >= 0
        lists = np.where(explored, others, lists)
    return lists, explored


def _measure(audience, reply, lists, clicks, labels, time: float) -> dict[str, float]:
    n, k = lists.shape
    shown = np.bincount(reply["item"], minlength=audience.n_items)
    people, items = reply["user"].to_numpy(), reply["item"].to_numpy()
    row = {
        "clicks": reply["click"].sum() / n,
        "worth": audience.click_probability(people, items, reply["position"].to_numpy(), time).sum() / n,
        "utility": audience.utility(time=time)[people, items].mean(),
        "gini": ranking.gini_index(shown),
        "coverage": (shown > 0).mean(),
        # the places that two lists share, summed over all pairs of people: an item in c lists is shared by c (c - 1)
        "overlap": (shown * (shown - 1.0)).sum() / (k * max(n * (n - 1), 1)),
        "explored": reply["explored"].mean(),
        "gini_clicks": ranking.gini_index(np.bincount(clicks.to_csr().indices, minlength=audience.n_items)),
    }
    if labels is not None:
        of_group = np.bincount(labels.codes[labels.codes >= 0], shown[labels.codes >= 0], len(labels.categories))
        row |= {f"share of {name}": s for name, s in zip(labels.categories, of_group / shown.sum(), strict=True)}
    return row
