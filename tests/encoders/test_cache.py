"""Vectors that are kept: identical bit for bit after any interruption, shared by processes, never repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.encoders import FeatureCache
from mmrec_lib.encoders.cache import _HEAD

#: Imports once, then starts a process of its own for each run that is asked for: ``start`` prints its number, ``wait``
#: how it ended. A run encodes texts of mixed length with the real MiniLM; a pause lets a kill find it at work.
LAUNCHER = """
import json, os, sys, time
import numpy as np, torch, transformers
import mmrec_lib as mm

torch.set_num_threads(1)

def run(cache, out, n, pause):
    encoder = mm.encoders.create("minilm")
    plain = encoder._encode

    def slower(batch, device):
        time.sleep(pause)
        return plain(batch, device)

    encoder._encode = slower
    texts = [f"{'word ' * (1 + 7 * k % 11)}number {k}" for k in range(n)]
    result = encoder.run(texts, batch_size=4, device="cpu", cache=cache)
    np.save(out, result.vectors)
    with open(out + ".json", "w") as file:
        json.dump([result.n_encoded, result.n_cached], file)

if len(sys.argv) > 1:  # one run in this process, for torchrun
    run(sys.argv[1], sys.argv[2] + os.environ["RANK"], 40, 0)
else:
    for line in sys.stdin:
        command, *rest = json.loads(line)
        if command == "start":
            pid = os.fork()
            if pid == 0:
                try:
                    run(*rest)
                    os._exit(0)
                finally:
                    os._exit(1)
            print(pid, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(rest[0], 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def launcher():
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def ask(*command) -> int:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield ask
        process.stdin.close()


def start(launcher, cache: Path, out: Path, n: int, pause: float = 0.0) -> int:
    return launcher("start", str(cache), str(out), n, pause)


def finish(launcher, pid: int, out: Path) -> tuple[int, int]:
    """How many were encoded, and how many came from the cache."""
    assert launcher("wait", pid) == 0
    encoded, cached = json.loads(Path(f"{out}.json").read_text())
    return encoded, cached


def committed(cache: Path) -> int:
    """Number of vectors that a new process would find."""
    return len(FeatureCache(cache).open(mm.encoders.create("minilm")))


def test_run_killed_ten_times_ends_in_the_same_features(tmp_path, launcher):
    n, rng = 120, np.random.default_rng(0)
    cache, whole, killed = tmp_path / "killed", tmp_path / "whole.npy", tmp_path / "killed.npy"
    assert finish(launcher, start(launcher, tmp_path / "whole", whole, n), whole) == (n, 0)
    found = 0
    for _ in range(10):
        pid = start(launcher, cache, killed, n, pause=0.03)
        # at work: wait until this run itself has kept something new, then strike at a random moment
        deadline = time.monotonic() + 120
        while committed(cache) == found and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.06))
        os.kill(pid, signal.SIGKILL)
        assert launcher("wait", pid) == -signal.SIGKILL  # it was still at work
        assert found < committed(cache) < n  # what was finished is still there
        found = committed(cache)
    assert finish(launcher, start(launcher, cache, killed, n), killed) == (n - found, found)  # nothing twice
    assert killed.read_bytes() == whole.read_bytes()


def test_two_processes_share_a_cache(tmp_path, launcher):
    outs = [tmp_path / f"{i}.npy" for i in range(2)]
    pids = [start(launcher, tmp_path / "cache", out, 40, pause=0.02) for out in outs]
    for pid, out in zip(pids, outs, strict=True):
        finish(launcher, pid, out)
    assert committed(tmp_path / "cache") == 40  # each vector once
    alone = tmp_path / "alone.npy"
    finish(launcher, start(launcher, tmp_path / "alone", alone, 40), alone)
    assert outs[0].read_bytes() == outs[1].read_bytes() == alone.read_bytes()


