"""Assignment 6, a service: its personal data and the public checks."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import BundleError
from .checking import Assignment, Failed, call, close

assignment = Assignment("a6", "A service", hours=(5, 8))

SECRET = "postgres://shop:hunter2@10.0.0.7/events"


# -- the student's own data ------------------------------------------------------------------------------------------
@assignment.personal
def personal(seed: int) -> dict:
    """A small shop with an audience, vectors to be searched, and three months of scores; all from the seed."""
    from ..datasets import load

    rng = np.random.default_rng(seed)
    crowd = load("stamps", n_users=200, seed=seed % 2**31)
    codes = np.sort(rng.choice(crowd.n_items, 300, replace=False))
    clicks = crowd.interactions.to_csr()[:, codes]
    items = crowd.items.iloc[codes][["title", "top_category"]].rename(columns={"top_category": "category"})
    items["available"] = rng.random(len(items)) < 0.85
    u, s, vt = np.linalg.svd((clicks > 0).toarray().astype(float), full_matrices=False)
    seen = [row.indices.astype(np.int64) for row in clicks]
    return {
        "items": items,
        "users": [str(name) for name in crowd.users.index],
        "user_vectors": (u[:, :16] * s[:16]).astype(np.float32),
        "item_vectors": vt[:16].T.astype(np.float32),
        "seen": seen,
        "popularity": np.bincount(np.concatenate(seen), minlength=len(items)),
        **_vectors(rng),
        **_months(rng),
    }


def _vectors(rng: np.random.Generator, n: int = 5000, dim: int = 24, cells: int = 64) -> dict:
    """Vectors of length one around many centres, queries, and the centres of a few rounds of k-means.

    With 101 queries no mean recall of lists of twenty is exactly 0.96, where rounding would decide.
    """
    middle = rng.normal(size=(300, dim))
    drawn = middle[rng.integers(300, size=n + 101)] + 0.6 * rng.normal(size=(n + 101, dim))
    drawn = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    vectors, queries = drawn[:n], drawn[n:]
    centres = vectors[rng.choice(n, cells, replace=False)]
    for _ in range(6):
        nearest = (vectors @ centres.T).argmax(axis=1)
        sums = np.stack([vectors[nearest == cell].sum(axis=0) for cell in range(cells)])
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    exact = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :20]
    return {"vectors": vectors, "queries": queries, "centres": centres.astype(np.float32), "exact": exact}


def _months(rng: np.random.Generator, n: int = 3000) -> dict:
    """Scores of the month in which the model was judged, and of three later ones: calm, moved a little, moved far."""
    reference = rng.normal(0.5, 0.1, n)
    shifts = {0.0: "ok", 0.04: "watch", 0.08: "alarm"}
    order = rng.permutation(list(shifts))
    months = {m: rng.normal(0.5 + shift, 0.1, n) for m, shift in zip(("April", "May", "June"), order, strict=True)}
    return {"reference": reference, "months": months}


# -- what the checks need --------------------------------------------------------------------------------------------
def _raises(expected, function, *args):
    """The error of the expected kind that the call raises, or None; another error becomes a sentence."""
    try:
        function(*args)
    except expected as error:
        return error
    except NotImplementedError:
        call(function, *args)  # says "not done yet"
    except Exception as error:
        wanted = expected.__name__ if isinstance(expected, type) else "an error"
        raise Failed(f"raised {type(error).__name__} ({error}) where {wanted} was asked for") from None
    return None


def _same(got: dict, expected: dict, what: str) -> None:
    if not isinstance(got, dict) or set(got) != set(expected):
        raise Failed(f"{what} should give a dictionary with {sorted(expected)}")
    for name, array in expected.items():
        found = np.asarray(got[name])
        if found.dtype != array.dtype or found.shape != array.shape or not np.array_equal(found, array):
            raise Failed(f"{what}: the array {name!r} came back changed; dtype, shape and values must be the same")


def _parts(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file())


# -- 1 -----------------------------------------------------------------------------------------------------------------
@assignment.task(1, "A bundle that is checked", points=10, needs=["save_bundle", "load_bundle"])
def bundle(space) -> None:
    save, load = space["save_bundle"], space["load_bundle"]
    arrays = {"users": np.arange(6, dtype=np.float32).reshape(2, 3), "codes": np.array([4, 1], np.int64)}
    with tempfile.TemporaryDirectory(prefix="mmrec-a6-") as parent:
        path = Path(parent) / "shop"
        call(save, path, arrays, {"name": "robin", "k": 3})
        if not path.is_dir():
            raise Failed("save_bundle(path, ...) should leave a folder at path")
        told = call(load, path)
        if not isinstance(told, tuple) or len(told) != 2:
            raise Failed("load_bundle should return two things: the dictionary of arrays, and info")
        _same(told[0], arrays, "load_bundle")
        if told[1] != {"name": "robin", "k": 3}:
            raise Failed(f"load_bundle gave info {told[1]!r}; it should be what save_bundle got")
        if any(f.suffix in (".pkl", ".pickle", ".joblib", ".pt") for f in _parts(path)):
            raise Failed("there is a pickle in the bundle: loading it would run whatever somebody put into it")
        objects = {"users": np.array([{"a": 1}, None], dtype=object)}
        _refuses_to_save(save, path, objects, "an array of Python objects (they need a pickle: allow_pickle=False)")
        _refuses_to_save(save, path, {"users": np.zeros(2)}, "info that JSON cannot hold", {"when": object()})
        try:
            again = load(path)
        except Exception as error:
            raise Failed(
                f"after a save that failed, the bundle of before cannot be read any more ({type(error).__name__}): "
                "write into a folder beside it, and rename that one as the last step"
            ) from None
        _same(again[0], arrays, "load_bundle, after a save that failed,")
        left = [f.name for f in Path(parent).iterdir() if f.name != "shop"]
        if left:
            raise Failed(f"a save that failed left {left[0]!r} beside the bundle: remove the half-written folder")
        call(save, path, {"users": np.ones(3)}, {})
        _same(call(load, path)[0], {"users": np.ones(3)}, "load_bundle, after a second save,")
        _refuses_damage(load, path)


def _refuses_to_save(save, path: Path, arrays: dict, what: str, info: dict | None = None) -> None:
    try:
        save(path, arrays, info or {})
    except Exception:
        return
    raise Failed(f"save_bundle took {what}; it should raise")


def _refuses_damage(load, path: Path) -> None:
    largest = max((f for f in _parts(path) if f.name != "bundle.json"), key=lambda f: f.stat().st_size, default=None)
    if largest is None:
        raise Failed("the bundle holds no file but bundle.json: one file for each array, and bundle.json")
    good = largest.read_bytes()
    largest.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    if _raises(BundleError, load, path) is None:
        raise Failed(
            f"we changed one bit of {largest.name}, and load_bundle believed it: compute the checksum of the file that "
            "is there and compare it with the one in bundle.json"
        )
    largest.unlink()
    if _raises(BundleError, load, path) is None:
        raise Failed(f"we removed {largest.name}, and load_bundle did not raise BundleError")
    largest.write_bytes(good)
    (path / "more.npy").write_bytes(b"?")
    if _raises(BundleError, load, path) is None:
        raise Failed("we put a file more.npy into the bundle that bundle.json does not name: raise BundleError")
    (path / "more.npy").unlink()
    (path / "bundle.json").write_text('{"files": ')
    if _raises(BundleError, load, path) is None:
        raise Failed("we cut bundle.json in half, and load_bundle did not raise BundleError")


# -- 2 -----------------------------------------------------------------------------------------------------------------
@assignment.task(2, "Exact search and recall", points=6, needs=["exact_search", "recall"])
def search(space) -> None:
    things = np.array([[1, 0], [0, 1], [0.8, 0.6], [-1, 0]], np.float32)
    got = call(space["exact_search"], things, np.array([[1, 0], [0, 1]], np.float32), 3)
    close(got, np.array([[0, 2, 1], [1, 2, 0]]), "exact_search of the four vectors of the example")
    rng = np.random.default_rng(3)
    vectors, queries = rng.normal(size=(200, 5)), rng.normal(size=(7, 5))
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    close(call(space["exact_search"], vectors, queries, 10), expected, "exact_search of 200 random vectors")
    found, exact = np.array([[2, 0, 9], [5, 6, 7]]), np.array([[0, 1, 2], [5, 6, 7]])
    hints = {
        0.5: "you compared place by place: an item that is found counts wherever it stands",
        5.0: "you counted the items; divide by the length of the exact list and by the number of lists",
    }
    close(call(space["recall"], found, exact), 5 / 6, "recall of the example", wrong=hints)
    close(
        call(space["recall"], np.array([[0, -1, -1]]), np.array([[0, 1, 2]])), 1 / 3,
        "recall of a list that found one of three (-1 stands for nothing found)",
        wrong={1.0: "divide by the length of the exact list, not by the number of items found"},
    )  # fmt: skip


# -- 3 -----------------------------------------------------------------------------------------------------------------
@assignment.task(3, "Cells: nearly as good, much less work", points=10, needs=["cell_search", "fewest_probes"])
def cells(space) -> None:
    function = space["cell_search"]
    things = np.array([[1, 0], [0, 1], [0.8, 0.6], [-1, 0]], np.float32)
    centres = np.array([[1, 0.3], [-0.5, 1]], np.float32)
    query = np.array([[0.6, 0.8]], np.float32)
    items, compared = _pair(call(function, things, centres, query, 2, 1))
    hints = [
        (np.array([[1, 0]]), "these are places within the cell; give codes, the rows of vectors"),
        (np.array([[0, 2]]), "the best one comes first"),
        (np.array([[2, 1]]), "that is the exact list; look into the nearest cell only"),
    ]
    close(items, np.array([[2, 0]]), "items of cell_search, example of the text", wrong=hints)
    close(compared, 2.0, "vectors compared in the example, one cell", wrong={4.0: "you compared all of them"})
    items, compared = _pair(call(function, things, centres, np.array([[0, 1], [-1, 0]], np.float32), 2, 1))
    close(items, np.array([[1, 3], [3, 1]]), "items of cell_search for the queries (0, 1) and (-1, 0)")
    items, _ = _pair(call(function, things, centres, query, 3, 1))
    if np.asarray(items).shape != (1, 3) or np.asarray(items)[0, 2] != -1:
        raise Failed(f"a cell with two things was asked for three, and gave {np.asarray(items).tolist()}: "
                     "fill the places for which nothing is found with -1")  # fmt: skip
    rng = np.random.default_rng(8)
    vectors, queries, middle = rng.normal(size=(400, 6)), rng.normal(size=(9, 6)), rng.normal(size=(10, 6))
    expected, share = _cell_search(vectors, middle, queries, 5, 3)
    items, compared = _pair(call(function, vectors, middle, queries, 5, 3))
    close(items, expected, "items of cell_search, 400 random vectors in 10 cells, 3 probes")
    close(compared, share, "mean number of vectors compared, 400 random vectors in 10 cells, 3 probes")
    items, compared = _pair(call(function, vectors, middle, queries, 5, 10))
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
    close(items, exact, "cell_search with all cells (it is exact search then)")
    work = space.work
    got = call(space["fewest_probes"], work.vectors, work.centres, work.queries, work.exact, 0.96)
    right = probes_needed(work.vectors, work.centres, work.queries, work.exact, 0.96)
    hints = {right - 1: "with that many the recall is still below the goal", right + 1: "fewer are enough"}
    close(got, right, "fewest_probes, on your own vectors", wrong=hints)


def _pair(told):
    if not isinstance(told, tuple) or len(told) != 2:
        raise Failed("cell_search should return two things: the items found, and the mean number of vectors compared")
    return told


def _cell_search(vectors, centres, queries, k: int, n_probes: int) -> tuple[np.ndarray, float]:
    """The answer, by masks over all things: slow, short, and written otherwise than the solution."""
    cell = (vectors @ centres.T).argmax(axis=1)
    best = np.argsort(-(queries @ centres.T), axis=1)[:, :n_probes]
    looked = (cell[None, :, None] == best[:, None, :]).any(axis=2)
    scores = np.where(looked, queries @ vectors.T, -np.inf)
    items = np.argsort(-scores, axis=1)[:, :k]
    found = np.take_along_axis(scores, items, axis=1)
    return np.where(np.isfinite(found), items, -1), float(looked.sum(axis=1).mean())


def probes_needed(vectors, centres, queries, exact, goal: float) -> int:
    """The smallest number of cells to look into whose mean recall reaches the goal.

    A true item is found as soon as its own cell is looked into: nothing that is found beside it is better.
    """
    cell = (vectors @ centres.T).argmax(axis=1)
    place = np.argsort(np.argsort(-(queries @ centres.T), axis=1), axis=1)  # of each cell, for each query
    needed = np.take_along_axis(place, cell[exact], axis=1)
    shares = [(needed < n).mean() for n in range(1, len(centres) + 1)]
    return 1 + int(np.flatnonzero(np.array(shares) >= goal)[0])


# -- 4 -----------------------------------------------------------------------------------------------------------------
@assignment.task(4, "Filters that leave k things", points=8, needs=["top_k"])
def filters(space) -> None:
    function = space["top_k"]
    items = pd.DataFrame(
        {"category": ["bird", "bird", "car", "bird", "car", "bird"], "available": [True, True, True, False, True, True]}
    )
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    _codes(call(function, scores, 3, np.array([], int), items), [0, 1, 2], "nothing seen, all categories")
    got = call(function, scores, 3, np.array([0]), items)
    _codes(got, [1, 2, 4], "item 0 seen (item 3 is not available)")
    got = call(function, scores, 3, np.array([0, 1]), items, category="bird")
    if len(np.atleast_1d(got)) > 1 and np.isin(got, [0, 1, 2, 3, 4]).any():
        raise Failed(
            f"two birds are seen and one is not available, so that only item 5 is left, and the list is "
            f"{np.asarray(got).tolist()}. A score of minus infinity still has a place in the order: cut off what is "
            "not allowed instead of ranking it last"
        )
    _codes(got, [5], "birds only, items 0 and 1 seen: one is left")
    got = call(function, np.array([0.1, np.nan, 0.3, 0.2, np.nan, 0.3]), 4, np.array([], int), items)
    if np.isin(got, [1, 4]).any():
        raise Failed("a thing whose score is NaN is in the list; what has no score is not shown")
    _codes(got, [2, 5, 0], "scores 0.1, NaN, 0.3, 0.2, NaN, 0.3 (equal scores: the smaller code first)")
    got = call(function, scores, 2, np.arange(6), items)
    _codes(got, [], "everything seen")
    work = space.work
    scores = work.user_vectors @ work.item_vectors.T
    for user in range(0, 200, 20):
        chosen = np.setdiff1d(np.flatnonzero(work.items["available"]), work.seen[user])
        best = chosen[np.argsort(-scores[user, chosen], kind="stable")[:10]]
        _codes(call(function, scores[user], 10, work.seen[user], work.items), best, f"person {user} of your shop, k=10")


def _codes(got, expected, what: str) -> None:
    got, expected = np.atleast_1d(np.asarray(got)), np.asarray(expected, int)
    if len(got) < len(expected):
        raise Failed(
            f"{what}: {len(got)} things, but {len(expected)} were to be had. Filter before you cut the list, or what "
            "the filter takes away is missing at the end"
        )
    if len(got) != len(expected) or not np.array_equal(got, expected):
        raise Failed(f"{what}: got {got.tolist()}, expected {expected.tolist()}")


# -- 5 -----------------------------------------------------------------------------------------------------------------
@assignment.task(5, "Events that are not lost", points=12, needs=["EventStore"])
def events(space) -> None:
    with tempfile.TemporaryDirectory(prefix="mmrec-a6-") as folder:
        file = Path(folder) / "events.sqlite"
        store = call(space["EventStore"], file)
        try:
            _events(space, store, file)
        finally:
            _close(store)


def _close(store) -> None:
    with contextlib.suppress(Exception):  # the check has its message already; Windows removes no open file
        store.close()


def _events(space, store, file: Path) -> None:
    first = call(store.add, "ana", "robin", "e1")
    if _rows(file) == 0:
        raise Failed(
            "add had answered, and another program that opened the file saw no event: commit before you return, for "
            "what is not committed is lost when the process is killed"
        )
    if first is not True:
        raise Failed(f"the first add of an event returned {first!r}: True says that it is new")
    again = call(store.add, "ana", "robin", "e1")
    if _rows(file) != 1 or call(store.of_user, "ana") != ["robin"]:
        raise Failed(
            f"event e1 was sent twice, as happens when a connection breaks, and was counted {_rows(file)} times: "
            "make event_id unique in the table, and let INSERT OR IGNORE do nothing"
        )
    if again is not False:
        raise Failed(f"the second add of the same event returned {again!r}: False says that it was there")
    call(store.add, "ana", "wren", "e2")
    call(store.add, "bo", "robin", "e3")
    if call(store.of_user, "ana") != ["robin", "wren"]:
        raise Failed(f"of_user('ana') is {store.of_user('ana')!r}, expected ['robin', 'wren'], oldest first")
    call(store.close)
    store = call(space["EventStore"], file)
    try:
        if call(store.add, "ana", "robin", "e1") is not False or _rows(file) != 3:
            raise Failed("after the file was closed and opened again, event e1 was counted once more: "
                         "what is known must be in the file, not in the memory of a process")  # fmt: skip
        _threads(store, file)
    finally:
        _close(store)


def _rows(file: Path) -> int:
    """Events in the file, as another program sees them."""
    with sqlite3.connect(file, timeout=5) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        names = [name for name in names if not name.startswith("sqlite_")]
        counts = [connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names]
    connection.close()
    return max(counts, default=0)


def _threads(store, file: Path) -> None:
    """A service answers in many threads; every second event is sent by two of them."""
    problems: list[Exception] = []

    def send(thread: int) -> None:
        try:
            for n in range(10):
                store.add("cy", f"thing {n}", f"t{thread // 2}-{n}")
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise Failed(
            f"four threads added events, and one got {type(problems[0]).__name__} ({problems[0]}): open the file with "
            "check_same_thread=False, and let one thread at a time use the connection (threading.Lock)"
        )
    if _rows(file) != 23:
        raise Failed(f"four threads added 20 different events, each twice, and {_rows(file) - 3} were kept")


# -- 6 -----------------------------------------------------------------------------------------------------------------
class Shop:
    """Stands for an engine: knows ana, and breaks when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def knows(self, user: str) -> bool:
        return user == "ana"

    def recommend(self, user: str, k: int) -> list[str]:
        if self.error is not None:
            raise self.error
        return [f"for {user} {n}" for n in range(k)]

    def popular(self, k: int) -> list[str]:
        return [f"popular {n}" for n in range(k)]


