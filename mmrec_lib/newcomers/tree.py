"""A decision tree of questions: what is asked next depends on what was answered."""

from __future__ import annotations

import numpy as np

from ..checks import above, whole
from ..data import Interactions
from ..errors import NotFittedError, ParameterError
from .onboarding import check_pool

YES, NO, REST = 0, 1, 2


class QuestionTree:
    """A tree over the training people, split by what they chose (Golbandi, Koren and Lempel, WSDM 2011).

    A node holds people who gave the same answers so far. Its question is the thing that divides them into groups
    within which choices are most alike: the squared error of the groups' mean choices, summed over all things, is
    smallest. With ratings there are three branches, yes, no and unknown; with clicks two, for nobody says no: who did
    not choose a thing takes the branch "rest", and so do a newcomer's "no" and "do not know". The forecast of a node is
    the mean of its people's choices, drawn towards that of the node above.

    Parameters
    ----------
    depth : int, default 5
        Most questions on a path.
    min_people : int, default 20
        A branch with fewer people ends there, and a question must leave so many in the branch "yes".
    smoothing : float, default 20
        How many people the node above counts for in a node's forecast. Above 0.
    like : float, optional
        For ratings: yes from this value on, no below. Default: clicks, every interaction is a yes.

    Attributes
    ----------
    question_ : int array (n_nodes,)
        Item code, -1 at a leaf.
    children_ : int array (n_nodes, 3)
        Nodes for yes, no, rest; -1 where there is none.
    people_ : int array (n_nodes,)
        Training people in the node.
    forecast_ : float32 (n_nodes, n_items)
        Smoothed share of these people who chose each thing.
    """

    name = "tree"

    def __init__(
        self, depth: int = 5, min_people: int = 20, smoothing: float = 20.0, like: float | None = None
    ) -> None:
        self.depth = whole("depth", depth)
        self.min_people = whole("min_people", min_people)
        self.smoothing = above("smoothing", smoothing, 0)
        self.like = like

    def fit(self, train: Interactions, pool=None) -> QuestionTree:
        """Grow the tree; ``pool`` limits what may be asked about (default: what somebody met)."""
        self.pool_ = check_pool(pool, train)
        table = train.to_csr(values=True)
        table = table[np.diff(table.indptr) > 0]
        yes, no = table.copy(), table.copy()
        yes.data = np.float32(1) * (table.data >= self.like if self.like is not None else np.ones_like(table.data))
        no.data = 1 - yes.data
        for answers in (yes, no):
            answers.eliminate_zeros()
        self._nodes: list[tuple] = []
        overall = np.asarray(yes.mean(axis=0), np.float32).ravel()
        self._grow(yes, no, np.arange(yes.shape[0]), overall, np.zeros(0, np.int64))
        question, children, people, forecast = zip(*self._nodes, strict=True)
        self.question_, self.children_, self.people_ = (np.array(x) for x in (question, children, people))
        self.forecast_ = np.stack(forecast)
        del self._nodes
        return self

    def _grow(self, yes, no, people, above_, path) -> int:
        """Add the node of these people and all below it; its number."""
        mine = yes[people]
        total = np.asarray(mine.sum(axis=0)).ravel()
        forecast = ((total + self.smoothing * above_) / (len(people) + self.smoothing)).astype(np.float32)
        node = len(self._nodes)
        self._nodes.append((-1, [-1, -1, -1], len(people), forecast))
        if len(path) == self.depth:
            return node
        question = self._best_question(mine, no[people], total, path)
        if question < 0:
            return node
        chose, refused = (np.asarray(x[people][:, [question]].todense()).ravel() > 0 for x in (yes, no))
        branches = {YES: chose, NO: refused, REST: ~chose & ~refused}
        children = [-1, -1, -1]
        for branch, members in branches.items():
            if members.sum() >= self.min_people:
                children[branch] = self._grow(yes, no, people[members], forecast, np.append(path, question))
        self._nodes[node] = (question, children, len(people), forecast)
        return node

    def _best_question(self, yes, no, total, path) -> int:
        """The item whose branches have the smallest squared error, or -1 when none divides the people.

        Of a group of m people with s choices of an item the error is ``s - s^2 / m``; the sum of s over the branches
        is the same whatever the question, so the largest sum of ``s^2 / m`` wins.
        """
        asked = np.setdiff1d(self.pool_, path)
        n_people = yes.shape[0]
        parts, sizes = [], []
        for answers in (yes, no):
            columns = answers[:, asked]
            parts.append(np.asarray((columns.T @ yes).todense()))  # (questions, items): choices of those who said so
            sizes.append(np.asarray(columns.sum(axis=0)).ravel())
        parts.append(total - parts[0] - parts[1])
        sizes.append(n_people - sizes[0] - sizes[1])
        gain = sum(np.square(s).sum(axis=1) / np.maximum(m, 1) for s, m in zip(parts, sizes, strict=True))
        usable = (sizes[0] >= self.min_people) & (sizes[0] < n_people)
        if not usable.any():
            return -1
        return int(asked[np.where(usable, gain, -1.0).argmax()])

    # -- asking ----------------------------------------------------------------------------------------------------

    def choose(self, asked: np.ndarray, answers: np.ndarray, n: int) -> np.ndarray:
        """The question of each person's node ``(people, 1)``; at a leaf the most popular thing not asked about yet.

        Raises :class:`ParameterError` for ``n`` above 1: a tree shows one thing at a time.
        """
        if n != 1:
            raise ParameterError(f"screen={n}: a tree asks about one thing at a time")
        question = self.question_[self.nodes(asked, answers)]
        # a leaf, or a branch that too few people took
        leaf = np.flatnonzero((question < 0) | (asked == question[:, None]).any(axis=1))
        if len(leaf):
            left = np.full((len(leaf), self.forecast_.shape[1]), -np.inf)
            left[:, self.pool_] = self.forecast_[0, self.pool_]
            np.put_along_axis(left, asked[leaf], -np.inf, axis=1)
            question[leaf] = left.argmax(axis=1)
        return question[:, None]

    def score(self, asked: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The forecast of the node that the answers lead to, float32 ``(people, n_items)``."""
        nodes = self.nodes(asked, answers)
        return self.forecast_[nodes]

    def nodes(self, asked: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The node that each person has come to, int array ``(people,)``."""
        if not hasattr(self, "forecast_"):
            raise NotFittedError("QuestionTree has not learned yet: call fit(train) first")
        node = np.zeros(len(asked), np.int64)
        for question, answer in zip(asked.T, np.asarray(answers).T, strict=True):
            branch = np.where(answer == 1, YES, np.where(answer == 0, NO, REST))
            children = self.children_[node]
            there = children[np.arange(len(node)), branch]
            there = np.where((there < 0) & (branch == NO), children[:, REST], there)
            node = np.where((self.question_[node] == question) & (there >= 0), there, node)
        return node


def path_to(tree: QuestionTree, node: int) -> list[tuple[int, int]]:
    """Questions and branches from the root to a node: ``[(item, branch), ...]``."""
    parents = {int(c): (p, b) for p, row in enumerate(tree.children_) for b, c in enumerate(row) if c >= 0}
    path = []
    while node:
        node, branch = parents[node]
        path.append((int(tree.question_[node]), branch))
    return path[::-1]