def test_torchrun_divides_the_work(tmp_path, launcher):
    """Two processes over gloo: each encodes its share, both have everything."""
    program = tmp_path / "program.py"
    program.write_text(LAUNCHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    done = subprocess.run(
        [*command, str(tmp_path / "cache"), str(tmp_path / "rank")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == [40, 0]  # together 40, as both know
    alone = tmp_path / "alone.npy"
    finish(launcher, start(launcher, tmp_path / "alone", alone, 40), alone)
    for rank in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"rank{rank}.npy"), np.load(alone))


class Counted(mm.encoders.Encoder):
    """A vector from the hash of a text; counts what it encodes."""

    name, modality, dim = "counted", "text", 3

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift
        self.seen: list[str] = []

    def _encode(self, batch, device):
        self.seen += batch
        return np.array([[len(text), hash(text) % 97, self.shift] for text in batch], float)


def test_finished_work_is_not_repeated(tmp_path):
    texts = [f"text {n}" for n in range(50)]
    first = Counted().run(texts, cache=tmp_path)
    assert (first.n_encoded, first.n_cached) == (50, 0)
    encoder = Counted()
    more = encoder.run([*texts, "new", "new", None], cache=tmp_path)
    assert encoder.seen == ["new"]  # equal items once
    assert (more.n_encoded, more.n_cached) == (1, 50)
    np.testing.assert_array_equal(more.vectors[:50], first.vectors)
    np.testing.assert_array_equal(more.vectors[50], more.vectors[51])
    assert not more.mask[52]


def test_other_settings_other_vectors(tmp_path):
    assert Counted().run(["a"], cache=tmp_path).vectors[0, 2] == 0
    assert Counted(shift=5).run(["a"], cache=tmp_path).vectors[0, 2] == 5


def test_changed_file_is_encoded_anew(tmp_path):
    class Size(Counted):
        reads_files = True

        def _encode(self, batch, device):
            return super()._encode([path.read_text() for path in batch], device)

    file = tmp_path / "a.txt"
    file.write_text("abc")
    assert Size().run([file], cache=tmp_path / "cache").vectors[0, 0] == 3
    file.write_text("abcd")  # same name, other content
    assert Size().run([file], cache=tmp_path / "cache").vectors[0, 0] == 4
    file.rename(tmp_path / "b.txt")  # other name, same content
    encoder = Size()
    encoder.run([tmp_path / "b.txt"], cache=tmp_path / "cache")
    assert encoder.seen == []


@pytest.mark.parametrize("cut", ["ids", "vectors", "record"])
def test_half_written_ends_are_overwritten(tmp_path, cut):
    """What a break may leave: rows without ids, a piece of a record, a record with a wrong check sum."""
    Counted().run(["one", "two"], cache=tmp_path)
    store = FeatureCache(tmp_path).open(Counted())
    vectors, ids = store.folder / "vectors.f32", store.folder / "ids.log"
    if cut == "vectors":
        vectors.write_bytes(vectors.read_bytes() + b"\x00" * 17)
    elif cut == "ids":
        ids.write_bytes(ids.read_bytes() + _HEAD.pack(2, 99) + b"x" * 40)
    else:
        ids.write_bytes(ids.read_bytes() + _HEAD.pack(1, 99) + b"x" * 32)
    encoder = Counted()
    result = encoder.run(["one", "two", "three", "four"], cache=tmp_path)
    assert encoder.seen == ["three", "four"]
    assert result.vectors[:, 0].tolist() == [3, 3, 5, 4]
    again = Counted()
    np.testing.assert_array_equal(again.run(["four", "one"], cache=tmp_path).vectors, result.vectors[[3, 0]])
    assert again.seen == []


def test_damaged_description_is_named(tmp_path):
    Counted().run(["one"], cache=tmp_path)
    meta = FeatureCache(tmp_path).open(Counted()).folder / "meta.json"
    meta.write_text("{")
    with pytest.raises(mm.errors.DataError, match=r"meta\.json is damaged.*delete the folder"):
        Counted().run(["one"], cache=tmp_path)


def test_unchanged_catalogue_of_a_thousand_items(tmp_path):
    """From the start of Python, with real pictures and sentences, in a process that never imports torch."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = []
    for n in range(30):
        pictures.append(tmp_path / f"{n}.png")
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(pictures[-1])
    mm.encoders.create("minilm").run([f"thing {n}" for n in range(200)], cache=tmp_path / "cache")
    mm.encoders.create("efficientnet-lite0").run(pictures, cache=tmp_path / "cache")
    program = (
        "import sys, pathlib, mmrec_lib as mm\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "a = mm.encoders.create('minilm').run([f'thing {n % 200}' for n in range(1000)], cache=root / 'cache')\n"
        "b = mm.encoders.create('efficientnet-lite0').run([root / f'{n % 30}.png' for n in range(1000)], "
        "cache=root / 'cache')\n"
        "print(a.n_encoded, b.n_encoded, a.vectors.shape, b.vectors.shape, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 0 (1000, 384) (1000, 1280) False"


def test_default_place_follows_the_library_s_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    assert FeatureCache().root == tmp_path / "features"