class Memory:
    """Stands for a store of events, and breaks when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.events = error, {}

    def add(self, user: str, item: str, event_id: str) -> bool:
        if self.error is not None:
            raise self.error
        new = event_id not in self.events
        self.events.setdefault(event_id, (user, item))
        return new


def client_of(space, engine=None, store=None, **limits):
    """A client for the student's app; what goes wrong inside comes back as an answer, not as an exception."""
    try:
        from fastapi.testclient import TestClient
    except (ImportError, RuntimeError):
        raise Failed("this task needs fastapi and httpx: pip install 'mmrec-lib[serve]' httpx") from None
    app = call(space["create_app"], engine or Shop(), store or Memory(), **limits)
    return TestClient(app, raise_server_exceptions=False)


@assignment.task(6, "The address", points=16, needs=["create_app"])
def service(space) -> None:
    client = client_of(space)
    reply = client.get("/health")
    if reply.status_code != 200 or reply.json() != {"status": "ok"}:
        raise Failed(f'GET /health answered {reply.status_code} {reply.text[:60]}; expected 200 {{"status": "ok"}}')
    _lists(client)
    _limits(client)
    _fallback(space)
    _feedback(space)


def _told(reply, status: int, what: str):
    if reply.status_code != status:
        raise Failed(f"{what}: status {reply.status_code}, expected {status} ({reply.text[:80]})")
    return reply.json()


