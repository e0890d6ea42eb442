"""Wrong answers to assignment 6 as students give them; tests prove that checks and hidden tests notice each."""

from mmrec_lib.coursework.grading import Wrong

SAVE = """
def save_bundle(path, arrays, info):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new.", dir=path.parent))
    try:
        for name, array in arrays.items():
            np.save(scratch / f"{name}.npy", array, allow_pickle=False)
        files = {f.name: checksum(f) for f in scratch.iterdir()}
        (scratch / "bundle.json").write_text(json.dumps({"files": files, "info": info}), encoding="utf-8")
        shutil.rmtree(path, ignore_errors=True)
        os.replace(scratch, path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
"""

LOAD = """
def load_bundle(path):
    path = Path(path)
    try:
        header = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
        files, info = header["files"], header["info"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BundleError("bundle.json cannot be read") from None
    if {f.name for f in path.iterdir()} - {"bundle.json"} != set(files):
        raise BundleError("missing or too much")
    for name in files:
        if checksum(path / name) != files[name]:
            raise BundleError(name)
    return {name[:-4]: np.load(path / name, allow_pickle=False) for name in files}, info
"""

PROBES = """
def fewest_probes(vectors, centres, queries, exact, goal):
    for n_probes in range(1, len(centres) + 1):
        if mean_recall(cell_search(vectors, centres, queries, exact.shape[1], n_probes)[0], exact) >= goal:
            return n_probes
"""

APP = """
def create_app(engine, store, max_k=50, max_body=10_000):
    app = FastAPI()

    async def event(request: Request):
        body = await request.body()
        if len(body) > max_body:
            raise HTTPException(413, "too large")
        try:
            told = json.loads(body)
            given = [told[name] for name in ("user", "item", "id")]
        except (ValueError, TypeError, KeyError):
            given = [None]
        if not all(isinstance(text, str) and text for text in given):
            raise HTTPException(422, "give user, item and id")
        return given

    @app.get("/health")
    def health():
        return {"status": "ok"}

    @app.get("/recommend/{user}")
    def recommend(user: str, k: int = Query(10, ge=1, le=max_k)):
        popular = {"user": user, "items": engine.popular(k), "how": "popularity", "fallback": False}
        if not engine.knows(user):
            return popular
        try:
            return {"user": user, "items": engine.recommend(user, k), "how": "model", "fallback": False}
        except Exception as error:
            return popular | {"fallback": True}

    @app.post("/feedback", status_code=201)
    def feedback(given=Depends(event)):
        try:
            return {"new": store.add(*given)}
        except Exception as error:
            raise HTTPException(503, "not kept") from None

    return app
"""

STORE = """
class EventStore:
    def __init__(self, path):
        self.lock = threading.Lock()
        self.connection = sqlite3.connect(path, check_same_thread=False)
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS events "
            "(number INTEGER PRIMARY KEY, id TEXT UNIQUE, user TEXT, item TEXT)")
        self.connection.commit()

    def add(self, user, item, event_id):
        command = "INSERT OR IGNORE INTO events (id, user, item) VALUES (?, ?, ?)"
        with self.lock:
            new = self.connection.execute(command, (event_id, user, item)).rowcount == 1
            self.connection.commit()
            return new

    def of_user(self, user):
        with self.lock:
            rows = self.connection.execute("SELECT item FROM events WHERE user = ? ORDER BY number", (user,))
            return [item for (item,) in rows.fetchall()]

    def close(self):
        with self.lock:
            self.connection.close()
"""

HOLDER = """
class Holder:
    def __init__(self, model, titles):
        self.current = (model, titles)

    def recommend(self, user, k):
        model, titles = self.current
        return [titles[i] for i in np.argsort(-model.scores(user), kind="stable")[:k]]

    def swap(self, model, titles):
        trial = np.asarray(model.scores("trial"))
        if trial.shape != (len(titles),) or not np.isfinite(trial).all():
            raise ValueError("refused")
        self.current = (model, titles)
"""

