"""The HTTP service: a bundle behind FastAPI, with limits, a page to try it, and figures for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from ..checks import above, whole
from ..datasets.download import sha256_of
from ..errors import (
    BundleError,
    DataError,
    MissingPackageError,
    MMRecError,
    StoreError,
    UnknownItemError,
    UnknownUserError,
)
from .bundle import load_bundle
from .engine import Answer, Engine
from .events import KINDS, Event, EventStore, SQLiteStore
from .monitoring import Change, ListMonitor

try:
    from fastapi import Body, FastAPI, File, Form, Query, Request, UploadFile
    from fastapi import Path as InPath
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
except ImportError as error:
    raise MissingPackageError(error.name or "fastapi", "the service", "serve") from None

log = logging.getLogger("mmrec.serving")


@dataclass(frozen=True)
class Settings:
    """How the service behaves; see :func:`create_app`."""

    api_key: str | None = None
    timeout: float = 5.0
    max_body: int = 10 * 2**20
    max_k: int = 200
    max_events: int = 1000
    max_new_items: int = 10_000
    watch: float = 2.0
    lists: int = 1000
    category: str = "category"
    look: float = 5.0
    alert_file: str | Path | None = None

    def __post_init__(self) -> None:
        above("timeout", self.timeout, 0)
        for name in ("max_body", "max_k", "max_events", "lists"):
            whole(name, getattr(self, name))
        whole("max_new_items", self.max_new_items, least=0)


# -- what comes in ---------------------------------------------------------------------------------------------------
def _plain_text(text: str) -> str:
    """Refuse what no store and no log can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no text") from None
    if "\x00" in text:
        raise ValueError("a zero byte is no text")
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_plain_text)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_plain_text)]
InUrl = Annotated[str, InPath(min_length=1, max_length=256), AfterValidator(_plain_text)]
K = Annotated[int, Query(ge=1, le=10_000, description="length of the list")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)  # true is no number, "20" is no k


class AskedFor(_Strict):
    """Recommendations for somebody who is known by a history."""

    user: Id | None = None
    history: list[Id] = Field(default_factory=list, max_length=1000, description="ids of things that the person likes")
    k: int = Field(20, ge=1, le=10_000)
    where: dict[Id, list[Id] | Id] = Field(default_factory=dict, description="column of the items to its values")
    exclude: list[Id] = Field(default_factory=list, max_length=10_000)
    exclude_seen: bool = True
    diversity: Share = 0.0


class Happened(_Strict):
    """One thing that one person did. ``request`` makes it safe to send it twice."""

    user: Id
    item: Id
    kind: str = Field("click", pattern=f"^({'|'.join(KINDS)})$")
    value: float | None = Field(None, ge=-1e6, le=1e6, allow_inf_nan=False)
    time: float | None = Field(None, ge=0, le=1e11, allow_inf_nan=False, description="seconds since 1970")
    request: Id | None = None


class Feedback(_Strict):
    """Several events, kept together or not at all."""

    events: list[Happened] = Field(min_length=1)


# -- what goes out when something is wrong ---------------------------------------------------------------------------
class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    where: list[str]
    what: str


class Refused(BaseModel):
    """Why there is no answer."""

    detail: str | list[Wrong]


_REFUSALS = {
    400: "not a request", 401: "the header X-API-Key is missing or wrong", 404: "no such thing", 413: "too large",
    422: "something in the request is wrong", 503: "a part does not work now", 504: "it took too long",
}  # fmt: skip
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused, "description": text} for status, text in _REFUSALS.items()
}