def _lists(client) -> None:
    told = _told(client.get("/recommend/ana?k=2"), 200, "GET /recommend/ana?k=2")
    wanted = {"user": "ana", "items": ["for ana 0", "for ana 1"], "how": "model", "fallback": False}
    if told != wanted:
        raise Failed(f"GET /recommend/ana?k=2 told {told}, expected {wanted}")
    if len(_told(client.get("/recommend/ana"), 200, "GET /recommend/ana").get("items", [])) != 10:
        raise Failed("GET /recommend/ana without k should give 10 things")
    told = _told(client.get("/recommend/zoe?k=2"), 200, "GET /recommend/zoe?k=2, whom nobody knows")
    if told.get("how") == "model":
        raise Failed("nobody knows zoe, and the model was asked for her: ask engine.knows(user) first")
    wanted = {"user": "zoe", "items": ["popular 0", "popular 1"], "how": "popularity", "fallback": False}
    if told != wanted:
        raise Failed(f"GET /recommend/zoe?k=2, whom nobody knows, told {told}, expected {wanted}")


def _limits(client) -> None:
    for query, why in (("k=51", "k is above max_k=50"), ("k=0", "k is below 1"), ("k=many", "k is no number")):
        _told(client.get(f"/recommend/ana?{query}"), 422, f"GET /recommend/ana?{query}: {why}")
    large = {"user": "ana", "item": "x" * 20_000, "id": "e9"}
    _told(client.post("/feedback", json=large), 413, "POST /feedback with 20,000 bytes where max_body is 10,000")
    for body in (b"no json", b"[]", b'{"user": "ana"}', b'{"user": 1, "item": "robin", "id": "e1"}'):
        _told(client.post("/feedback", content=body), 422, f"POST /feedback with {body!r}")


