"""What to ask somebody who has just come: lists of questions, interviews, and answers of held-out people.

A question is a thing that is shown: "would you choose this?" The answer is 1 (yes), 0 (no) or NaN (do not know). A
screen shows one thing or several at once, and the person answers for each of them.

An interviewer is any object with two methods, over arrays ``(people, things asked so far)``:

``choose(asked, answers, n)``
    Item codes ``(people, n)``: the next screen for each person.
``score(asked, answers)``
    Float array ``(people, n_items)``: what the answers say about every thing; higher is better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..checks import at_least, one_of, whole
from ..data import Interactions
from ..errors import DataError, ParameterError, UnknownItemError, UnknownUserError
from ..simulation.audience import Audience

#: Ways to order questions that are the same for everybody, for :func:`choose_questions`.
QUESTION_LISTS = ("popularity", "entropy", "entropy0", "variance", "coverage", "greedy")

#: ``ask(people (n,), items (n, k)) -> answers (n, k)``
Ask = Callable[[np.ndarray, np.ndarray], np.ndarray]


# -- lists that are the same for everybody -------------------------------------------------------------------------


def choose_questions(train: Interactions, n: int, how: str = "greedy", pool=None, noise: float = 0.02) -> np.ndarray:
    """The ``n`` things to ask everybody about, in this order.

    ==============  ==================================================================================================
    ``popularity``  the things that most people met: they can answer
    ``entropy``     the things whose ratings differ most, as the entropy of their values among those who met them
                    (Rashid et al., IUI 2002): few can answer. Clicks without values have no entropy
    ``entropy0``    the same, with "not met" as one more answer of half the weight (Rashid, Karypis and Riedl, SIGKDD
                    Explorations 2008). With clicks alone, and nothing met by more than every other person, this is
                    the order of popularity
    ``variance``    variance of the values times the root of their number (Golbandi, Koren and Lempel, CIKM 2010)
    ``coverage``    the sum over all other things of the squared number of people who met both (same source)
    ``greedy``      one after the other the thing whose answer, together with those before, lowers the squared error
                    of a linear prediction of all things most: GreedyExtend of the same source with a linear
                    predictor, for which it has a closed form. This is also the order in which a Gaussian model loses
                    most of its uncertainty
    ==============  ==================================================================================================

    Parameters
    ----------
    train : Interactions
    n : int
    how : str, default "greedy"
    pool : array of item codes, optional
        What may be asked about. Default: everything that somebody met.
    noise : float, default 0.02
        Of ``greedy``: variance of an answer beyond what the model explains; 0 or more.

    Returns
    -------
    int array ``(n,)``
        Item codes; equal values in the order of the codes.

    Raises
    ------
    ParameterError, UnknownItemError
        An unknown ``how``, fewer than ``n`` things to ask about, codes that do not exist.

    Examples
    --------
    >>> events = Interactions([0, 0, 0, 1, 1, 2, 2, 3], [0, 1, 2, 0, 1, 2, 3, 3])
    >>> choose_questions(events, 2, "popularity").tolist()  # each was met by two people
    [0, 1]
    >>> choose_questions(events, 2, "greedy").tolist()  # who knows 0 knows 1, and never 3; only 2 is news
    [0, 2]
    """
    n = whole("n", n)
    one_of("how", how, QUESTION_LISTS)
    at_least("noise", noise, 0)
    pool = check_pool(pool, train)
    if n > len(pool):
        raise ParameterError(f"n={n}: there are only {len(pool)} things to ask about")
    if how == "greedy":
        _, covariance = moments(train)
        return greedy_order(covariance, noise, n, pool)
    worth = _WORTH[how](train)[pool]
    return pool[np.argsort(-worth, kind="stable")[:n]]


def check_pool(pool, train: Interactions) -> np.ndarray:
    """Sorted codes of what may be asked about; by default what somebody met."""
    if pool is None:
        return np.flatnonzero(train.item_counts())
    pool = np.unique(np.asarray(pool))
    bad = pool[(pool < 0) | (pool >= train.n_items)]
    if len(bad):
        raise UnknownItemError(f"pool: item {bad[0]} is unknown; codes run from 0 to {train.n_items - 1}")
    return pool.astype(np.int64)


def _popularity(train: Interactions) -> np.ndarray:
    return train.to_csr().getnnz(axis=0).astype(float)


def _entropy(train: Interactions) -> np.ndarray:
    shares = _value_counts(train) / np.maximum(_popularity(train), 1)
    return _surprise(shares).sum(axis=0)


def _entropy0(train: Interactions) -> np.ndarray:
    people = max((train.user_counts() > 0).sum(), 1)
    shares = _value_counts(train) / people
    nothing = 1 - shares.sum(axis=0)
    return (_surprise(shares).sum(axis=0) + 0.5 * _surprise(nothing)) / (len(shares) + 0.5)


def _surprise(shares: np.ndarray) -> np.ndarray:
    """``-p log p``, and 0 where p is 0."""
    return -shares * np.log(np.where(shares > 0, shares, 1))


def _value_counts(train: Interactions) -> np.ndarray:
    """How many people gave each of the values that occur, ``(n_values, n_items)``."""
    table = train.to_csr(values=True)
    values, code = np.unique(table.data, return_inverse=True)
    counts = np.zeros((len(values), train.n_items))
    np.add.at(counts, (code, table.indices), 1)
    return counts


def _variance(train: Interactions) -> np.ndarray:
    table, count = train.to_csr(values=True), np.maximum(_popularity(train), 1)
    mean = np.asarray(table.sum(axis=0)).ravel() / count
    square = np.asarray(table.multiply(table).sum(axis=0)).ravel() / count
    return np.sqrt(count) * (square - mean**2).round(9)  # rounded, so that equal values have variance zero


def _coverage(train: Interactions) -> np.ndarray:
    table = train.to_csr()
    together = (table.T @ table).tocsr()
    together.setdiag(0)
    return np.asarray(together.multiply(together).sum(axis=0)).ravel()


_WORTH = {
    "popularity": _popularity,
    "entropy": _entropy,
    "entropy0": _entropy0,
    "variance": _variance,
    "coverage": _coverage,
}


def moments(train: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """Share of people who met each thing, float32 ``(n_items,)``, and the covariance ``(n_items, n_items)``.

    People without an interaction do not count.
    """
    table = train.to_csr()
    people = max(int((np.diff(table.indptr) > 0).sum()), 1)
    mean = np.asarray(table.sum(axis=0), np.float32).ravel() / people
    covariance = (table.T @ table).toarray() / np.float32(people) - np.outer(mean, mean)
    return mean.astype(np.float32), covariance.astype(np.float32)


def greedy_order(covariance: np.ndarray, noise: float, n: int, pool: np.ndarray) -> np.ndarray:
    """The order in which answers about the items of ``pool`` lower the trace of the covariance most.

    An answer ``a = f_q + error`` takes ``c_q c_q^T / (c_qq + noise)`` off the covariance of all ``f``, whatever it is.
    """
    left, order = covariance.astype(np.float64), np.zeros(n, np.int64)
    open_ = np.zeros(len(left), bool)
    open_[pool] = True
    for place in range(n):
        diagonal = left.diagonal() + noise
        gain = np.square(left).sum(axis=0) / np.maximum(diagonal, 1e-12)
        order[place] = q = int(np.where(open_, gain, -1.0).argmax())
        left -= np.outer(left[:, q], left[q] / max(diagonal[q], 1e-12))
        open_[q] = False
    return order


# -- interviews ----------------------------------------------------------------------------------------------------


class FixedQuestions:
    """Asks everybody the same list, and lets a model read the answers.

    Parameters
    ----------
    items : array of item codes
        In the order of asking, as from :func:`choose_questions`.
    reader
        A fitted recommender with ``score_histories``, which is given the things that were answered with yes; or an
        interviewer, whose ``score`` reads yes and no.

    Raises
    ------
    ParameterError
        No question, one that occurs twice, or a reader that can read neither; in ``choose``, no question left.
    """

    def __init__(self, items, reader) -> None:
        self.items = np.asarray(items, np.int64)
        if self.items.ndim != 1 or not len(self.items) or len(np.unique(self.items)) < len(self.items):
            raise ParameterError("items: give a list of item codes, at least one, each of them once")
        if not hasattr(reader, "score_histories") and not hasattr(reader, "choose"):
            raise ParameterError(
                f"reader={type(reader).__name__}: give a recommender with score_histories, or an interviewer"
            )
        self.reader = reader

    def choose(self, asked: np.ndarray, answers: np.ndarray, n: int) -> np.ndarray:
        """The next ``n`` things of the list, the same for each person."""
        begin = asked.shape[1]
        if begin + n > len(self.items):
            raise ParameterError(f"the list holds {len(self.items)} questions; {begin} were asked, {n} more are wanted")
        return np.tile(self.items[begin : begin + n], (len(asked), 1))

    def score(self, asked: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What the reader makes of the answers."""
        if hasattr(self.reader, "choose"):
            return self.reader.score(asked, answers)
        return self.reader.score_histories(liked(asked, answers, self.reader.n_items_))