class Service:
    """The engine in use, and how it is exchanged for another while requests run."""

    def __init__(
        self, path: Path, store: EventStore, settings: Settings, on_change: Callable[[Change], None] | None = None
    ) -> None:
        self.path, self.store, self.settings = Path(path), store, settings
        self._lock, self._adding = threading.Lock(), threading.Lock()
        self.started = time.time()
        self.engine, self._on_change = Engine(load_bundle(self.path), store), on_change
        self.monitor = ListMonitor(
            len(self.engine.item_ids), settings.lists, category=self._labels(self.engine, settings.category),
            reference=self.engine.bundle.info.get("reference"), first=settings.lists,
            least=max(settings.lists // 5, 1), on_change=self._changed,
        )  # fmt: skip

    @staticmethod
    def _labels(engine: Engine, column: str) -> Callable[[str], str | None]:
        """From the id of an item to its entry in a column; None where there is none."""
        items = engine.bundle.items
        known = dict(zip(engine.item_ids, items[column].tolist(), strict=False)) if column in items else {}

        def label(item: str) -> str | None:
            code = engine.item_codes.get(item, -1)
            return known.get(item) if code < engine.n_known else engine.columns[code - engine.n_known].get(column)

        return label

    def _changed(self, change: Change) -> None:
        try:
            if self._on_change is not None:
                self._on_change(change)
        finally:
            if self.settings.alert_file is not None:
                change.append_to(self.settings.alert_file)

    async def look(self) -> None:
        """Compare the last lists with the reference every few seconds, in a thread of its own."""
        seen = 0
        while True:
            await asyncio.sleep(self.settings.look)
            if self.monitor.added != seen:
                seen = self.monitor.added
                await asyncio.to_thread(self.monitor.check)

    def reload(self) -> bool:
        """Take up the bundle anew if it has changed; requests that run go on with the old one. Returns whether."""
        with self._lock:
            try:
                if sha256_of(self.path / "bundle.json") == self.engine.bundle.info["checksum"]:
                    return False
            except FileNotFoundError:  # between the two renames of a bundle that is being replaced
                raise BundleError(f"{self.path} holds no bundle now; ask again") from None
            engine = Engine(load_bundle(self.path), self.store)
            with self._adding:
                engine.catch_up()  # what came while the bundle was read
                self.engine = engine
            labels = self._labels(engine, self.settings.category)
            self.monitor.restart(len(engine.item_ids), labels, engine.bundle.info.get("reference"))
            return True

    def add_item(self, item: str, columns: dict, media: dict[str, str | Path]) -> list[str]:
        """:meth:`Engine.add_item`, never to an engine that is just being replaced."""
        with self._adding:
            return self.engine.add_item(item, columns, media)

    async def watch(self) -> None:
        """Look every few seconds whether there is a new bundle; a damaged one is logged and left."""
        while True:
            await asyncio.sleep(self.settings.watch)
            try:
                if await asyncio.to_thread(self.reload):
                    log.info("took up the new bundle %s", self.engine.bundle.info.get("created"))
            except (MMRecError, OSError) as error:
                log.warning("the new bundle is not taken up: %s", error)


def create_app(
    bundle,
    store: EventStore | str | Path | None = None,
    settings: Settings | None = None,
    on_change: Callable[[Change], None] | None = None,
) -> FastAPI:
    """The service as an ASGI application, for ``uvicorn`` or any other server.

    Parameters
    ----------
    bundle : path
        Folder that :meth:`Bundle.save` wrote. When another bundle is put in its place, it is taken up without a
        dropped request.
    store : EventStore or path, optional
        Where events and added things are kept. Default: ``events.sqlite`` beside the bundle.
    settings : Settings, optional
        ``api_key``: asked for in the header ``X-API-Key``, except by ``/``, ``/health`` and ``/media``. ``timeout``:
        seconds until a request is given up (504). ``max_body``: bytes. ``max_k``, ``max_events``, ``max_new_items``:
        counts. ``watch``: seconds between looks for a new bundle, 0 for none. ``lists``: how many of the last lists
        are watched, and how many make the reference where the bundle has none (``reference`` in its ``info``, see
        :meth:`ListMonitor.summary`). ``category``: column of the items whose shares are watched. ``look``: seconds
        between looks at the lists, 0 for none but those of ``/metrics``. ``alert_file``: gets a line of JSON when the
        state of the lists changes.
    on_change : function, optional
        Called with a :class:`~mmrec_lib.serving.monitoring.Change` when the state of the lists changes (a webhook,
        say), in a thread of its own; once a change.

    Raises
    ------
    BundleError, StoreError
    """
    settings = settings or Settings()
    path = Path(bundle)
    if store is None or isinstance(store, (str, Path)):
        store = SQLiteStore(store or path.with_name("events.sqlite"))
    service, figures = Service(path, store, settings, on_change), Figures()

    @contextlib.asynccontextmanager
    async def life(app: FastAPI):
        tasks = [asyncio.create_task(asyncio.to_thread(service.engine.warm_up))]  # it answers meanwhile
        if settings.watch:
            tasks.append(asyncio.create_task(service.watch()))
        if settings.look:
            tasks.append(asyncio.create_task(service.look()))
        yield
        for task in tasks:
            task.cancel()
        store.close()

    app = FastAPI(
        title="mmrec",
        summary="Recommendations from clicks and content",
        lifespan=life,
        docs_url="/docs",
        responses=RESPONSES,
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(Guard, settings=settings, figures=figures)
    _errors(app)
    _routes(app, service, figures, settings)
    return app


# -- routes ----------------------------------------------------------------------------------------------------------
# Ids may hold slashes (":path"); servers decode %2F before they look for the route.
def _routes(app: FastAPI, service: Service, figures: Figures, settings: Settings) -> None:
    def within(k: int) -> int:
        if not 1 <= k <= settings.max_k:
            raise DataError(f"k={k}: from 1 to {settings.max_k}")
        return k

    def told(answer: Answer) -> dict:
        figures.lists.labels(answer.how).inc()
        if answer.fallback:
            figures.fallbacks.inc()
            log.error("fell back to popularity: %s", "; ".join(answer.notes))
        return answer.as_dict()

    def watched(answer: Answer) -> dict:
        service.monitor.add(answer)
        return told(answer)

    @app.get("/recommend/{user:path}", tags=["recommend"])
    def recommend(
        user: InUrl, k: K = 20, diversity: Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)] = 0.0,
        where: Annotated[list[Text] | None, Query(max_length=20, description="column:value")] = None,
        exclude_seen: bool = True,
    ) -> dict[str, Any]:  # fmt: skip
        """The best things for a user; somebody unknown gets what suits the events so far, or what is popular."""
        chosen: dict[str, list[str]] = {}
        for pair in where or []:
            column, colon, value = pair.partition(":")
            if not colon:
                raise DataError(f"where={pair!r}: give column:value")
            chosen.setdefault(column, []).append(value)
        return watched(
            service.engine.recommend(user, within(k), where=chosen, exclude_seen=exclude_seen, diversity=diversity)
        )

    @app.post("/recommend", tags=["recommend"])
    def recommend_for(asked: AskedFor) -> dict[str, Any]:
        """The best things for somebody who is known by a history alone; nothing of it is kept."""
        return watched(
            service.engine.recommend(
                asked.user, within(asked.k), history=asked.history, where=asked.where, exclude=asked.exclude,
                exclude_seen=asked.exclude_seen, diversity=asked.diversity,
            )
        )  # fmt: skip

    @app.get("/similar/{item:path}", tags=["find"])
    def similar(item: InUrl, k: K = 20) -> dict[str, Any]:
        """Things like this one."""
        return told(service.engine.similar(item, within(k)))

    @app.get("/search", tags=["find"])
    def search(q: Annotated[Text, Query(description="words")], k: K = 20) -> dict[str, Any]:
        """Things whose text is near to some words."""
        return told(service.engine.search(q, "text", within(k)))

    @app.post("/search", tags=["find"])
    def search_by_file(
        file: Annotated[UploadFile, File()], modality: Annotated[Id, Form()] = "image", k: Annotated[int, Form()] = 20
    ) -> dict[str, Any]:
        """Things that look or sound like a file."""
        within(k)
        with _as_file(file, modality) as saved:
            return told(service.engine.search(saved, modality, k))

    @app.post("/items", status_code=201, tags=["change"])
    def add_item(
        id: Annotated[Id, Form()], columns: Annotated[Text, Form(description="JSON object")] = "{}",
        text: Annotated[Text | None, Form()] = None, image: Annotated[UploadFile | None, File()] = None,
        audio: Annotated[UploadFile | None, File()] = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Add a thing with its media; it is recommended at once."""
        if len(service.engine.columns) >= settings.max_new_items:
            raise DataError(f"there are {settings.max_new_items} new things: train a new bundle first")
        kept: dict[str, str | Path] = {} if text is None else {"text": text}
        folder = _media_folder(service)
        for modality, upload in (("image", image), ("audio", audio)):
            if upload is not None:
                kept[modality] = _keep_upload(upload, modality, folder)
        near = service.add_item(id, _object(columns), kept)
        return {"item": id, "placed_by": near}

    @app.get("/items/{item:path}", tags=["find"])
    def item(item: InUrl) -> dict[str, Any]:
        """Columns of a thing, and which media it has."""
        engine, code = service.engine, service.engine.code(item)
        if code >= engine.n_known:
            columns = engine.columns[code - engine.n_known]
        else:
            columns = json.loads(engine.bundle.items.iloc[[code]].to_json(orient="records"))[0]
        return {"item": item, "title": engine.titles[code], "columns": columns, "media": engine.media_of(code)}

    @app.get("/media/{item:path}/{modality}", tags=["find"], include_in_schema=False)
    def medium(item: InUrl, modality: InUrl) -> Response:
        """Picture, sound or text of a thing."""
        entry = service.engine.medium(item, modality)
        if entry is None or (isinstance(entry, Path) and not entry.is_file()):
            raise UnknownItemError(f"item {item!r} has no {modality}")
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
        if isinstance(entry, Path):
            return FileResponse(entry, headers=headers)
        return PlainTextResponse(entry, headers=headers)

    @app.post("/feedback", status_code=201, tags=["change"])
    def feedback(sent: Annotated[Feedback, Body()]) -> dict[str, int]:
        """Keep what people did. When the answer comes it is on the disk."""
        if len(sent.events) > settings.max_events:
            raise DataError(f"{len(sent.events)} events: at most {settings.max_events} at once")
        kept = service.engine.feedback([Event(**event.model_dump()) for event in sent.events])
        figures.events.inc(kept)
        return {"kept": kept, "repeated": len(sent.events) - kept}

    @app.get("/explain/{user}/{item:path}", tags=["recommend"])
    def explain(
        user: InUrl, item: InUrl, language: Annotated[str, Query(pattern="^(en|zh)$")] = "en"
    ) -> dict[str, Any]:
        """Why this thing for this person."""
        return service.engine.explain(user, item, language)

    @app.get("/users", tags=["find"])
    def users(k: K = 20) -> list[str]:
        """Some ids of users, to try."""
        return list(service.engine.user_codes)[: within(k)]

    @app.get("/popular", tags=["find"])
    def popular(k: K = 20) -> dict[str, Any]:
        """What most people choose."""
        return told(service.engine.recommend(None, within(k)))

    @app.post("/reload", tags=["change"])
    def reload() -> dict[str, Any]:
        """Take up the bundle anew, if it has changed."""
        return {"changed": service.reload(), "bundle": service.engine.bundle.info}

    @app.get("/health", tags=["service"])
    def health() -> dict[str, Any]:
        """Is it alive, and with what?"""
        engine = service.engine
        info = {name: value for name, value in engine.bundle.info.items() if name != "reference"}
        return {
            "status": "ok", "bundle": info, "users": len(engine.user_codes),
            "items": len(engine.item_ids), "new_items": len(engine.columns),
            "seconds": round(time.time() - service.started, 1),
        }  # fmt: skip

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        """Figures for Prometheus."""
        figures.items.set(len(service.engine.item_ids))
        figures.watch(service.monitor)
        return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        """A page to try it."""
        return HTMLResponse((files("mmrec_lib.serving") / "page.html").read_text(encoding="utf-8"))


def _object(text: str) -> dict:
    try:
        columns = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError('columns: give a JSON object, such as {"title": "Robin"}') from None
    if not isinstance(columns, dict) or len(columns) > 100:
        raise DataError("columns: give a JSON object of at most 100 entries")
    if not all(v is None or isinstance(v, (str, int, float, bool)) for v in columns.values()):
        raise DataError("columns: values must be text, numbers, true, false or null")
    try:
        json.dumps(columns, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (UnicodeEncodeError, ValueError):
        raise DataError("columns: holds something that is neither text nor a finite number") from None
    return columns


# -- files that come in ----------------------------------------------------------------------------------------------
_ENDINGS = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"),
    "audio": (".wav", ".ogg", ".flac", ".mp3"),
}
_MOST_PIXELS = 40_000_000


def _ending(upload: UploadFile, modality: str) -> str:
    if modality not in _ENDINGS:
        raise DataError(f"modality={modality!r}: choose {' or '.join(_ENDINGS)}")
    ending = Path(upload.filename or "").suffix.lower()
    if ending not in _ENDINGS[modality]:
        raise DataError(
            f"the {modality} is called {(upload.filename or '')[:80]!r}: give {', '.join(_ENDINGS[modality])}"
        )
    return ending


@contextlib.contextmanager
def _as_file(upload: UploadFile, modality: str):
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mmrec-") as folder:
        yield _keep_upload(upload, modality, Path(folder))


def _keep_upload(upload: UploadFile, modality: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}{_ending(upload, modality)}"
    path.write_bytes(upload.file.read())
    if modality == "image":
        try:
            _check_picture(path)
        except DataError:
            path.unlink()
            raise
    return path


def _check_picture(path: Path) -> None:
    """A small file can hold a picture of a hundred gigabytes: look at its size before it is decoded."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            width, height = opened.size
    except Exception as error:  # Pillow raises whatever the damaged file makes its decoders raise
        raise DataError(f"the image cannot be read ({type(error).__name__})") from None
    if width * height > _MOST_PIXELS:
        raise DataError(f"the image has {width} x {height} pixels: at most {_MOST_PIXELS // 10**6} million")


def _media_folder(service: Service) -> Path:
    return service.path.with_name(f"{service.path.name}-media")


# -- errors, limits, figures -----------------------------------------------------------------------------------------
def _errors(app: FastAPI) -> None:
    """What is the caller's fault says so; what is ours says nothing but a number to look for in the log."""

    def answer(status: int, detail: Any) -> JSONResponse:
        return JSONResponse({"detail": detail}, status)

    @app.exception_handler(MMRecError)
    def known(request: Request, error: MMRecError) -> JSONResponse:
        if isinstance(error, (UnknownItemError, UnknownUserError)):
            return answer(404, str(error))
        if isinstance(error, StoreError):
            log.error("%s", error)
            return answer(503, "events cannot be kept now; send them again later")
        if isinstance(error, ValueError):
            return answer(422, str(error))
        log.exception("%s", error)
        return answer(503, "this part of the service does not work now")

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        short = [{"where": [str(part)[:80] for part in e["loc"]], "what": e["msg"][:200]} for e in error.errors()[:10]]
        return answer(422, short)


class Figures:
    """Counters and times, each app its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        edges = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)
        self.seconds = Histogram(
            "mmrec_request_seconds", "Time of a request", ["route", "status"], buckets=edges, registry=self.registry
        )
        self.lists = Counter("mmrec_lists", "Lists given, by how they came about", ["how"], registry=self.registry)
        self.fallbacks = Counter(
            "mmrec_fallbacks", "Lists of popular things because a part failed", registry=self.registry
        )
        self.events = Counter("mmrec_events", "Events kept", registry=self.registry)
        self.items = Gauge("mmrec_items", "Things that can be recommended", registry=self.registry)
        gauge = {
            "lists": Gauge("mmrec_watched_lists", "Lists in the window", registry=self.registry),
            "coverage": Gauge("mmrec_coverage", "Share of the things in the last lists", registry=self.registry),
            "gini": Gauge("mmrec_gini", "Gini index of exposure in the last lists", registry=self.registry),
            "fallbacks": Gauge("mmrec_fallback_share", "Share of fall-backs in the last lists", registry=self.registry),
        }
        shift = Gauge("mmrec_stability", "Stability index less chance", ["what"], registry=self.registry)
        gauge |= {name: shift.labels(name) for name in ("score", "category", "how")}
        self._watched, self.state = gauge, Gauge("mmrec_state", "0 ok, 1 watch, 2 alarm", registry=self.registry)

    def watch(self, monitor: ListMonitor) -> None:
        """Look at the last lists; what is not known yet is NaN."""
        found = monitor.check()
        for name, gauge in self._watched.items():
            gauge.set(found.get(name, float("nan")))
        self.state.set(monitor.state)


class Guard:
    """Asks for the key, bounds size and time of a request, and counts: plain ASGI, so that it costs little."""

    OPEN = ("/health", "/media/")

    def __init__(self, app: Callable, settings: Settings, figures: Figures) -> None:
        self.app, self.settings, self.figures = app, settings, figures

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, answer = time.perf_counter(), _Answer(send)
        try:
            problem = self._refused(scope) or await self._run(scope, receive, answer)
        except Exception:
            number = uuid.uuid4().hex[:12]
            log.exception("request %s failed", number)
            problem = 500, f"something went wrong here; it is in the log under {number}"
        if problem is not None and answer.status is None:
            await JSONResponse({"detail": problem[1]}, problem[0])(scope, receive, answer.send)
        route = getattr(scope.get("route"), "path_format", "other")
        self.figures.seconds.labels(route, str(answer.status)).observe(time.perf_counter() - begin)

    def _refused(self, scope) -> tuple[int, str] | None:
        headers = {name: value for name, value in scope["headers"] if name in (b"x-api-key", b"content-length")}
        key, path = self.settings.api_key, scope["path"]
        if key and path != "/" and not path.startswith(self.OPEN):
            given = headers.get(b"x-api-key", b"")
            if not hmac.compare_digest(given, key.encode()):
                return 401, "give the key in the header X-API-Key"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.settings.max_body:
            return 413, f"at most {self.settings.max_body} bytes"
        return None

    async def _run(self, scope, receive, answer: _Answer) -> tuple[int, str] | None:
        taken = 0

        async def bounded():
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.settings.max_body:
                answer.dropped = True  # what the application makes of the torn body
                raise _TooLargeError
            return message

        running = asyncio.ensure_future(self.app(scope, bounded, answer.send_unless_dropped))
        try:
            done, _ = await asyncio.wait({running}, timeout=self.settings.timeout)
        except asyncio.CancelledError:  # the server ends
            running.cancel()
            raise
        if not done:  # a thread cannot be stopped: it ends by itself, and nobody hears its answer
            answer.dropped = True
            running.add_done_callback(lambda task: task.cancelled() or task.exception())
            return 504, f"no answer within {self.settings.timeout:g} s"
        with contextlib.suppress(_TooLargeError):
            running.result()
        return (413, f"at most {self.settings.max_body} bytes") if answer.dropped else None


class _Answer:
    """What goes out: its status, and whether the application's own answer is dropped."""

    def __init__(self, send: Callable) -> None:
        self._send, self.status, self.dropped = send, None, False

    async def send(self, message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def send_unless_dropped(self, message) -> None:
        if not self.dropped:
            await self.send(message)


class _TooLargeError(Exception):
    """The body of a request is larger than allowed."""