def _fallback(space) -> None:
    for error in (ValueError(SECRET), KeyError(SECRET)):
        reply = client_of(space, Shop(error)).get("/recommend/ana?k=2")
        if "hunter2" in reply.text:
            raise Failed(
                "the model raised, and the text of its exception was sent to the visitor, with the password of the "
                "database in it: write it to the log, and tell the visitor nothing of it"
            )
        told = _told(reply, 200, f"the model raised {type(error).__name__}: give what is popular. GET /recommend/ana")
        wanted = {"user": "ana", "items": ["popular 0", "popular 1"], "how": "popularity", "fallback": True}
        if told != wanted:
            raise Failed(f"the model raised {type(error).__name__}, and the answer was {told}, expected {wanted}")


def _feedback(space) -> None:
    store = Memory()
    client = client_of(space, store=store)
    event = {"user": "ana", "item": "robin", "id": "e1"}
    told = _told(client.post("/feedback", json=event), 201, "POST /feedback")
    if store.events != {"e1": ("ana", "robin")} or told != {"new": True}:
        raise Failed(f'POST /feedback told {told}, the store holds {store.events}; expected {{"new": true}} and e1')
    told = _told(client.post("/feedback", json=event), 201, "POST /feedback, the same event again")
    if told != {"new": False}:
        raise Failed(f'POST /feedback, the same event again, told {told}; expected {{"new": false}}')
    reply = client_of(space, store=Memory(OSError(SECRET))).post("/feedback", json=event)
    if reply.status_code < 400:
        raise Failed(
            f"the store could not keep the event, and the visitor was told {reply.status_code}: add the event before "
            "you answer, for what was acknowledged will not be sent again"
        )
    if "hunter2" in reply.text:
        raise Failed("the store raised, and the text of its exception was sent to the visitor: it belongs into the log")
    _told(reply, 503, "POST /feedback when the store raises")


