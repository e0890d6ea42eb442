"""From a bundle and what has happened since to recommendations: the part of a service that knows nothing of HTTP."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from .. import explain, ranking
from ..checks import between
from ..errors import DataError, FeatureError, MMRecError, ParameterError, UnknownItemError
from ..evaluation import diversify
from .bundle import Bundle
from .events import LIKING, Added, Event, EventStore, SQLiteStore
from .lookup import Lookup
from .newitems import NewItems

log = logging.getLogger("mmrec.serving")


@dataclass(frozen=True)
class Hit:
    """One recommended thing."""

    item: str
    rank: int
    score: float
    title: str
    new: bool = False
    media: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A list, with how it came about: ``how`` is "model", "history", "popularity" or "content"."""

    items: list[Hit]
    how: str
    fallback: bool = False
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        """Plain values."""
        return asdict(self)


class Engine:
    """Recommends, searches, learns of new events and things; safe to be used by several threads.

    Parameters
    ----------
    bundle : Bundle
    store : EventStore, optional
        Default: one in memory, which forgets.
    candidates : int, default 200
        How many of the best by score compete for a list with ``diversity``, and at least so many an index looks up.

    Attributes
    ----------
    lookup : Lookup or None
        Where the bundle's index holds the vectors of the model's items, and the model's scores are products of
        vectors, only what the index finds is scored; else all items are.
    """

    def __init__(self, bundle: Bundle, store: EventStore | None = None, candidates: int = 200) -> None:
        self.bundle, self.store = bundle, SQLiteStore(":memory:") if store is None else store
        self.candidates = ranking.check_k(candidates, "candidates")
        self._lock = threading.RLock()
        self.user_codes = {str(raw): code for code, raw in enumerate(bundle.users.index)}
        self.item_ids = [str(raw) for raw in bundle.items.index]
        self.item_codes = {raw: code for code, raw in enumerate(self.item_ids)}
        self.n_known = len(self.item_ids)
        self.titles = [str(t) for t in bundle.items["title"]] if "title" in bundle.items else list(self.item_ids)
        self.columns: list[dict] = []  # of new items
        self.media: list[dict[str, str]] = []
        self.new = NewItems(bundle.features) if bundle.features is not None and len(bundle.features) else None
        self._popularity = np.asarray(bundle.model.popularity_, np.float32)
        self._fingerprints = {name: encoder.fingerprint for name, encoder in bundle.encoders.items()}
        self._values: dict[str, np.ndarray] = {}  # columns of the known items as text, for filters
        self.lookup = Lookup(bundle.model, bundle.index) if Lookup.fits(bundle.model, bundle.index) else None
        self.catch_up()

    def catch_up(self) -> None:
        """Take in the things of the store that are not here yet: those of earlier runs, and of another engine."""
        if self.new is None:
            return
        for added in self.store.items():
            with self._lock:
                if added.item in self.item_codes:
                    continue
                try:
                    self._remember(added.item, added.columns, self._own_vectors(added), added.media)
                except FeatureError as error:
                    log.warning("the added thing %r is left out: %s", added.item, error)

    def _own_vectors(self, added: Added) -> dict[str, np.ndarray]:
        """Its vectors as this bundle's encoders make them: what others have made is made anew where its media are."""
        vectors = {}
        for name in self.bundle.features:
            own, made_by = self._fingerprints.get(name), added.encoders.get(name)
            if name in added.vectors and (own is None or made_by in (None, own)):
                vectors[name] = added.vectors[name]
            elif own is not None and name in added.media:
                try:
                    vectors |= self.encode({name: entry_of(name, added.media[name])})
                except (DataError, OSError) as error:
                    log.warning("the %s of the added thing %r is left out: %s", name, added.item, error)
        return vectors

    def warm_up(self) -> None:
        """Do once what is slow the first time: a list for a user and for a guest, and each encoder's loading."""
        for user in (next(iter(self.user_codes), None), None):
            self.recommend(user, 1)
        for name in set(self.bundle.encoders) & set(self.bundle.media):
            entry = next(filter(None, self.bundle.media[name]), None)
            if entry is not None:
                self.bundle.encoders[name].run([entry])

    # -- recommending --------------------------------------------------------------------------------------------
    def recommend(
        self, user: str | None = None, k: int = 20, *, history: Sequence[str] = (), where: Mapping | None = None,
        exclude: Sequence[str] = (), exclude_seen: bool = True, diversity: float = 0.0,
    ) -> Answer:  # fmt: skip
        """The best things for a user of the model, for somebody new, or for a history alone.

        Parameters
        ----------
        user : str, optional
            Raw id. Somebody whom the model does not know is known by the events of the store, and by ``history``.
        k : int
        history : sequence of str
            Ids of things that the person likes, besides what is in the store.
        where : dict, optional
            Column of the items to the value, or list of values, that it must have.
        exclude : sequence of str
            Ids that must not be shown.
        exclude_seen : bool, default True
            Leave out what the person has met, in training or since.
        diversity : float, default 0
            From 0 (the best by score) to 1: maximal marginal relevance by content (Carbonell and Goldstein, 1998).

        When the model fails, the answer is the most popular things, and says so (``fallback``).

        Raises
        ------
        ParameterError, UnknownItemError, DataError
            Bad arguments: these are the caller's to mend, and no reason to fall back.
        """
        begin = time.perf_counter()
        ranking.check_k(k)
        between("diversity", diversity, 0, 1)
        allowed = self._allowed(where, exclude)
        code = self.user_codes.get(str(user)) if user is not None else None
        liked, met, notes = self._since(user, history)
        row, codes_met = self._history(code, liked, met)
        try:
            fit = allowed.copy()
            if exclude_seen:
                fit[codes_met[codes_met < len(fit)]] = False
            scores, how = self._scores(code, row, bool(liked), max(k, self.candidates), fit)
            fallback = False
        except Exception as error:  # whatever a model may do, people get a list
            scores, how, fallback = self._by_popularity(), "popularity", True
            notes.append(f"the model failed ({type(error).__name__}), so that the most popular things are shown")
        n = min(len(scores), len(allowed))  # a thing may have come in between
        scores, allowed = scores[:n].copy(), allowed[:n]
        scores[~allowed] = -np.inf
        if exclude_seen:
            scores[codes_met[codes_met < n]] = -np.inf
        items = self._diverse(scores, k, diversity) if diversity else ranking.top_k(scores[None], k)[0][0]
        hits = self._hits(items[items >= 0], scores)
        return Answer(hits, how, fallback, time.perf_counter() - begin, notes)

    def _since(self, user, history) -> tuple[list[int], list[int], list[str]]:
        """Codes liked and met since training, and remarks."""
        liked, notes = [self.code(item) for item in history], []
        met = list(liked)
        if user is not None:
            try:
                events = self.store.of_user(str(user))
            except MMRecError:
                return liked, met, ["what has happened since training could not be read"]
            there = [(self.item_codes[i], kind) for i, kind in zip(events["item"], events["kind"], strict=True)
                     if i in self.item_codes]  # fmt: skip
            liked += [item for item, kind in there if kind in LIKING]
            met += [item for item, kind in there if kind != "impression"]
        return liked, met, notes

    def _history(self, code: int | None, liked: list[int], met: list[int]) -> tuple[sparse.csr_matrix, np.ndarray]:
        """The person's row of known items, and codes of all that was met."""
        seen = self.bundle.model.seen_[[code]].indices if code is not None else np.zeros(0, np.int64)
        new_likes = [item for item in liked if item >= self.n_known]
        stand_ins = [self.new.neighbours(item - self.n_known)[0] for item in new_likes]  # the nearest known thing
        items = np.unique([*seen, *(i for i in liked if i < self.n_known), *stand_ins]).astype(np.int64)
        row = sparse.csr_matrix((np.ones(len(items), np.float32), items, [0, len(items)]), (1, self.n_known))
        return row, np.unique([*seen, *met]).astype(np.int64)

    def _scores(self, code, row, changed: bool, n: int, allowed: np.ndarray) -> tuple[np.ndarray, str]:
        model = self.bundle.model
        folds = model.histories and not model.reads_values
        if code is not None and not (changed and folds):
            how = "model"
        elif folds and row.nnz:
            how = "history"
        else:
            return self._by_popularity(), "popularity"
        if self.lookup is not None:
            vector = self.lookup.of_user(code) if how == "model" else self.lookup.of_history(row)
            if not np.isfinite(vector).all():
                raise DataError("the model gave a vector that is no numbers")
            with self._lock:
                return self.lookup.scores(vector, n, allowed, self.new), how
        users = None if code is None else [code]
        if how == "history":
            scores = model.score_histories(row, users)[0]
        elif hasattr(model, "score_among"):  # in stages: what may not be shown takes no candidate's place
            scores = model.score_among(users, allowed[: self.n_known])[0]
        else:
            scores = model.score(users)[0]
        if np.isnan(scores).any() or np.isposinf(scores).any():
            raise DataError("the model gave scores that are no numbers")
        return self._with_new(scores), how

    def _with_new(self, scores: np.ndarray) -> np.ndarray:
        if not self.new or not len(self.new):
            return np.asarray(scores, np.float32)
        with self._lock:
            return np.concatenate([scores, self.new.score(scores[None])[0]]).astype(np.float32)

    def _by_popularity(self) -> np.ndarray:
        return self._with_new(self._popularity)

    def _diverse(self, scores: np.ndarray, k: int, diversity: float) -> np.ndarray:
        items = ranking.top_k(scores[None], max(k, self.candidates))[0][0]
        items = items[items >= 0]
        vectors = self._content(items)
        return items[diversify(scores[items], vectors, k, "mmr", diversity)] if len(items) else items

    def _content(self, items: np.ndarray) -> np.ndarray:
        if self.new is None:
            raise ParameterError("diversity needs vectors of the items: the bundle has no features")
        with self._lock:
            parts = [
                np.concatenate([vectors, np.reshape(self.new.vectors[name], (-1, vectors.shape[1]))])[items]
                for name, vectors in self.bundle.features.items()
            ]
        lengths = [np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts]
        return np.concatenate([p / n for p, n in zip(parts, lengths, strict=True)], axis=1) / np.sqrt(len(parts))

    def _allowed(self, where: Mapping | None, exclude: Sequence[str]) -> np.ndarray:
        with self._lock:
            columns, allowed = list(self.columns), np.ones(len(self.item_ids), bool)
        for column, values in (where or {}).items():
            if column not in self.bundle.items:
                known = ", ".join(map(str, self.bundle.items.columns))
                raise ParameterError(f"where names the column {column!r}; items have {known}")
            values = {str(v) for v in (values if isinstance(values, (list, tuple, set)) else [values])}
            if column not in self._values:
                self._values[column] = self.bundle.items[column].astype(str).to_numpy()
            own = np.isin(self._values[column], list(values))
            allowed &= np.concatenate([own, np.array([str(c.get(column)) in values for c in columns], dtype=bool)])
        for item in exclude:
            if self.item_codes.get(str(item), len(allowed)) < len(allowed):
                allowed[self.item_codes[str(item)]] = False
        return allowed

    def _hits(self, items: np.ndarray, scores: np.ndarray) -> list[Hit]:
        return [
            Hit(self.item_ids[i], rank, float(scores[i]), self.titles[i], i >= self.n_known, self.media_of(i))
            for rank, i in enumerate(items.tolist(), 1)
        ]

    def media_of(self, code: int) -> tuple[str, ...]:
        """Names of the media that an item has."""
        if code >= self.n_known:
            return tuple(self.media[code - self.n_known])
        return tuple(name for name in self.bundle.media if self.bundle.media[name][code] is not None)

    # -- finding -------------------------------------------------------------------------------------------------
    def similar(self, item: str, k: int = 20) -> Answer:
        """Things whose content is nearest to this one's; without features, what the model thinks near."""
        begin, code = time.perf_counter(), self.code(item)
        ranking.check_k(k)
        if self.new is not None:
            everything = np.arange(len(self.item_ids))
            vectors = self._content(everything)
            scores, how = vectors @ vectors[code], "content"
        elif code < self.n_known and hasattr(self.bundle.model, "neighbours"):
            table = self.bundle.model.neighbours(code, self.n_known)
            scores, how = np.full(self.n_known, -np.inf, np.float32), "model"
            scores[table["item"].to_numpy()] = table["similarity"].to_numpy()
        else:
            raise ParameterError("the bundle has neither features nor a model with neighbours of items")
        scores[code] = -np.inf
        items = ranking.top_k(np.asarray(scores, np.float32)[None], k)[0][0]
        return Answer(self._hits(items[items >= 0], scores), how, False, time.perf_counter() - begin)

    def search(self, query: str | Path, modality: str = "text", k: int = 20) -> Answer:
        """Things whose vectors of one modality are nearest to those of a text or a file.

        Raises :class:`ParameterError` where the bundle has no encoder of that modality.
        """
        begin = time.perf_counter()
        ranking.check_k(k)
        (vector,) = self.encode({modality: query}).values()
        features, mask = self.bundle.features[modality], self.bundle.features.mask[modality]
        with self._lock:
            features = np.concatenate([features, np.reshape(self.new.vectors[modality], (-1, features.shape[1]))])
            mask = np.concatenate([mask, np.array(self.new.masks[modality], bool)])
        lengths = np.linalg.norm(features, axis=1) * max(np.linalg.norm(vector), 1e-9)
        scores = np.where(mask & (lengths > 0), features @ vector / np.maximum(lengths, 1e-9), -np.inf)
        items = ranking.top_k(scores.astype(np.float32)[None], k)[0][0]
        return Answer(self._hits(items[items >= 0], scores), "content", False, time.perf_counter() - begin)

    def encode(self, media: Mapping[str, str | Path]) -> dict[str, np.ndarray]:
        """Vectors of one item, by modality. Raises :class:`DataError` for a file that cannot be read."""
        vectors = {}
        for name, entry in media.items():
            if name not in self.bundle.encoders:
                known = ", ".join(self.bundle.encoders) or "none at all"
                raise ParameterError(f"no encoder of {name!r}: the bundle has {known}")
            encoded = self.bundle.encoders[name].run([entry])
            if not encoded.mask[0]:
                reason = encoded.damaged[0].reason if encoded.damaged else "nothing is left of it"
                raise DataError(f"the {name} cannot be read: {reason}")
            vectors[name] = encoded.vectors[0]
        return vectors

    def code(self, item: str) -> int:
        """Code of an item by its id. Raises :class:`UnknownItemError`."""
        try:
            return self.item_codes[str(item)]
        except KeyError:
            raise UnknownItemError(f"item {item!r} is unknown") from None

    # -- what happens --------------------------------------------------------------------------------------------
    def feedback(self, events: Sequence[Event]) -> int:
        """Keep what people did; the next recommendation counts it. Returns how many events were new."""
        for event in events:
            self.code(event.item)
        return self.store.add(events)

    def add_item(
        self, item: str, columns: Mapping | None = None, media: Mapping[str, str | Path] | None = None,
        vectors: Mapping[str, np.ndarray] | None = None,
    ) -> list[str]:  # fmt: skip
        """Add a thing, by its media or by vectors that were made elsewhere; it is recommended at once.

        Returns the ids of the known things that it is placed by. Raises :class:`DataError` where the id is taken,
        :class:`FeatureError` where nothing of it can be encoded.
        """
        if self.new is None:
            raise ParameterError("the bundle has no features: nothing says what a new thing is like")
        item = str(item)
        if item in self.item_codes:
            raise DataError(f"item {item!r} is there already: choose another id")
        made = dict(vectors or {}) | self.encode(media or {})
        files = {name: str(entry) for name, entry in (media or {}).items()}
        with self._lock:
            self._remember(item, dict(columns or {}), made, files)
            try:
                made_by = {name: self._fingerprints[name] for name in made if name in self._fingerprints}
                self.store.add_item(Added(item, dict(columns or {}), made, files, made_by))
            except BaseException:
                self._forget_last()
                raise
        nearest = self.new.neighbours(len(self.new) - 1)
        return [self.item_ids[code] for code in nearest]

    def _remember(self, item: str, columns: dict, vectors: dict, media: dict) -> None:
        self.new.add(vectors)
        self.item_ids.append(item)
        self.titles.append(str(columns.get("title", item)))
        self.columns.append(columns)
        self.media.append(media)
        self.item_codes[item] = len(self.item_ids) - 1

    def _forget_last(self) -> None:
        self.new.remove_last()
        self.item_codes.pop(self.item_ids.pop())
        for column in (self.titles, self.columns, self.media):
            column.pop()

    def medium(self, item: str, modality: str) -> str | Path | None:
        """Text or file of an item, where there is one."""
        code = self.code(item)
        if code >= self.n_known:
            entry = self.media[code - self.n_known].get(modality)
            return None if entry is None else entry_of(modality, entry)
        return self.bundle.media[modality][code] if modality in self.bundle.media else None

    # -- why -----------------------------------------------------------------------------------------------------
    def explain(self, user: str, item: str, language: str = "en", history: Sequence[str] = ()) -> dict:
        """Sentence and contributions; for a new thing or a new person, by the nearest thing that was liked."""
        code, user_code = self.code(item), self.user_codes.get(str(user))
        model = self.bundle.model
        if code < self.n_known and user_code is not None and explain.kinds(model, self.bundle.features):
            told = explain.explain(self.bundle.model, user_code, code, features=self.bundle.features)
            told.titles.update(enumerate(self.titles))
            rows = told.contributions.head(5)
            reasons = [
                {
                    "item": None if pd.isna(i) else self.item_ids[i],
                    "name": str(name) if pd.isna(i) else self.titles[i],
                    "value": float(value),
                }
                for i, name, value in zip(rows["item"], rows["name"], rows["value"], strict=True)
            ]
            return {"sentence": told.sentence(language), "how": told.how, "method": told.method, "reasons": reasons}
        return self._nearest_liked(user, code, history)

    def _nearest_liked(self, user: str, code: int, history: Sequence[str]) -> dict:
        liked, _, _ = self._since(user, history)
        user_code = self.user_codes.get(str(user))
        if user_code is not None:
            liked += self.bundle.model.seen_[[user_code]].indices.tolist()
        liked = [i for i in dict.fromkeys(liked) if i != code]
        if not liked or self.new is None:
            sentence = f"{self.titles[code]} is among what most people choose."
            return {"sentence": sentence, "how": "popularity", "method": "", "reasons": []}
        vectors = self._content(np.array([code, *liked]))
        closeness = vectors[1:] @ vectors[0]
        order = np.argsort(-closeness, kind="stable")[:5]
        reasons = [
            {"item": self.item_ids[liked[i]], "name": self.titles[liked[i]], "value": float(closeness[i])}
            for i in order
        ]
        sentence = f"{self.titles[code]} resembles {reasons[0]['name']}, which you liked."
        return {"sentence": sentence, "how": "content", "method": "similarity", "reasons": reasons}


def entry_of(modality: str, kept: str) -> str | Path:
    """What the store keeps of a medium, as encoders take it: a text, or the path of a file."""
    return kept if modality.startswith("text") else Path(kept)
