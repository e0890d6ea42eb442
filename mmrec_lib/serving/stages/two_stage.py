"""Retrieval, ranking and rules in one object."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ... import __version__, ranking
from ...checks import above, at_least, between, one_of, whole
from ...data import Interactions, split
from ...errors import DataError, ModelFileError, NotFittedError, ParameterError
from ...evaluation import rerank
from ...models import Recommender
from .pairs import PairTable
from .rankers import Ranker, create_ranker
from .retrieval import Candidates, Retriever
from .rules import Rules

_FORMAT = 1
_BLOCK_ROWS = 100_000  # candidates whose columns are in memory at once


class TwoStage(Recommender):
    """A few hundred candidates a user, from cheap sources; a careful score for these; rules for the list.

    The cascade of Covington et al. (2016). :meth:`fit` sets a share of each user's training clicks aside, fits the
    sources on the rest, asks them for candidates and teaches the ranker which of these were clicked later. Then the
    sources are fitted again on everything. So the ranker never learns from the score of a click that a source had
    learned by heart.

    Parameters
    ----------
    sources : dict, optional
        See :class:`Retriever`.
    ranker : {"trees", "network"}, default "trees"
        :class:`TreeRanker` or :class:`NetworkRanker`.
    ranker_params : dict, optional
        Of the ranker.
    groups : optional
        Of the items, as in :func:`~mmrec_lib.evaluation.evaluate`: the ranker is told the share of an item's groups in
        the history.
    content : bool, default True
        Tell the ranker about item vectors, where ``fit`` is given some: likeness to the history by modality, and what
        is missing.
    inner_fraction : float, default 0.2
        Share of the training clicks that the ranker learns from.
    inner_how : {"random", "temporal", "leave-last-out"}, default "random"
        How they are set aside; take that of the test.
    max_users : int, default 20000
        Whose candidates the ranker learns from, at most.
    seed : int, default 0

    Attributes
    ----------
    retriever_ : Retriever
    pairs_ : PairTable
    ranker_ : Ranker
    columns_ : list of str
        What the ranker is told, in order: see :class:`PairTable`.
    training_ : dict
        Of the ranker: users, candidates, clicks among these, clicks set aside.

    Raises
    ------
    ParameterError, UnknownNameError
        Unknown sources, rankers and settings, before anything is fitted.
    """

    name = "two-stage"
    scores_new_users = True  # by what is popular and new; those without history get these candidates

    def __init__(
        self, sources: Mapping[str, Mapping] | None = None, ranker: str = "trees", ranker_params: Mapping | None = None,
        groups=None, content: bool = True, inner_fraction: float = 0.2, inner_how: str = "random",
        max_users: int = 20_000, seed: int = 0,
    ) -> None:  # fmt: skip
        self.sources, self.ranker, self.ranker_params = sources, ranker, ranker_params
        self.groups, self.content = groups, bool(content)
        self.inner_fraction = at_least("inner_fraction", above("inner_fraction", inner_fraction, 0), 0, below=1)
        self.inner_how = one_of("inner_how", inner_how, ("random", "temporal", "leave-last-out"))
        self.max_users, self.seed = whole("max_users", max_users), whole("seed", seed, least=0)
        self.needs_features = Retriever(sources, self.seed).needs_features
        self._make_ranker()

    @property
    def scores_new_items(self) -> bool:
        """Yes, if a source proposes what nobody met."""
        sources = self.retriever_.sources if hasattr(self, "retriever_") else Retriever(self.sources).sources
        models = [getattr(source, "model", None) for source in sources.values()]
        kinds = {type(source).__name__ for source in sources.values()}
        return bool(kinds & {"NewSource", "ContentSource"}) or any(m is not None and m.scores_new_items for m in models)

    def _make_ranker(self) -> Ranker:
        return create_ranker(self.ranker, **({"seed": self.seed} | dict(self.ranker_params or {})))

    # -- learning ------------------------------------------------------------------------------------------------
    def _fit(self, train, features, valid) -> None:
        inner = self.inner_split(train)
        self.fit_retrieval(inner.train, features)
        self.fit_ranking(inner.train, inner.valid)
        self.fit_retrieval(train, features, valid)

    def inner_split(self, train: Interactions):
        """A split whose ``train`` the sources see first, and whose ``valid`` the ranker learns from."""
        fractions = (1 - self.inner_fraction, self.inner_fraction, 0)
        if self.inner_how != "leave-last-out":
            return split(train, how=self.inner_how, fractions=fractions, seed=self.seed)
        parts = split(train, how="leave-last-out", seed=self.seed)
        return type(parts)(Interactions.concat([parts.train, parts.valid]), parts.test, parts.test.select([]))

    def fit_retrieval(self, train: Interactions, features=None, valid: Interactions | None = None) -> TwoStage:
        """Fit the sources, and what the ranker is told about users and items, on ``train``; return self."""
        self.retriever_ = Retriever(self.sources, self.seed).fit(train, features, valid)
        self.pairs_ = PairTable().fit(train, features if self.content else None, self.groups)
        self.n_users_, self.n_items_ = train.shape
        self.seen_ = self.retriever_.seen
        self.popularity_ = np.bincount(self.seen_.indices, minlength=train.n_items).astype(np.float32)
        return self

    def fit_ranking(self, history: Interactions, clicks: Interactions, leak: str = "raise") -> TwoStage:
        """Teach the ranker which candidates of people with ``history`` are among their later ``clicks``; return self.

        Raises :class:`DataError` where the sources learned from some of these clicks: their scores then say what was
        clicked, and the ranker learns to believe them as nobody should believe them later. ``leak="allow"`` does it
        all the same, to show what happens.
        """
        one_of("leak", leak, ("raise", "allow"))
        if not hasattr(self, "retriever_"):
            raise NotFittedError("TwoStage has no sources yet: call fit_retrieval(train) before fit_ranking")
        known = ranking.hits(clicks.item[:, None], clicks.user, self.seen_).sum()
        if known and leak == "raise":
            raise DataError(
                f"{known} of {len(clicks)} clicks that the ranker would learn from are in what the sources learned: "
                "fit these on earlier clicks alone (fit_retrieval(inner.train)), and again on all when it has learned"
            )
        users = np.flatnonzero(clicks.user_counts())
        if len(users) > self.max_users:
            users = np.sort(np.random.default_rng(self.seed).choice(users, self.max_users, replace=False))
        target = clicks.to_csr(values=True)
        tables, labels, values, sizes = [], [], [], []
        for block in self._blocks(users):
            pool = self.retriever_.candidates(block, seen=history)
            there = pool.items >= 0
            tables.append(self.pairs_.make(pool, self.retriever_))
            labels.append(ranking.hits(pool.items, pool.users, target)[there])
            rows = np.broadcast_to(pool.users[:, None], pool.items.shape)[there]
            values.append(np.asarray(target[rows, pool.items[there]], dtype=np.float32).ravel())
            sizes.append(there.sum(axis=1))
        if not tables:
            raise DataError("no clicks were set aside for the ranker: people need at least three, or a larger share")
        self.columns_, clicked = self.pairs_.names, np.concatenate(labels)
        ratings = np.where(clicked, np.concatenate(values), np.nan)
        self.ranker_ = self._make_ranker().fit(np.concatenate(tables), clicked, ratings, np.concatenate(sizes))
        self.training_ = {"users": len(users), "candidates": len(clicked), "clicks": int(clicked.sum()),
                          "set_aside": len(clicks)}  # fmt: skip
        return self

    def _blocks(self, users):
        quotas = sum(source.quota for source in self.retriever_.sources.values())
        size = max(1, _BLOCK_ROWS // max(min(quotas, self.n_items_), 1))
        return (users[start : start + size] for start in range(0, len(users), size))

    def with_quotas(self, quotas: Mapping[str, int]) -> TwoStage:
        """The same fitted model with other quotas for some of its sources; nothing is learned again."""
        other = copy.copy(self)
        other.retriever_ = self.retriever_.with_quotas(quotas)
        other.sources = other.retriever_.settings
        return other

    # -- using ---------------------------------------------------------------------------------------------------
    def candidates(self, users, allowed=None, exclude_seen: bool = True) -> Candidates:
        """The first stage alone: see :meth:`Retriever.candidates`."""
        users = self._check_users(users)
        return self.retriever_.candidates(users, allowed, seen="train" if exclude_seen else None)

    def rank(self, users, allowed=None, exclude_seen: bool = True) -> pd.DataFrame:
        """The first two stages: user, item, score, what is predicted (``click``, ``rating``), and who proposed it.

        Best first for each user; ``click`` of trees is a score without a unit.
        """
        pool = self.candidates(users, allowed, exclude_seen)
        table = pool.to_frame()
        columns = self._columns(pool)
        table.insert(2, "score", self.ranker_.score(columns))
        for task, values in self.ranker_.predict(columns).items():
            table.insert(len(table.columns) - len(pool.proposed), task, values)
        place = np.argsort(np.argsort(pool.users, kind="stable"), kind="stable")
        place = np.repeat(place, (pool.items >= 0).sum(axis=1))
        return table.iloc[np.lexsort((table["item"], -table["score"], place))].reset_index(drop=True)

    def _columns(self, pool: Candidates) -> np.ndarray:
        return self.pairs_.make(pool, self.retriever_)

    def _pool_scores(self, pool: Candidates) -> np.ndarray:
        """Float32 ``(n, n_items)``; minus infinity for what is no candidate."""
        scores = np.full((len(pool.users), self.n_items_), -np.inf, np.float32)
        rows, places = np.nonzero(pool.items >= 0)
        if len(rows):
            scores[rows, pool.items[rows, places]] = self.ranker_.score(self._columns(pool))
        return scores

    def _score(self, users) -> np.ndarray:
        return self._masked_scores(users)

    def score_among(self, users, allowed, exclude_seen: bool = False) -> np.ndarray:
        """As ``score``, with candidates sought among the ``allowed`` items, bool ``(n_items,)``, alone."""
        return self._masked_scores(self._check_users(users), allowed, exclude_seen)

    def _masked_scores(self, users, allowed=None, exclude_seen: bool = True) -> np.ndarray:
        if not hasattr(self, "ranker_"):
            raise NotFittedError("TwoStage has no ranker yet: call fit(train), or fit_ranking after fit_retrieval")
        parts = [self._pool_scores(self.candidates(b, allowed, exclude_seen)) for b in self._blocks(users)]
        return np.concatenate([np.zeros((0, self.n_items_), np.float32), *parts])

    def recommend(
        self, users, k: int = 10, exclude_seen: bool = True, allowed=None, rules: Rules | None = None,
        diversity: float = 0.0, features=None,
    ) -> pd.DataFrame:  # fmt: skip
        """Lists through all stages: DataFrame with columns user, item, rank (from 1), score.

        Parameters
        ----------
        users, k, exclude_seen
            As in every recommender.
        allowed : bool (n_items,), optional
            Only these; asked before candidates are sought, and so are blocked and not available items of ``rules``.
        rules : Rules, optional
            Caps and pinned items, kept at the very end.
        diversity : float, default 0
            Trade-off of MMR (:func:`~mmrec_lib.evaluation.rerank`) over the candidates, before the rules; needs
            ``features``.
        features : Features, optional
        """
        users, k = self._check_users(users), ranking.check_k(k)
        between("diversity", diversity, 0, 1)
        if diversity and features is None:
            raise ParameterError("diversity needs item vectors: pass features=...")
        if rules is not None:
            may = rules.allowed(self.n_items_)
            allowed = may if allowed is None else may & self.retriever_._allowed(allowed)
        scores = self._masked_scores(users, allowed, exclude_seen)
        lists = ranking.top_k(scores, k)[0]
        if diversity:
            n = min(max(200, k), self.n_items_)
            longer = min(k if rules is None else 3 * k, n)
            lists = rerank(scores, np.arange(len(users)), "mmr", longer, n, diversity, features)
        if rules is not None:
            seen = self.seen_[users] if exclude_seen else None
            lists = rules.lists(_diverse_first(scores, lists) if diversity else scores, k, seen)
        rows, where = np.nonzero(lists >= 0)
        items = lists[rows, where]
        return pd.DataFrame({"user": users[rows], "item": items, "rank": where + 1, "score": scores[rows, items]})

    # -- keeping -------------------------------------------------------------------------------------------------
    def save(self, path) -> Path:
        """Write the folder ``path``: models, indices, arrays (safetensors) and settings (JSON); no pickle.

        A two-stage model that is there already is replaced in one step. :func:`TwoStage.load` reads it.
        """
        self._check_users([])
        if not hasattr(self, "ranker_"):
            raise NotFittedError("TwoStage has no ranker yet: there is nothing to save")
        return super().save(path)

    def _write(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        arrays = {f"ranker/{name}": value for name, value in self.ranker_.state().items()}
        arrays |= {f"pairs/{name}": value for name, value in self.pairs_.state().items()}
        arrays |= {f"seen/{name}": getattr(self.seen_, name) for name in ("data", "indices", "indptr")}
        for number, source in enumerate(self.retriever_.sources.values()):
            arrays |= {f"source{number}/{name}": value for name, value in source.arrays().items()}
            source.write(folder / f"source{number}")
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "model.safetensors")
        header = {
            "format": _FORMAT,
            "library": __version__,
            "model": self.name,
            "params": self.get_params() | {"groups": None},  # what was learned from them is among the arrays
            "shape": self.seen_.shape,
            "modalities": self.pairs_.modalities,
            "columns": self.columns_,
            "training": self.training_,
        }
        (folder / "model.json").write_text(
            json.dumps(header, indent=1, default=lambda value: value.item()), encoding="utf-8"
        )

    @classmethod
    def load(cls, path) -> TwoStage:
        """Read what :meth:`save` wrote; its scores are the same as before.

        Raises :class:`ModelFileError` when files are missing, damaged, or of a newer format.
        """
        path = Path(path)
        try:
            header = json.loads((path / "model.json").read_text(encoding="utf-8"))
            from safetensors.numpy import load_file

            arrays = load_file(path / "model.safetensors")
            if (header["model"], header["format"]) != (cls.name, _FORMAT):
                raise ValueError(f"it holds {header['model']} of format {header['format']}")
            return cls(**header["params"])._take(path, header, arrays)
        except ModelFileError:
            raise
        except Exception as error:  # json, safetensors, LightGBM have an error type each
            raise ModelFileError(f"{path} holds no two-stage model that can be read ({error})") from None

    def _take(self, path: Path, header: dict, arrays: dict[str, np.ndarray]) -> TwoStage:
        def under(prefix):
            return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}

        seen = under("seen/")
        seen = sparse.csr_matrix((seen["data"], seen["indices"], seen["indptr"]), tuple(header["shape"]))
        self.seen_, (self.n_users_, self.n_items_) = seen, seen.shape
        self.popularity_ = np.bincount(seen.indices, minlength=self.n_items_).astype(np.float32)
        self.retriever_ = Retriever(self.sources, self.seed)
        self.retriever_.seen = seen
        for number, source in enumerate(self.retriever_.sources.values()):
            source.seen, source.popularity = seen, self.popularity_
            source.take(under(f"source{number}/"))
            source.read(path / f"source{number}")
        self.pairs_ = PairTable().restore(under("pairs/"), seen, header["modalities"])
        self.ranker_ = self._make_ranker().restore(under("ranker/"))
        self.columns_, self.training_ = header["columns"], header["training"]
        return self


def _diverse_first(scores: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """Scores by which the items of the lists come first, in their order, and then all other candidates in theirs."""
    order = scores.astype(np.float64) - scores.max(axis=1, keepdims=True, initial=0) - lists.shape[1]
    rows, places = np.nonzero(lists >= 0)
    order[rows, lists[rows, places]] = -places
    return order