# -- 7 -----------------------------------------------------------------------------------------------------------------
class Model:
    """Scores that are known; calls ``meanwhile`` in the middle of a request."""

    def __init__(self, scores, meanwhile=None) -> None:
        self.values, self.meanwhile = np.asarray(scores, float), meanwhile

    def scores(self, user: str) -> np.ndarray:
        if self.meanwhile is not None:
            self.meanwhile()
        return self.values


@assignment.task(7, "A new model without a dropped request", points=8, needs=["Holder"])
def exchange(space) -> None:
    create = space["Holder"]
    old, new = ["ant", "bee", "cat"], ["owl", "fox"]
    holder = call(create, Model([1, 3, 2]), old)
    if list(call(holder.recommend, "ana", 2)) != ["bee", "cat"]:
        raise Failed(f"recommend('ana', 2) is {holder.recommend('ana', 2)}, expected ['bee', 'cat']")
    call(holder.swap, Model([1, 2]), new)
    if list(call(holder.recommend, "ana", 2)) != ["fox", "owl"]:
        raise Failed("after the swap recommend('ana', 2) should be ['fox', 'owl'], from the new model and new titles")
    _mixture(create, old, new)
    _waiting(create, old)
    _trial(create, old)


def _mixture(create, old: list[str], new: list[str]) -> None:
    """A request is in the middle of the old model when the new one comes."""
    done = []

    def meanwhile() -> None:
        thread = threading.Thread(target=lambda: (holder.swap(Model([1, 2]), new), done.append(True)), daemon=True)
        thread.start()
        thread.join(3)

    quiet = Model([1, 3, 2])
    holder = create(quiet, old)
    quiet.meanwhile = meanwhile
    try:
        got = list(holder.recommend("ana", 2))
    except Exception as error:
        raise Failed(
            f"a new model came while a request ran, and the request ended with {type(error).__name__}: keep model and "
            "titles in one object, and read that object once at the beginning of a request"
        ) from None
    if got != ["bee", "cat"]:
        raise Failed(
            f"a new model came while a request ran, and the answer was {got}: scores of the old model with titles of "
            "the new one. Keep both in one object, and read that object once at the beginning of a request"
        )
    if not done:
        raise Failed("swap waits until running requests have ended: whoever began with the old model may end with it")


