"""The service under load: latency, start, hostile requests, killed processes; and an index of a million items.

    python benchmarks/serving.py load start hostile schema kill index

``load``: `/recommend` for the stamps, requests at a fixed rate whether or not earlier ones are answered, each timed
from when it was due. ``start``: from the command to the first answer. ``hostile``: malformed requests of many kinds; no
500, no stack trace, no growth of memory. ``schema``: requests that schemathesis derives from the service's own
description, half of them against it; every answer must be as described. ``kill``: SIGKILL while feedback is written;
nothing acknowledged is lost. ``index``: recall and latency of HNSW for 1,000,000 vectors of 64 dimensions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

import mmrec_lib as mm


# -- a service to ask ------------------------------------------------------------------------------------------------
def stamps_bundle(folder: Path) -> Path:
    """EASE on the stamps with texts and pictures."""
    data = mm.datasets.load("stamps")
    encoders = {"text": mm.encoders.create("minilm"), "image": mm.encoders.create("efficientnet-lite0")}
    features = mm.encoders.encode(data, encoders)
    model = mm.models.create("ease", l2=100.0).fit(data.interactions)
    bundle = mm.serving.Bundle.of(model, data, features, encoders)
    (folder / "mmrec.yml").write_text("catalogue: stamps\n")
    return bundle.save(folder / "bundle")


class Server:
    """``mmrec serve`` as a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.url = folder, f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "mmrec_lib.cli", "serve", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=1):
                break
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stderr.read().decode())
            time.sleep(0.01)
        self.seconds_to_start = time.perf_counter() - begin
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self.process.terminate()
        self.process.wait(20)

    def kilobytes(self) -> int:
        """Memory of the process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise RuntimeError("no VmRSS")


# -- load ------------------------------------------------------------------------------------------------------------
async def _worker(port: int, queue: asyncio.Queue, seconds: list[float], status: Counter) -> None:
    reader = writer = None
    while True:
        due, path = await queue.get()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length"))
            await reader.readexactly(length)
            status[int(head.split()[1])] += 1
        except (OSError, asyncio.IncompleteReadError):
            status["broken"] += 1
            writer = None
        seconds.append(time.perf_counter() - due)
        queue.task_done()


async def _load(port: int, paths: list[str], rate: float, workers: int = 32) -> tuple[np.ndarray, Counter]:
    queue, seconds, status = asyncio.Queue(), [], Counter()
    tasks = [asyncio.create_task(_worker(port, queue, seconds, status)) for _ in range(workers)]
    begin = time.perf_counter()
    for number, path in enumerate(paths):
        due = begin + number / rate
        await asyncio.sleep(max(0, due - time.perf_counter()))
        queue.put_nowait((due, path))
    await queue.join()
    for task in tasks:
        task.cancel()
    return np.array(seconds), status


def load(folder: Path, rate: float = 100, seconds: float = 60) -> None:
    """Latency of `/recommend` at a fixed rate."""
    rng, n = np.random.default_rng(0), int(rate * seconds)
    paths = [f"/recommend/u{user:04d}?k=20" for user in rng.integers(2000, size=n)]
    with Server(folder) as server:
        time.sleep(10)  # the encoders are loaded beside the first answers, which then take up to a second
        asyncio.run(_load(server.port, paths[:200], rate))
        times, status = asyncio.run(_load(server.port, paths, rate))
    p50, p99 = np.quantile(times, [0.5, 0.99]) * 1000
    print(f"load: {n:,} requests at {rate:g}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, status {dict(status)}")


def start(folder: Path) -> None:
    """Seconds from the command to the first answer."""
    times = []
    for _ in range(3):
        with Server(folder) as server:
            times.append(server.seconds_to_start)
    print(f"start: {min(times):.1f} to {max(times):.1f} s")


# -- hostile requests ------------------------------------------------------------------------------------------------
_TEXTS = ["", "\0", "é" * 300, "../../etc/passwd", "<script>", "' OR 1=1 --", "%00", "𝄞", "\u202e", "NaN", "-1",
          "1e999", "[" * 5000, "null", "{}", "a" * 20_000]  # fmt: skip


def _value(rng: random.Random, depth: int = 0):
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rng.choice(_TEXTS)
    if kind == 1:
        return rng.choice([0, -1, 2**70, 1e308, 0.5, True, None])
    if kind in (2, 3, 4):
        return rng.choice(["i1", "u1", "click", "like", 20])
    if kind == 5:
        return [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = ["events", "user", "item", "kind", "k", "history", "where", "exclude", "diversity", rng.choice(_TEXTS)]
    return {rng.choice(keys): _value(rng, depth + 1) for _ in range(rng.randrange(5))}


def _hostile(rng: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    """Method, path, headers, body."""
    from urllib.parse import quote

    names = ["recommend", "similar", "search", "items", "media", "explain", "feedback", "reload", "health", "users"]
    path = "/" + "/".join([rng.choice(names), *(quote(rng.choice(_TEXTS), safe="") for _ in range(rng.randrange(3)))])
    if rng.random() < 0.5:
        pairs = [f"{rng.choice(['k', 'q', 'where', 'diversity', 'language'])}={quote(rng.choice(_TEXTS))}"
                 for _ in range(rng.randrange(1, 4))]  # fmt: skip
        path += "?" + "&".join(pairs)
    method = rng.choice(["GET", "POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    headers, body = {}, b""
    if method not in ("GET", "HEAD"):
        form = rng.randrange(4)
        if form == 0:
            body, headers["Content-Type"] = rng.randbytes(rng.randrange(2000)), "application/json"
        elif form == 1:
            body = json.dumps(_value(rng)).encode("utf-8", "surrogatepass")
            headers["Content-Type"] = "application/json"
        elif form == 2:
            edge = "x" * rng.randrange(1, 60)
            part = f'--{edge}\r\nContent-Disposition: form-data; name="{rng.choice(["id", "image", "file", "text"])}"'
            body = f'{part}; filename="a.png"\r\n\r\n'.encode() + rng.randbytes(500) + f"\r\n--{edge}--".encode()
            headers["Content-Type"] = f"multipart/form-data; boundary={edge}"
        else:
            body, headers["Content-Type"] = rng.choice(_TEXTS).encode(), rng.choice(["text/plain", "a/b; c", "é"])
        if rng.random() < 0.05:
            headers["Content-Length"] = rng.choice(["-1", "9" * 30, "x"])
    return method, path[:8000], headers, body


def hostile(folder: Path, n: int = 10_000) -> None:
    """Malformed requests: what comes back, and how much memory is gone."""
    rng, status, traces = random.Random(0), Counter(), 0
    with Server(folder) as server:
        _raw(server.port, "GET", "/search?q=bird", {}, b"")  # the encoders are loaded, once
        time.sleep(10)
        for number in range(n):
            if number == n // 5:
                before = server.kilobytes()
            method, path, headers, body = _hostile(rng)
            answer = _raw(server.port, method, path, headers, body)
            status[answer[:12].decode("latin-1").partition(" ")[2] or "closed"] += 1
            traces += b"Traceback" in answer or b'File "' in answer
        grown = server.kilobytes() - before
        alive = urllib.request.urlopen(f"{server.url}/health", timeout=5).status
    print(f"hostile: {n:,} requests, status {dict(sorted(status.items()))}, stack traces {traces}, "
          f"memory after the first fifth {grown / 1024:+.1f} MiB, health {alive}")  # fmt: skip


def _raw(port: int, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in ({"Content-Length": str(len(body))} | headers).items()]
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, contextlib.suppress(OSError):
        connection.sendall("\r\n".join([*lines, "", ""]).encode("utf-8") + body)
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


# -- killed while writing --------------------------------------------------------------------------------------------
def kill(folder: Path, tries: int = 20) -> None:
    """Feedback is sent, the process is killed; what was acknowledged must be there."""
    lost = acknowledged = 0
    events = folder / "events.sqlite"
    for number in range(tries):
        with Server(folder) as server:
            with urllib.request.urlopen(f"{server.url}/popular?k=1", timeout=20) as answer:
                item = json.load(answer)["items"][0]["item"]
            done, stop = [], threading.Event()
            names = [f"{number}-{thread}" for thread in range(4)]
            threads = [threading.Thread(target=_send, args=(server.url, item, name, done, stop)) for name in names]
            [t.start() for t in threads]
            time.sleep(0.3 + 0.05 * number)
            server.process.send_signal(signal.SIGKILL)
            stop.set()
            [t.join() for t in threads]
        kept = set(mm.serving.SQLiteStore(events).all_events()["user"])
        lost += len(set(done) - kept)
        acknowledged += len(done)
    print(f"kill: {tries} tries, {acknowledged:,} events acknowledged, {lost} lost")


def _send(url: str, item: str, name: str, done: list[str], stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        user, number = f"{name}-{number}", number + 1
        body = json.dumps({"events": [{"user": user, "item": item}]}).encode()
        request = urllib.request.Request(f"{url}/feedback", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if answer.status == 201:
                    done.append(user)
        except (urllib.error.URLError, OSError):
            return


# -- a million items -------------------------------------------------------------------------------------------------
def schema(folder: Path, n: int = 10_000) -> None:
    """Requests from the description of the service, right ones and wrong ones; is every answer as described?"""
    import requests
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis import GenerationMode, checks
    from schemathesis.specs.openapi import checks as described

    wanted = (
        checks.not_a_server_error, described.status_code_conformance, described.content_type_conformance,
        described.response_schema_conformance, described.negative_data_rejection,
    )  # fmt: skip
    status, traces = Counter(), 0
    with Server(folder) as server:
        _raw(server.port, "GET", "/search?q=bird", {}, b"")  # the encoders are loaded, once
        time.sleep(10)
        operations = list(schemathesis.openapi.from_url(f"{server.url}/openapi.json").get_all_operations())
        for operation in (found.ok() for found in operations):
            right, wrong = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

            @given(case=right | wrong)
            @settings(max_examples=n // len(operations) + 1, deadline=None, database=None, derandomize=True,
                      suppress_health_check=list(HealthCheck))  # fmt: skip
            def ask(case):
                nonlocal traces
                try:
                    answer = case.call(timeout=20)
                except requests.exceptions.RequestException:
                    status["closed"] += 1
                    assert len(case.as_curl_command()) > 2**15, "only requests that are too long may be cut off"
                    return
                status[answer.status_code] += 1
                traces += "Traceback" in answer.text
                case.validate_response(answer, checks=wanted)

            ask()
    print(f"schema: {sum(status.values()):,} requests to {len(operations)} operations, status "
          f"{dict(sorted(status.items(), key=str))}, stack traces {traces}, every answer as described")  # fmt: skip


def index(n: int = 1_000_000, dim: int = 64) -> None:
    """Recall@20 and latency of HNSW, one query at a time; vectors in clusters, as those of items are."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, dim))
    vectors = (centres[rng.integers(1000, size=n)] + 0.7 * rng.normal(size=(n, dim))).astype(np.float32)
    queries = (centres[rng.integers(1000, size=500)] + 0.7 * rng.normal(size=(500, dim))).astype(np.float32)
    exact = mm.serving.create_index("flat").build(vectors).search(queries, 20)[0]
    begin = time.perf_counter()
    graph = mm.serving.create_index("hnsw").build(vectors)
    built = time.perf_counter() - begin
    for breadth in (64, 128, 256, 512):
        graph.breadth = breadth
        times, found = [], []
        for query in queries:
            begin = time.perf_counter()
            found.append(graph.search(query, 20)[0][0])
            times.append(time.perf_counter() - begin)
        from mmrec_lib.serving.index import recall

        p99 = np.quantile(times, 0.99) * 1000
        print(f"index: {n:,} x {dim}, built in {built:.0f} s, breadth {breadth}: "
              f"recall@20 {recall(np.array(found), exact):.3f}, p99 {p99:.1f} ms", flush=True)  # fmt: skip


def main() -> None:
    """Run the named parts."""
    parts = {"load": load, "start": start, "hostile": hostile, "schema": schema, "kill": kill}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*parts, "index"])
    wanted = parser.parse_args().parts
    os.environ.setdefault("OMP_NUM_THREADS", "2" if "index" in wanted else "1")
    if "index" in wanted:
        index()
    if set(wanted) & set(parts):
        with tempfile.TemporaryDirectory() as folder:
            stamps_bundle(Path(folder))
            for name in wanted:
                if name in parts:
                    parts[name](Path(folder))


if __name__ == "__main__":
    main()
