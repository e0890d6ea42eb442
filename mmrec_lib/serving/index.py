"""Indices of vectors: the items with the largest products, exactly or nearly, and with filters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .. import ranking
from ..checks import between, one_of, whole
from ..errors import BundleError, DataError, MissingPackageError, NotFittedError

KINDS = ("exact", "flat", "ivf", "hnsw", "qdrant")


class Index:
    """Base class: vectors of items, searched by scalar product.

    A subclass writes ``_build()`` (from ``self.vectors_``), ``_search(queries, k, allowed)``, and ``_write(folder)``
    and ``_read(folder)`` where it keeps more than the vectors.

    Attributes
    ----------
    vectors_ : float32 (n_items, dim)
    """

    kind = ""

    def build(self, vectors: np.ndarray) -> Index:
        """Take in the vectors, float ``(n_items, dim)``, and return self; row number is the item's code."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
            raise DataError(f"vectors have shape {vectors.shape}: give finite numbers (n_items, dim)")
        self.vectors_ = vectors
        self._build()
        return self

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` best items of each query: codes and scores ``(n, k)``, best first.

        Parameters
        ----------
        queries : float (n, dim)
        k : int
        allowed : bool (n_items,), optional
            Only these compete. A place for which no item is found has code -1 and score minus infinity.
        """
        if not hasattr(self, "vectors_"):
            raise NotFittedError(f"{type(self).__name__} holds no vectors yet: call build(vectors) first")
        queries = np.ascontiguousarray(np.atleast_2d(queries), dtype=np.float32)
        if queries.shape[1] != self.vectors_.shape[1]:
            raise DataError(f"queries have {queries.shape[1]} dimensions, the index has {self.vectors_.shape[1]}")
        if allowed is not None:
            allowed = np.asarray(allowed, dtype=bool)
            if allowed.shape != (len(self.vectors_),):
                raise DataError(f"allowed has shape {allowed.shape}; the index holds {len(self.vectors_)} items")
        return self._search(queries, min(ranking.check_k(k), len(self.vectors_)), allowed)

    def _build(self) -> None:
        pass

    def _search(self, queries, k: int, allowed) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def get_params(self) -> dict:
        """Settings by name."""
        return {}

    def __repr__(self) -> str:
        n = f"{len(self.vectors_):,} items" if hasattr(self, "vectors_") else "empty"
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())}; {n})"

    # -- keeping -------------------------------------------------------------------------------------------------
    def save(self, folder) -> Path:
        """Write vectors and structure to a new folder; settings as JSON."""
        folder = Path(folder)
        folder.mkdir(parents=True)
        np.save(folder / "vectors.npy", self.vectors_, allow_pickle=False)
        (folder / "index.json").write_text(json.dumps({"kind": self.kind, "params": self.get_params()}))
        self._write(folder)
        return folder

    def _write(self, folder: Path) -> None:
        pass

    def _read(self, folder: Path) -> None:
        self._build()


class ExactIndex(Index):
    """All products, in NumPy; no further package."""

    kind = "exact"

    def _search(self, queries, k, allowed):
        items, scores = [], []
        for block in ranking.blocks(np.arange(len(queries)), len(self.vectors_)):
            products = queries[block] @ self.vectors_.T
            if allowed is not None:
                products[:, ~allowed] = -np.inf
            found, values = ranking.top_k(products, k)
            items.append(found)
            scores.append(values)
        if not items:
            return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
        return np.concatenate(items), np.concatenate(scores)


class FaissIndex(Index):
    """An index of FAISS (Johnson, Douze and Jegou, 2021).

    Parameters
    ----------
    kind : {"flat", "ivf", "hnsw"}, default "hnsw"
        ``"flat"`` computes all products. ``"ivf"`` divides the items into cells and looks into some of them. ``"hnsw"``
        walks a graph of near neighbours (Malkov and Yashunin, 2020).
    breadth : int, default 128
        How far to look: candidates on the walk (``hnsw``, at least ``k``) or percent of the cells, at most 100
        (``ivf``). More is slower and finds more.
    neighbours : int, default 32
        Of each item in the graph of ``hnsw``.
    build_breadth : int, default 200
        Candidates while the graph is built.
    scan_below : float, default 0.1
        Where a smaller share of the items is allowed, exactly these are compared: a walk through a graph in which most
        items may not be shown finds few of those that may.
    """

    def __init__(self, kind: str = "hnsw", breadth: int = 128, neighbours: int = 32, build_breadth: int = 200,
                 scan_below: float = 0.1) -> None:  # fmt: skip
        self.kind = one_of("kind", kind, ("flat", "ivf", "hnsw"))
        self.breadth, self.neighbours = whole("breadth", breadth), whole("neighbours", neighbours)
        self.build_breadth = whole("build_breadth", build_breadth)
        self.scan_below = between("scan_below", scan_below, 0, 1)
        _faiss()

    def get_params(self) -> dict:
        return {
            "kind": self.kind, "breadth": self.breadth, "neighbours": self.neighbours,
            "build_breadth": self.build_breadth, "scan_below": self.scan_below,
        }  # fmt: skip

    def _build(self) -> None:
        faiss, (n, dim) = _faiss(), self.vectors_.shape
        if self.kind == "hnsw":
            self._index = faiss.IndexHNSWFlat(dim, self.neighbours, faiss.METRIC_INNER_PRODUCT)
            self._index.hnsw.efConstruction = self.build_breadth
        elif self.kind == "ivf":
            self._cells = max(1, int(np.sqrt(n)))
            self._index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, self._cells, faiss.METRIC_INNER_PRODUCT)
            self._index.train(self.vectors_[np.random.default_rng(0).permutation(n)[: 64 * self._cells]])
        else:
            self._index = faiss.IndexFlatIP(dim)
        self._index.add(self.vectors_)

    def _search(self, queries, k, allowed):
        if allowed is not None and allowed.mean() < self.scan_below:
            return self._scan(queries, k, np.flatnonzero(allowed))
        scores, items = self._index.search(queries, k, params=self._parameters(k, allowed))
        items = items.astype(np.int64)
        scores[items < 0] = -np.inf
        return items, scores

    def _scan(self, queries, k: int, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        items, scores = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
        if len(codes):
            n = min(k, len(codes))
            found, scores[:, :n] = ranking.top_k(queries @ self.vectors_[codes].T, n)
            items[:, :n] = codes[found]
        return items, scores

    def _parameters(self, k: int, allowed):
        faiss = _faiss()
        given = {}
        if allowed is not None:
            given["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(self.breadth, k), **given)
        if self.kind == "ivf":
            cells = max(1, self._index.nlist * min(self.breadth, 100) // 100)
            return faiss.SearchParametersIVF(nprobe=cells, **given)
        return faiss.SearchParameters(**given)

    def _write(self, folder: Path) -> None:
        _faiss().write_index(self._index, str(folder / "faiss.index"))

    def _read(self, folder: Path) -> None:
        self._index = _faiss().read_index(str(folder / "faiss.index"))


class QdrantIndex(Index):
    """A collection of the vector database Qdrant: inside this process, or on a server by the same code.

    Parameters
    ----------
    url : str, optional
        Of a server. Default: the client's embedded mode, in memory, which computes all products.
    collection : str, default "items"
        Replaced by :meth:`build`.
    """

    kind = "qdrant"

    def __init__(self, url: str | None = None, collection: str = "items") -> None:
        self.url, self.collection = url, collection
        self._client = self._connect()

    def _connect(self):
        try:
            from qdrant_client import QdrantClient
        except ImportError:
            raise MissingPackageError("qdrant-client", "an index in a vector database", "serve") from None
        return QdrantClient(url=self.url) if self.url else QdrantClient(":memory:")

    def get_params(self) -> dict:
        return {"url": self.url, "collection": self.collection}

    def _build(self) -> None:
        from qdrant_client import models as q

        if self._client.collection_exists(self.collection):
            self._client.delete_collection(self.collection)
        size = self.vectors_.shape[1]
        self._client.create_collection(self.collection, q.VectorParams(size=size, distance=q.Distance.DOT))
        self._client.upload_collection(self.collection, vectors=self.vectors_, ids=range(len(self.vectors_)))

    def _search(self, queries, k, allowed):
        from qdrant_client import models as q

        chosen = None if allowed is None else q.Filter(must=[q.HasIdCondition(has_id=np.flatnonzero(allowed).tolist())])
        requests = [q.QueryRequest(query=query.tolist(), filter=chosen, limit=k) for query in queries]
        items = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for row, answer in enumerate(self._client.query_batch_points(self.collection, requests)):
            items[row, : len(answer.points)] = [point.id for point in answer.points]
            scores[row, : len(answer.points)] = [point.score for point in answer.points]
        return items, scores


def create_index(kind: str = "exact", **params) -> Index:
    """An index by its kind: ``"exact"``, ``"flat"``, ``"ivf"``, ``"hnsw"`` (FAISS) or ``"qdrant"``.

    Raises :class:`MissingPackageError` where a kind needs a package that is not there.
    """
    one_of("kind", kind, KINDS)
    if kind == "exact":
        return ExactIndex()
    return QdrantIndex(**params) if kind == "qdrant" else FaissIndex(kind, **params)


def load_index(folder) -> Index:
    """Read what :meth:`Index.save` wrote."""
    folder = Path(folder)
    try:
        header = json.loads((folder / "index.json").read_text())
        index = create_index(**({"kind": header["kind"]} | header["params"]))
        index.vectors_ = np.load(folder / "vectors.npy", allow_pickle=False)
        index._read(folder)
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{folder} holds no index that can be read ({error})") from None
    return index


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Mean share of the exact lists ``(n, k)`` that the lists found hold, whatever the order."""
    held = [np.isin(truth[truth >= 0], mine).mean() for mine, truth in zip(found, exact, strict=True)]
    return float(np.mean(held))


def _faiss():
    try:
        import faiss
    except ImportError:
        raise MissingPackageError("faiss-cpu", "an approximate index", "serve") from None
    return faiss