def _waiting(create, titles: list[str]) -> None:
    """Two requests must be able to be in the model at the same time."""
    model, answers = Model([1, 3, 2]), []
    holder = create(model, titles)
    meeting = threading.Barrier(2)
    model.meanwhile = lambda: meeting.wait(3)

    def ask() -> None:
        with contextlib.suppress(Exception):  # the meeting broke up
            answers.append(holder.recommend("ana", 1))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    if len(answers) != 2:
        raise Failed("a request waits until another has ended: hold no lock while the model computes")


def _trial(create, titles: list[str]) -> None:
    def broken() -> None:
        raise MemoryError

    for model, why in (
        (Model([1, np.nan, 2]), "gives NaN"), (Model([1, 2]), "scores two things where there are three titles"),
        (Model([1, 2, 3], broken), "raises"),
    ):  # fmt: skip
        holder = create(Model([1, 3, 2]), titles)
        try:
            holder.swap(model, ["x", "y", "z"])
        except Exception:
            refused = True
        else:
            refused = False
        try:
            same = list(holder.recommend("ana", 1)) == ["bee"]
        except Exception:
            same = False
        if not (refused and same):
            raise Failed(
                f"a new model that {why} was taken up: try it on one person before the exchange, raise when it fails, "
                "and go on with the old one"
            )


