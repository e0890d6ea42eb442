"""What was acknowledged is there, also when the process is killed."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from mmrec_lib.errors import DataError, StoreError
from mmrec_lib.serving import Added, Event, SQLiteStore


@pytest.fixture
def store(tmp_path):
    return SQLiteStore(tmp_path / "state" / "events.sqlite")


def test_events_come_back_oldest_first(store):
    store.add([Event("anna", "a", time=5.0), Event("ben", "b"), Event("anna", "c", "hide", value=2.0, time=3.0)])
    table = store.of_user("anna")
    assert table[["item", "kind", "time"]].to_numpy().tolist() == [["a", "click", 5.0], ["c", "hide", 3.0]]
    assert store.of_user("anna", limit=1)["item"].tolist() == ["c"]
    assert store.of_user("nobody").empty
    assert store.all_events()["user"].tolist() == ["anna", "ben", "anna"]


def test_the_same_request_twice_is_kept_once(store):
    event = Event("anna", "a", request="r1")
    assert store.add([event, Event("anna", "b", request="r2")]) == 2
    assert store.add([event, Event("anna", "c", request="r3")]) == 1
    assert store.of_user("anna")["item"].tolist() == ["a", "b", "c"]
    assert store.add([Event("anna", "a"), Event("anna", "a")]) == 2  # without a name each counts


def test_all_or_nothing(store):
    with pytest.raises(DataError, match="kind='stare'"):
        store.add([Event("anna", "a"), Event("anna", "b", "stare")])
    assert store.of_user("anna").empty


def test_another_process_reads_what_was_kept(store, tmp_path):
    store.add([Event("anna", "a")])
    assert len(SQLiteStore(tmp_path / "state" / "events.sqlite").all_events()) == 1


def test_added_things_come_back(store):
    vectors = {"text": np.array([0.5, -1], np.float32), "image": np.arange(3, dtype=np.float32)}
    new = Added("new", {"title": "Neu – 新"}, vectors, {"text": "words"}, {"text": "f1"})
    store.add_item(new)
    store.add_item(Added("bare", vectors={"text": np.ones(2)}))
    first, second = store.items()
    assert (first.item, first.columns, first.media, first.encoders) == ("new", new.columns, new.media, {"text": "f1"})
    assert (second.item, second.encoders) == ("bare", {})
    for name in vectors:
        np.testing.assert_array_equal(first.vectors[name], vectors[name])


def test_threads_write_at_once(store):
    def write(number):
        for i in range(50):
            store.add([Event(f"u{number}", f"i{i}")])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(store.all_events()) == 200
    assert store.of_user("u2")["item"].tolist() == [f"i{i}" for i in range(50)]


def test_a_file_that_is_no_store(tmp_path):
    (tmp_path / "x.sqlite").write_text("dear diary, " * 200)
    with pytest.raises(StoreError, match=r"x\.sqlite"):
        SQLiteStore(tmp_path / "x.sqlite")


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(StoreError, match="not kept"):
        store.add([Event("anna", "a")])


def test_kill_during_writing_loses_nothing_that_was_acknowledged(tmp_path):
    """A process writes and says what was acknowledged; it is killed in the middle, several times over."""
    path = tmp_path / "events.sqlite"
    program = textwrap.dedent("""
        import sys
        from mmrec_lib.serving.events import Event, SQLiteStore
        store, start = SQLiteStore(sys.argv[1]), int(sys.argv[2])
        for i in range(start, start + 100_000):
            store.add([Event("u", f"i{i}", request=f"r{i}")])
            print(i, flush=True)
    """)
    acknowledged = []
    for run in range(3):
        command = [sys.executable, "-c", program, str(path), str(run * 100_000)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        lines = [process.stdout.readline() for _ in range(30 + 7 * run)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
        process.wait()
        acknowledged += [line.strip() for line in lines + rest if line.endswith("\n")]
    kept = set(SQLiteStore(path).all_events()["item"])
    assert len(acknowledged) > 100
    assert {f"i{i}" for i in acknowledged} <= kept
    assert len(kept) <= len(acknowledged) + 3  # at most one a run was kept and not yet said