def liked(asked: np.ndarray, answers: np.ndarray, n_items: int) -> sparse.csr_matrix:
    """The things that were answered with yes, as histories: CSR of ones ``(people, n_items)``."""
    row, place = np.nonzero(answers == 1)
    ones = np.ones(len(row), np.float32)
    table = sparse.csr_matrix((ones, (row, asked[row, place])), shape=(len(asked), n_items))
    table.sort_indices()
    return table


@dataclass(frozen=True, eq=False)
class Interview:
    """What was asked and answered; a recommender for these people, with ``score(users)``.

    Attributes
    ----------
    people : int array (n,)
        Codes of the people, rising.
    asked : int array (n, questions)
        Item codes, in the order of asking.
    answers : float array (n, questions)
        1, 0 or NaN.
    screen : int
        Things on a screen.
    interviewer
        Who asked, and now reads the answers.
    """

    people: np.ndarray
    asked: np.ndarray
    answers: np.ndarray
    screen: int
    interviewer: object
    name: str = "interview"

    def after(self, screens: int) -> Interview:
        """The same interview, ended after so many screens; 0: before the first one."""
        last = whole("screens", screens, least=0) * self.screen
        if last > self.asked.shape[1]:
            raise ParameterError(f"screens={screens}: there were only {self.asked.shape[1] // self.screen}")
        parts = self.asked[:, :last], self.answers[:, :last]
        return Interview(self.people, *parts, self.screen, self.interviewer, self.name)

    def score(self, users) -> np.ndarray:
        """Scores of all items, float32 ``(len(users), n_items)``; :class:`UnknownUserError` for who was not asked."""
        users = np.atleast_1d(np.asarray(users))
        row = np.minimum(np.searchsorted(self.people, users), len(self.people) - 1)
        strange = users[self.people[row] != users]
        if len(strange):
            raise UnknownUserError(f"user {strange[0]} was not interviewed")
        return np.asarray(self.interviewer.score(self.asked[row], self.answers[row]), np.float32)

    def yes_rate(self) -> np.ndarray:
        """Share of yes among all answers, by screen: float array ``(screens,)``."""
        return (self.answers == 1).mean(axis=0).reshape(-1, self.screen).mean(axis=1)

    def pairs(self, n_users: int, n_items: int) -> Interactions:
        """Whom we asked about what, to leave it out of an evaluation (``exclude=``)."""
        people = np.repeat(self.people, self.asked.shape[1])
        return Interactions(people, self.asked.ravel(), n_users=n_users, n_items=n_items)