# -- 8 -----------------------------------------------------------------------------------------------------------------
@assignment.task(8, "Has the audience changed?", points=6, needs=["stability", "judge"])
def drift(space) -> None:
    function = space["stability"]
    before, today = np.array([1, 1, 2, 2.0]), np.array([1, 2, 2, 2.0])
    got = call(function, before, today, bins=2)
    hints = {0.75 * np.log(1.5) - 0.25 * np.log(2): "that is the Kullback-Leibler divergence: (o - e) ln(o / e)"}
    close(got, 0.25 * np.log(3), "stability of 1, 1, 2, 2 and 1, 2, 2, 2 in two classes", wrong=hints)
    expected = np.arange(1, 101) / 10
    got = call(function, expected, np.full(50, 5.05), bins=4)
    if not np.isfinite(got):
        raise Failed(
            "three of the four classes are empty today, and the index is not finite: an empty class counts as half an "
            "observation"
        )
    close(got, _psi(expected, np.full(50, 5.05), 4), "stability when today only one class is met")
    got = call(function, expected, np.concatenate([expected, np.full(300, 99.0)]), bins=4)
    inside = _psi(expected, expected, 4)
    close(
        got, _psi(expected, np.concatenate([expected, np.full(300, 99.0)]), 4),
        "stability when most values of today are larger than all of before",
        wrong={inside: "values outside the old range were dropped: the first and the last class have no end"},
    )  # fmt: skip
    work = space.work
    close(call(space["judge"], work.reference, work.months), true_states(work.reference, work.months),
          "judge, on your own months")  # fmt: skip