LATENCY = """
def latency(ask, requests, warm_up=20, clock=time.perf_counter):
    times, errors = [], 0
    for request in list(requests)[:warm_up]:
        try:
            ask(request)
        except Exception:
            pass
    for request in list(requests)[warm_up:]:
        begin = clock()
        try:
            ask(request)
            times.append(1000 * (clock() - begin))
        except Exception:
            errors += 1
    return {"n": len(times), "errors": errors, "p50": np.quantile(times, 0.5), "p99": np.quantile(times, 0.99)}
"""

STABILITY = """
def stability(expected, observed, bins=10):
    edges = np.unique(np.quantile(expected, np.arange(1, bins) / bins))
    counts = [np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
              for values in (expected, observed)]
    before, today = (np.maximum(c, 0.5) / np.maximum(c, 0.5).sum() for c in counts)
    return float(((today - before) * np.log(today / before)).sum())
"""


def changed(source: str, *pairs: tuple[str, str]) -> str:
    """A right answer with a mistake in it; each piece must be there."""
    for old, new in pairs:
        if old not in source:
            raise ValueError(f"{old!r} is not in the answer")
        source = source.replace(old, new)
    return source


WRONG = [
    Wrong(
        1, "the checksum is computed, and not compared",
        SAVE + changed(LOAD, ("if checksum(path / name) != files[name]:\n            raise BundleError(name)",
                              "checksum(path / name)")),
        "believed it",
    ),
    Wrong(
        1, "the bundle is written in place",
        changed(SAVE, ('scratch = Path(tempfile.mkdtemp(prefix=".new.", dir=path.parent))',
                       "scratch = path\n    shutil.rmtree(path, ignore_errors=True)\n    path.mkdir()"),
                ("        shutil.rmtree(path, ignore_errors=True)\n        os.replace(scratch, path)\n", "")) + LOAD,
        "cannot be read any more",
    ),
    Wrong(
        1, "Python objects are pickled",
        changed(SAVE + LOAD, ("allow_pickle=False", "allow_pickle=True")),
        "array of Python objects",
    ),
    Wrong(
        2, "lists are compared place by place",
        '''
def exact_search(vectors, queries, k):
    return np.argsort(-(queries @ vectors.T), axis=1)[:, :k]

def recall(found, exact):
    return float((found == exact).mean())
''',
        "place by place",
    ),
    Wrong(
        3, "places within the cell instead of codes",
        '''
def cell_search(vectors, centres, queries, k, n_probes):
    cell = (vectors @ centres.T).argmax(axis=1)
    items, compared = np.full((len(queries), k), -1), 0
    for row, query in enumerate(queries):
        inside = np.flatnonzero(np.isin(cell, np.argsort(-(centres @ query))[:n_probes]))
        best = np.argsort(-(vectors[inside] @ query))[:k]
        items[row, : len(best)] = best
        compared += len(inside)
    return items, compared / len(queries)
''',
        "places within the cell",
    ),
    Wrong(
        4, "filters after the list is cut",
        '''
def top_k(scores, k, seen, items, category=None):
    allowed = items["available"].to_numpy(bool) & ~np.isnan(scores)
    if category is not None:
        allowed &= (items["category"] == category).to_numpy()
    allowed[seen] = False
    best = np.argsort(-scores, kind="stable")[:k]
    return best[allowed[best]]
''',
        "filter before you cut",
    ),
    Wrong(
        4, "ranks what is forbidden last, and shows it when the list is short",
        '''
def top_k(scores, k, seen, items, category=None):
    scores = np.where(items["available"], scores, -np.inf)
    if category is not None:
        scores = np.where(items["category"] == category, scores, -np.inf)
    scores[seen] = -np.inf
    return np.argsort(-scores, kind="stable")[:k]
''',
        "still has a place in the order",
    ),
    Wrong(
        5, "commits after the answer",
        changed(STORE, ("            self.connection.commit()\n            return new",
                        "            self.waiting = getattr(self, 'waiting', 0) + 1\n"
                        "            if self.waiting % 10 == 0:\n                self.connection.commit()\n"
                        "            return new"),
                ("self.connection.close()", "self.connection.commit()\n            self.connection.close()")),
        "commit before you return",
    ),
    Wrong(
        5, "counts an event twice",
        changed(STORE, ("id TEXT UNIQUE", "id TEXT")),
        "counted 2 times",
    ),
    Wrong(
        5, "remembers ids in memory only",
        changed(STORE, ("id TEXT UNIQUE", "id TEXT"),
                ("        with self.lock:\n            new =", "        self.ids = getattr(self, 'ids', set())\n"
                 "        with self.lock:\n            if event_id in self.ids:\n                return False\n"
                 "            self.ids.add(event_id)\n            new =")),
        "closed and opened again",
    ),
    Wrong(
        5, "one thread only",
        changed(STORE, (", check_same_thread=False", "")),
        "check_same_thread",
    ),
    Wrong(
        6, "sends the text of the exception",
        changed(APP, ('{"fallback": True}', '{"fallback": True, "error": str(error)}')),
        "text of its exception was sent",
    ),
    Wrong(
        6, "acknowledges before the store has the event",
        changed(APP, ('''        try:
            return {"new": store.add(*given)}
        except Exception as error:
            raise HTTPException(503, "not kept") from None
''', '''        try:
            return {"new": store.add(*given)}
        except Exception as error:
            log.exception("not kept")
            return {"new": False}
''')),
        "before you answer",
    ),
    Wrong(
        6, "no limit for the body",
        changed(APP, ("if len(body) > max_body:", "if len(body) > 10 ** 9:")),
        "413",
    ),
    Wrong(
        6, "a KeyError is taken for an unknown person",
        changed(APP, ("        if not engine.knows(user):\n            return popular\n", ""),
                ("        except Exception as error:\n            return popular |",
                 "        except KeyError:\n            return popular\n"
                 "        except Exception as error:\n            return popular |")),
        r"knows\(user\) first",
    ),
    Wrong(
        7, "model and titles are exchanged one after the other",
        '''
class Holder:
    def __init__(self, model, titles):
        self.model, self.titles = model, titles

    def recommend(self, user, k):
        best = np.argsort(-self.model.scores(user), kind="stable")[:k]
        return [self.titles[i] for i in best]

    def swap(self, model, titles):
        trial = np.asarray(model.scores("trial"))
        if trial.shape != (len(titles),) or not np.isfinite(trial).all():
            raise ValueError("refused")
        self.model, self.titles = model, titles
''',
        "in one object",
    ),
    Wrong(
        7, "one lock around everything",
        changed(HOLDER, ("        self.current = (model, titles)\n\n    def recommend",
                         "        self.current, self.lock = (model, titles), threading.Lock()\n\n    def recommend"),
                ("        return [titles[i]", "        with self.lock:\n            return [titles[i]")),
        "a request waits until another has ended",
    ),
    Wrong(
        7, "takes up any model",
        changed(HOLDER, ('        trial = np.asarray(model.scores("trial"))\n', ""),
                ("        if trial.shape != (len(titles),) or not np.isfinite(trial).all():\n"
                 '            raise ValueError("refused")\n', "")),
        "was taken up",
    ),
    Wrong(
        8, "empty classes make it infinite",
        changed(STABILITY, ("before, today = (np.maximum(c, 0.5) / np.maximum(c, 0.5).sum() for c in counts)",
                            "before, today = (c / c.sum() for c in counts)")),
        "not finite",
    ),
    Wrong(
        8, "drops what lies outside the old range",
        changed(STABILITY, ("    counts = [", "    expected, observed = np.asarray(expected), np.asarray(observed)\n"
                            "    observed = observed[(observed >= expected.min()) & (observed <= expected.max())]\n"
                            "    counts = [")),
        "have no end",
    ),
    Wrong(
        9, "reports the mean",
        changed(LATENCY, ('"p50": np.quantile(times, 0.5)', '"p50": np.mean(times)')),
        "that is the mean",
    ),
    Wrong(
        9, "the warming up is in the figures",
        changed(LATENCY, ("[:warm_up]:", "[:0]:"), ("[warm_up:]", "")),
        "warming up",
    ),
]  # fmt: skip