def interview(interviewer, ask: Ask, people, screens: int = 5, screen: int = 1) -> Interview:
    """Ask many people at once: a loop over screens, none over people.

    Parameters
    ----------
    interviewer
        See the head of this module.
    ask : function
        ``ask(people, items (n, k)) -> answers (n, k)``: :func:`ask_audience`, :func:`ask_log`, or a real person.
    people : array of user codes
    screens : int, default 5
    screen : int, default 1
        Things on a screen. The next screen knows the answers to all before it.

    Raises
    ------
    DataError
        Answers of another shape than the questions, other values than 0, 1 and NaN; no people, or one of them twice.
    """
    people = np.sort(np.asarray(people, np.int64))
    if people.ndim != 1 or not len(people) or (np.diff(people) == 0).any():
        raise DataError("people: give user codes, at least one, each of them once")
    screen = whole("screen", screen)
    asked, answers = np.zeros((len(people), 0), np.int64), np.zeros((len(people), 0))
    for _ in range(whole("screens", screens)):
        items = interviewer.choose(asked, answers, screen)
        said = np.asarray(ask(people, items), float)
        if said.shape != items.shape or not (np.isnan(said) | (said == 0) | (said == 1)).all():
            raise DataError(f"ask must return {items.shape} answers that are 1, 0 or NaN; got {said.shape}")
        asked, answers = np.hstack([asked, items]), np.hstack([answers, said])
    return Interview(people, asked, answers, screen, interviewer)


# -- who answers ---------------------------------------------------------------------------------------------------


def ask_audience(audience: Audience, seed: int = 0, time: float = 0.5) -> Ask:
    """Answers of simulated people: yes with the probability with which they would click on what they look at.

    Asked twice, a person says the same. Nobody says "I do not know".
    """
    luck = np.random.default_rng(seed).random((audience.n_users, audience.n_items), dtype=np.float32)

    def ask(people: np.ndarray, items: np.ndarray) -> np.ndarray:
        likely = audience.click_probability(people[:, None], items, time=time)
        return (luck[people[:, None], items] < likely).astype(float)

    return ask


def ask_log(events: Interactions, like: float | None = None) -> Ask:
    """Answers read from what people did.

    Parameters
    ----------
    events : Interactions
        Keep what is used for the test out of it.
    like : float, optional
        For ratings: yes from this value on, no below it, NaN where there is no rating. Default: yes where there is an
        event, no where there is none.
    """
    table = events.to_csr(values=True)

    def ask(people: np.ndarray, items: np.ndarray) -> np.ndarray:
        rows, columns = np.broadcast_arrays(people[:, None], items)
        met = np.asarray(events_at(table, rows.ravel(), columns.ravel())).reshape(items.shape)
        if like is None:
            return (~np.isnan(met)).astype(float)
        return np.where(np.isnan(met), np.nan, met >= like)

    return ask


def events_at(table: sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Entries of a sparse matrix at single places, NaN where nothing is stored."""
    keys = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr)) * table.shape[1] + table.indices
    wanted = rows.astype(np.int64) * table.shape[1] + columns
    if not len(keys):
        return np.full(len(wanted), np.nan)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, table.data[place], np.nan)
