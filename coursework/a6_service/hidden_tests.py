"""Hidden tests of assignment 6: the same questions as the public checks, with other inputs."""

import contextlib
import json
import sqlite3
import threading

import numpy as np
import pandas as pd
import pytest

from mmrec_lib.coursework.a6 import Clock, Memory, Model, Shop, client_of, probes_needed, true_states
from mmrec_lib.errors import BundleError


# -- 1: a bundle -----------------------------------------------------------------------------------------------------
def made(space, path, **arrays):
    arrays = arrays or {"a": np.linspace(0, 1, 50), "b": np.array([[True], [False]]), "c": np.array(7, np.int16)}
    space["save_bundle"](path, arrays, {"name": "知更鸟", "sizes": [1, 2]})
    return arrays


def refused(space, path, why):
    try:
        space["load_bundle"](path)
    except BundleError:
        return
    pytest.fail(f"load_bundle took a bundle {why}")


@pytest.mark.task(1)
def test_arrays_and_info_come_back(space, tmp_path):
    arrays = made(space, tmp_path / "x" / "shop")
    got, info = space["load_bundle"](tmp_path / "x" / "shop")
    assert info == {"name": "知更鸟", "sizes": [1, 2]}, "info comes back changed (Chinese characters, a list)"
    assert set(got) == set(arrays), "the names of the arrays come back changed"
    for name, array in arrays.items():
        assert got[name].dtype == array.dtype, f"the dtype of an array of {array.dtype} changes"
        assert np.array_equal(got[name], array), f"an array of shape {array.shape} comes back changed"


@pytest.mark.task(1)
def test_two_files_that_change_places_are_refused(space, tmp_path):
    made(space, tmp_path / "shop", a=np.zeros(3), b=np.ones(3))
    one, two = (tmp_path / "shop" / f"{name}.npy" for name in "ab")
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    refused(space, tmp_path / "shop", "in which two files had changed places")