def _psi(expected, observed, bins: int) -> float:
    edges = np.unique(np.quantile(expected, np.arange(1, bins) / bins))
    shares = []
    for values in (expected, observed):
        classes = np.searchsorted(edges, values, side="right")
        counts = np.maximum(np.bincount(classes, minlength=len(edges) + 1), 0.5)
        shares.append(counts / counts.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def true_states(reference, months) -> dict[str, str]:
    """What the index of each month says, by the customary limits."""
    values = {month: _psi(reference, scores, 10) for month, scores in months.items()}
    return {month: "ok" if v < 0.1 else "watch" if v < 0.25 else "alarm" for month, v in values.items()}


# -- 9 -----------------------------------------------------------------------------------------------------------------
class Clock:
    """A clock that moves when it is told to, so that a measured time is known."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@assignment.task(9, "How long does it take?", points=4, needs=["latency"])
def timing(space) -> None:
    clock = Clock()

    def request(seconds: float) -> None:
        clock.now += abs(seconds)
        if seconds < 0:
            raise RuntimeError("no answer")

    slow = [1.0] * 5
    usual = [0.010] * 95 + [0.200] * 5
    got = call(space["latency"], request, slow + usual, warm_up=5, clock=clock)
    if not isinstance(got, dict) or set(got) != {"n", "errors", "p50", "p99"}:
        raise Failed(f"latency should return a dictionary with n, errors, p50 and p99; it gave {got!r}")
    close(got["n"], 100, "n of 100 requests after 5 to warm up", wrong={105: "the first five are for warming up"})
    hints = {
        19.5: "that is the mean: a few slow requests move it, and nobody waits that long",
        0.010: "in milliseconds, please",
        66.1904761904762: "that is the mean, and the first requests, which only warm up, are in it",
    }
    close(got["p50"], 10.0, "p50 of 95 requests of 10 ms and 5 of 200 ms", wrong=hints)
    close(got["p99"], 200.0, "p99 of 95 requests of 10 ms and 5 of 200 ms", wrong={
        19.5: "that is the mean", 1000.0: "the first requests, which only warm up, are in it",
        10.0: "that is the median: np.quantile(times, 0.99)"})  # fmt: skip
    got = call(space["latency"], request, [0.010] * 30 + [-0.001] * 10 + [0.030] * 10, warm_up=0, clock=clock)
    close(got["errors"], 10, "errors, when 10 of 50 requests raise")
    close(got["n"], 40, "n, the requests that were answered, when 10 of 50 raise")
    close(got["p50"], 10.0, "p50 of 30 answers of 10 ms, 10 of 30 ms and 10 quick failures",
          wrong={5.5: "failures are quick: they do not belong into the times"})  # fmt: skip