@pytest.mark.task(1)
def test_a_changed_byte_and_a_missing_file_are_refused(space, tmp_path):
    made(space, tmp_path / "shop")
    space["load_bundle"](tmp_path / "shop")
    file = tmp_path / "shop" / "a.npy"
    good = bytearray(file.read_bytes())
    good[len(good) // 2] ^= 4
    file.write_bytes(good)
    refused(space, tmp_path / "shop", "with a changed byte in the middle of a file")
    file.unlink()
    refused(space, tmp_path / "shop", "in which a file was missing")


@pytest.mark.task(1)
def test_a_header_that_says_too_little_is_refused(space, tmp_path):
    made(space, tmp_path / "shop")
    header = json.loads((tmp_path / "shop" / "bundle.json").read_text(encoding="utf-8"))
    assert set(header["files"]) == {"a.npy", "b.npy", "c.npy"}, "bundle.json names each file under 'files'"
    (tmp_path / "shop" / "bundle.json").write_text("{}")
    refused(space, tmp_path / "shop", "whose bundle.json is an empty object")


@pytest.mark.task(1)
def test_a_save_that_fails_leaves_the_old_bundle_and_nothing_else(space, tmp_path):
    made(space, tmp_path / "shop")
    with contextlib.suppress(Exception):
        space["save_bundle"](tmp_path / "shop", {"a": np.zeros(2), "z": np.array([object()])}, {})
        pytest.fail("an array of Python objects was saved")
    assert len(space["load_bundle"](tmp_path / "shop")[0]) == 3, "the bundle of before must stay when a save fails"
    assert [f.name for f in tmp_path.iterdir()] == ["shop"], "a save that failed leaves something behind"


# -- 2 and 3: search -------------------------------------------------------------------------------------------------
@pytest.fixture
def vectors():
    rng = np.random.default_rng(61)
    return rng.normal(size=(300, 7)), rng.normal(size=(12, 7)), rng.normal(size=(8, 7))


@pytest.mark.task(2)
def test_exact_search(space, vectors):
    things, queries, _ = vectors
    got = np.asarray(space["exact_search"](things, queries, 15))
    assert got.shape == (12, 15), "exact_search should give one row a query, k columns"
    products = np.take_along_axis(queries @ things.T, got, axis=1)
    assert np.allclose(products, -np.sort(-(queries @ things.T), axis=1)[:, :15]), "these are not the largest products"


@pytest.mark.task(2)
def test_recall(space):
    recall = space["recall"]
    assert recall(np.array([[4, 3, 2, 1]]), np.array([[1, 2, 3, 4]])) == pytest.approx(1), "the order does not matter"
    assert recall(np.array([[1], [5]]), np.array([[1], [2]])) == pytest.approx(0.5), "a mean over the lists"
    got = recall(np.array([[3, 8, -1, -1], [-1, -1, -1, -1]]), np.array([[1, 3, 5, 7], [1, 2, 3, 4]]))
    assert got == pytest.approx(0.125), "one of eight things was found"


@pytest.mark.task(3)
@pytest.mark.parametrize("n_probes", [1, 4])
def test_cells(space, vectors, n_probes):
    things, queries, centres = vectors
    items, compared = space["cell_search"](things, centres, queries, 6, n_probes)
    cell = (things @ centres.T).argmax(axis=1)
    counted = 0
    for row, query in enumerate(queries):
        near = np.argsort(-(centres @ query))[:n_probes]
        inside = np.flatnonzero(np.isin(cell, near))
        counted += len(inside)
        best = inside[np.argsort(-(things[inside] @ query))][:6]
        got = np.asarray(items)[row]
        assert got[: len(best)].tolist() == best.tolist(), f"with {n_probes} probes other things are the best"
        assert (got[len(best) :] == -1).all(), "places for which nothing is found hold -1"
    assert compared == pytest.approx(counted / 12), "the mean number of vectors compared is another"


@pytest.mark.task(3)
def test_a_cell_without_things(space):
    things, centres = np.array([[1.0, 0], [0.9, 0.1]]), np.array([[1.0, 0], [0, 1.0]])
    items, compared = space["cell_search"](things, centres, np.array([[0.1, 0.9]]), 2, 1)
    assert np.asarray(items).tolist() == [[-1, -1]], "the nearest cell is empty, so nothing is found"
    assert compared == 0, "nothing was compared"


@pytest.mark.task(3)
def test_fewest_probes(space, work):
    for k, goal in ((20, 0.96), (7, 0.805)):
        exact = work.exact[:, :k]
        got = space["fewest_probes"](work.vectors, work.centres, work.queries, exact, goal)
        right = probes_needed(work.vectors, work.centres, work.queries, exact, goal)
        assert got == right, f"lists of {k}, goal {goal}: another number of probes is the smallest"


# -- 4: filters ------------------------------------------------------------------------------------------------------
def shelf(categories, available):
    return pd.DataFrame(
        {"category": list(categories), "available": available}, index=[f"i{n}" for n in range(len(available))]
    )


@pytest.mark.task(4)
def test_lists_are_full_when_they_can_be(space):
    items = shelf("aabbaabb", [False] * 4 + [True] * 4)
    got = space["top_k"](np.arange(8.0)[::-1], 3, np.array([4]), items)
    assert np.asarray(got).tolist() == [5, 6, 7], "the best five may not be shown; the list is still to have three"


@pytest.mark.task(4)
def test_a_short_list_holds_nothing_forbidden(space):
    items = shelf("abab", [True, True, False, True])
    got = np.asarray(space["top_k"](np.array([4.0, 3, 2, 1]), 3, np.array([0]), items))
    assert got.tolist() == [1, 3], "what is seen or sold out came back to fill the list"
    assert len(space["top_k"](np.zeros(4), 2, np.array([], int), items, category="c")) == 0, "no such category: no list"


@pytest.mark.task(4)
def test_ties_and_missing_scores(space):
    items = shelf("aaaaa", [True] * 5)
    scores = np.array([1.0, 2, np.nan, 2, 1])
    assert np.asarray(space["top_k"](scores, 5, np.array([], int), items)).tolist() == [1, 3, 0, 4], "ties, or NaN"
    assert np.isnan(scores[2]), "do not change the scores that you are given"
    assert scores[[0, 1, 3, 4]].tolist() == [1, 2, 2, 1], "do not change the scores that you are given"


@pytest.mark.task(4)
def test_with_categories_in_the_own_shop(space, work):
    scores = work.user_vectors @ work.item_vectors.T
    for user in range(3, 200, 23):
        category = work.items["category"].iloc[user]
        allowed = (work.items["category"] == category).to_numpy() & work.items["available"].to_numpy()
        allowed[work.seen[user]] = False
        expected = sorted(np.flatnonzero(allowed), key=lambda i, row=scores[user]: (-row[i], i))[:8]
        got = space["top_k"](scores[user], 8, work.seen[user], work.items, category=category)
        assert np.asarray(got).tolist() == [int(i) for i in expected], f"person {user}, category {category}"


# -- 5: events -------------------------------------------------------------------------------------------------------
def rows(file):
    """Events in the file as another program sees them, whatever the table is called."""
    with sqlite3.connect(file) as other:
        tables = [name for (name,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = [name for name in tables if not name.startswith("sqlite_")]
        return max((other.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables), default=0)


@pytest.fixture
def store(space, tmp_path):
    made = space["EventStore"](tmp_path / "events.sqlite")
    yield made
    made.close()


@pytest.mark.task(5)
def test_every_acknowledged_event_is_seen_by_others(store, tmp_path):
    for n in range(1, 26):
        assert store.add("dee", f"thing {n}", f"id-{n}") is True, "a new event should give True"
        assert rows(tmp_path / "events.sqlite") == n, "an acknowledged event is not in the file yet"


@pytest.mark.task(5)
def test_an_event_counts_once(store):
    assert store.add("dee", "owl", "7") is True, "a new event should give True"
    assert store.add("eli", "fox", "7") is False, "an id that is known gives False, whoever sends it"
    assert store.of_user("dee") == ["owl"], "a repeated id changes nothing"
    assert store.of_user("eli") == [], "a repeated id changes nothing"
    assert store.add("dee", "owl", "8") is True, "the same person and thing with another id is another event"
    assert store.of_user("dee") == ["owl", "owl"], "two events of the same person and thing"


@pytest.mark.task(5)
def test_ids_are_known_after_opening_again(space, tmp_path):
    file = tmp_path / "again.sqlite"
    first = space["EventStore"](file)
    assert first.add("dee", "owl", "1") is True, "a new event should give True"
    first.close()
    second = space["EventStore"](file)
    assert second.add("dee", "owl", "1") is False, "after opening the file again the id must still be known"
    assert second.add("dee", "fox", "2") is True, "a new event should give True"
    assert second.of_user("dee") == ["owl", "fox"], "what was there must still be there"
    second.close()


@pytest.mark.task(5)
def test_text_is_never_a_command(store):
    names = ["'; DROP TABLE events; --", 'a "quoted" name', "知更鸟", "x' OR '1'='1"]
    for n, name in enumerate(names):
        assert store.add(name, name, f"id {n} '") is True, f"the user {name} could not be stored"
    for name in names:
        assert store.of_user(name) == [name], f"the events of the user {name} are not this one event"


@pytest.mark.task(5)
def test_threads(store, tmp_path):
    news, problems = [], []

    def send(number):
        try:
            for n in range(15):
                news.append(store.add(f"user {number}", f"thing {n}", f"shared {n}"))
                store.of_user(f"user {number}")
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, f"a thread got {type(problems[0]).__name__}"
    assert sum(news) == 15, "of an event that six threads send, exactly one is new"
    assert rows(tmp_path / "events.sqlite") == 15, "fifteen different events are to be kept"


# -- 6: the address --------------------------------------------------------------------------------------------------
HIDDEN = "key=sk-91ab at /srv/shop/model.py"


class Broken(Exception):
    """An exception that nobody foresaw."""


@pytest.mark.task(6)
def test_health_and_lists(space):
    client = client_of(space, max_k=7)
    assert client.get("/health").json() == {"status": "ok"}, "GET /health"
    told = client.get("/recommend/ana?k=7").json()
    assert told["items"] == [f"for ana {n}" for n in range(7)], "k may be as large as max_k"
    assert (told["how"], told["fallback"]) == ("model", False), "how and fallback of a list by the model"


@pytest.mark.task(6)
def test_unknown_people_get_popular_things(space):
    told = client_of(space).get("/recommend/%E7%9F%A5%E6%9B%B4?k=3").json()
    wanted = {"user": "知更", "items": ["popular 0", "popular 1", "popular 2"], "how": "popularity", "fallback": False}
    assert told == wanted, "somebody unknown, with a Chinese name"


@pytest.mark.task(6)
def test_k_has_limits(space):
    client = client_of(space, max_k=7)
    for k in ("8", "-1", "1.5", ""):
        assert client.get(f"/recommend/ana?k={k}").status_code == 422, f"k={k!r} with max_k=7"


@pytest.mark.task(6)
def test_a_broken_model_is_popularity_and_says_nothing_else(space):
    for error in (Broken(HIDDEN), MemoryError(HIDDEN), IndexError(HIDDEN)):
        reply = client_of(space, Shop(error)).get("/recommend/ana?k=1")
        assert reply.status_code == 200, f"the model raised {type(error).__name__}: answer with what is popular"
        assert "sk-91ab" not in reply.text, "the text of an exception was sent to the visitor"
        wanted = {"user": "ana", "items": ["popular 0"], "how": "popularity", "fallback": True}
        assert reply.json() == wanted, f"the model raised {type(error).__name__}"


@pytest.mark.task(6)
def test_feedback_is_kept_before_the_answer(space):
    store = Memory()
    client = client_of(space, store=store)
    for n in range(3):
        reply = client.post("/feedback", json={"user": "bo", "item": f"i{n}", "id": str(n)})
        assert reply.status_code == 201, "POST /feedback of a right event"
        assert reply.json() == {"new": True}, "a new event is new"
        assert len(store.events) == n + 1, "an event was acknowledged, but the store does not hold it"
    assert client.post("/feedback", json={"user": "bo", "item": "i0", "id": "0"}).json() == {"new": False}, "repeated"


@pytest.mark.task(6)
def test_a_broken_store_is_503_and_says_nothing_else(space):
    reply = client_of(space, store=Memory(Broken(HIDDEN))).post("/feedback", json={"user": "a", "item": "b", "id": "c"})
    assert reply.status_code == 503, "the store raised: the event was not kept, and the answer must say so"
    assert "sk-91ab" not in reply.text, "the text of an exception was sent to the visitor"


@pytest.mark.task(6)
def test_large_bodies_are_refused(space):
    store = Memory()
    client = client_of(space, store=store, max_body=200)
    large = json.dumps({"user": "ana", "item": "x" * 300, "id": "e"}).encode()
    assert client.post("/feedback", content=large).status_code == 413, "300 bytes with max_body=200"
    pieces = (large[n : n + 50] for n in range(0, len(large), 50))  # its length is not announced
    assert client.post("/feedback", content=pieces).status_code == 413, "300 bytes in pieces, without Content-Length"
    assert not store.events, "an event that was refused was kept"
    assert client.post("/feedback", json={"user": "a", "item": "b", "id": "c"}).status_code == 201, "a small one"


@pytest.mark.task(6)
def test_bodies_that_make_no_sense(space):
    store = Memory()
    client = client_of(space, store=store)
    events = ({"user": "a", "item": "b"}, {"user": "a", "item": ["b"], "id": "c"}, {"user": "", "item": "b", "id": "c"})
    for body in ("", "null", "3", '["user", "item", "id"]', *map(json.dumps, events)):
        assert client.post("/feedback", content=body).status_code == 422, f"the body {body!r}"
    assert not store.events, "an event that was refused was kept"


# -- 7: exchange -----------------------------------------------------------------------------------------------------
@pytest.mark.task(7)
def test_lists_before_and_after_a_swap(space):
    holder = space["Holder"](Model([0.3, 0.9, 0.5, 0.1]), ["a", "b", "c", "d"])
    assert list(holder.recommend("x", 3)) == ["b", "c", "a"], "the largest scores first"
    holder.swap(Model([5, 6]), ["y", "z"])
    assert list(holder.recommend("x", 2)) == ["z", "y"], "after a swap the new model answers"
    holder.swap(Model([9, 1, 5, 2]), ["p", "q", "r", "s"])
    assert list(holder.recommend("x", 2)) == ["p", "r"], "after a second swap the newest model answers"


@pytest.mark.task(7)
def test_many_swaps_under_load_never_mix(space):
    pairs = [(Model(np.arange(n)), [f"{n}-{i}" for i in range(n)]) for n in (3, 5, 9)]
    holder, problems, stop = space["Holder"](*pairs[0]), [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                got = holder.recommend("x", 3)
                n = int(got[0].partition("-")[0])
                if list(got) != [f"{n}-{i}" for i in range(n - 1, n - 4, -1)]:
                    problems.append(got)
            except Exception as error:
                problems.append(error)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        holder.swap(*pairs[turn % 3])
    stop.set()
    for thread in threads:
        thread.join(5)
    assert not problems, f"requests met a mixture of two models: {problems[:1]}"


@pytest.mark.task(7)
def test_a_request_in_the_middle_keeps_its_model_and_its_titles(space):
    model = Model([1, 2, 3, 4])
    holder = space["Holder"](model, ["a", "b", "c", "d"])
    entered, go_on, got = threading.Event(), threading.Event(), []
    model.meanwhile = lambda: (entered.set(), go_on.wait(10))
    request = threading.Thread(target=lambda: got.append(list(holder.recommend("x", 2))), daemon=True)
    request.start()
    assert entered.wait(10), "the request never came to the model"
    exchange = threading.Thread(target=lambda: holder.swap(Model([2, 1]), ["y", "z"]), daemon=True)
    exchange.start()
    exchange.join(3)
    waited = exchange.is_alive()
    go_on.set()
    request.join(10)
    assert not waited, "swap waits for a request that runs"
    assert got == [["d", "c"]], "a request that began with the old model ended with something else"


@pytest.mark.task(7)
def test_requests_do_not_wait_for_each_other(space):
    model, got, meeting = Model([1, 2]), [], threading.Barrier(3)
    holder = space["Holder"](model, ["a", "b"])
    model.meanwhile = lambda: meeting.wait(3)  # until three requests are here

    def ask():
        with contextlib.suppress(threading.BrokenBarrierError):
            got.append(list(holder.recommend("x", 1)))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == [["b"]] * 3, "a request waits until another has left the model"


@pytest.mark.task(7)
@pytest.mark.parametrize("scores", [[1, 2, np.inf], [1, 2, 3, 4], [[1, 2, 3]]])
def test_a_bad_model_is_not_taken_up(space, scores):
    holder = space["Holder"](Model([1, 2]), ["a", "b"])
    with contextlib.suppress(Exception):
        holder.swap(Model(scores), ["x", "y", "z"])
        pytest.fail(f"a model with the scores {scores} for three titles was taken up")
    assert list(holder.recommend("x", 2)) == ["b", "a"], "the old model must stay when the new one is refused"


# -- 8: drift --------------------------------------------------------------------------------------------------------
def index(expected, observed, bins):
    edges = np.unique(np.quantile(expected, np.arange(1, bins) / bins))
    places = [np.searchsorted(edges, values, side="right") for values in (expected, observed)]
    counts = [np.array([max((p == c).sum(), 0.5) for c in range(len(edges) + 1)]) for p in places]
    e, o = (c / c.sum() for c in counts)
    return float(np.sum((o - e) * np.log(o / e)))


@pytest.mark.task(8)
@pytest.mark.parametrize("shift", [0, 0.7, 40])
def test_stability(space, shift):
    rng = np.random.default_rng(5)
    expected, observed = rng.normal(size=400), rng.normal(size=150) + shift
    got = space["stability"](expected, observed, bins=7)
    assert np.isfinite(got), "the index must be finite when classes are empty"
    assert got == pytest.approx(index(expected, observed, 7)), f"normal numbers, moved by {shift}, seven classes"


@pytest.mark.task(8)
def test_equal_edges_and_the_default(space):
    rng = np.random.default_rng(6)
    expected, observed = rng.integers(0, 4, 300).astype(float), rng.integers(1, 6, 80).astype(float)
    assert space["stability"](expected, observed) == pytest.approx(index(expected, observed, 10)), (
        "few values, ten bins"
    )


@pytest.mark.task(8)
def test_judge(space, work):
    rng = np.random.default_rng(9)
    months = {
        "spring": work.reference + 0.01,
        "summer": work.reference + 0.1,
        "autumn": rng.permutation(work.reference),
    }
    months["winter"] = work.reference + 0.04
    assert space["judge"](work.reference, months) == true_states(work.reference, months), "four other months"


# -- 9: latency ------------------------------------------------------------------------------------------------------
@pytest.fixture
def slow():
    """A clock, and a request that takes as long as it says; a negative one fails after that time."""
    clock = Clock()

    def ask(seconds):
        clock.now += abs(seconds)
        if seconds < 0:
            raise Broken

    return clock, ask


@pytest.mark.task(9)
def test_percentiles(space, slow):
    clock, ask = slow
    times = np.random.default_rng(3).gamma(2, 0.01, 500)
    got = space["latency"](ask, [9.0] * 20 + times.tolist(), clock=clock)
    assert got["n"] == 500, "the first 20 are for warming up by default"
    assert got["errors"] == 0, "nothing failed"
    assert got["p50"] == pytest.approx(1000 * np.quantile(times, 0.5)), "the median, in milliseconds"
    assert got["p99"] == pytest.approx(1000 * np.quantile(times, 0.99)), "the 99th percentile, in milliseconds"


@pytest.mark.task(9)
def test_failures_are_counted_apart(space, slow):
    clock, ask = slow
    got = space["latency"](ask, [-5.0] * 3 + [0.02] * 8 + [-0.001] * 4, warm_up=2, clock=clock)
    assert (got["n"], got["errors"]) == (8, 5), "eight answers and five failures after two for warming up"
    assert got["p50"] == pytest.approx(20), "failures do not belong into the times"
