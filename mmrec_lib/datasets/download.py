"""Getting files from elsewhere: checked before use, kept in one cache folder, never half there.

Nothing is trusted for its name: a file counts as obtained when its SHA-256 is the expected one. Files appear under
their name in one step (``os.replace``), so that a break, a full disk or a second process never leaves half of one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from ..errors import DownloadError

_CHUNK = 2**18
PERMANENT = {400, 401, 403, 404, 405, 410, 451}  # answers of a server after which asking again does not help


def cache_dir() -> Path:
    """Folder that holds what was obtained.

    The environment variable ``MMREC_CACHE`` when it is set; else ``datasets/.cache`` of a source checkout, when the
    library is used from one; else ``mmrec`` in the user's cache folder (``~/.cache``, or ``XDG_CACHE_HOME``).
    """
    if os.environ.get("MMREC_CACHE"):
        return Path(os.environ["MMREC_CACHE"]).expanduser()
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():
        return root / "datasets" / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmrec"


def sha256_of(path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_intact(path, sha256: str) -> bool:
    """Is there a file at ``path`` with this SHA-256?"""
    return Path(path).is_file() and sha256_of(path) == sha256.lower()


@contextlib.contextmanager
def locked(directory) -> Iterator[Path]:
    """Hold a folder (made if need be) for this process; others that ask for it wait until it is free.

    On systems without ``fcntl`` nobody waits: two processes may then obtain the same file twice, which is harmless.
    """
    directory = _make(Path(directory))
    try:
        import fcntl
    except ImportError:
        yield directory
        return
    try:
        handle = open(directory / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise _cannot_write(directory, "cache", error) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield directory


def fetch(
    url: str, path, sha256: str, size: int | None = None, tries: int = 4, timeout: float = 30, pause: float = 1.0
) -> Path:
    """Download ``url`` to the file ``path``, unless the right file is there already (then no network is used).

    Parameters
    ----------
    url
        Address, http or https; redirections are followed and proxies of the environment used.
    path
        Where the file shall be. Folders are made.
    sha256
        The file's SHA-256 in hexadecimal.
    size
        Its number of bytes, when known.
    tries
        How often to ask. A transfer that breaks is taken up where it broke, when the server can do that.
    timeout
        Seconds of silence after which a transfer counts as broken.
    pause
        Seconds before the second try; doubled before each further one.

    Returns
    -------
    Path
        ``path``, holding the file whose hash was checked.

    Raises
    ------
    DownloadError
        The address does not exist, the server fails or cannot be reached ``tries`` times, the file is another one
        than expected, or it cannot be written. Nothing is left at ``path`` then.
    """
    path = Path(path)
    if is_intact(path, sha256):
        return path
    _make(path.parent)
    with _scratch(path, url) as scratch:
        for attempt in range(1, tries + 1):
            try:
                resumed = _transfer(url, scratch, size, timeout, path.name)
                problem = _difference(scratch, sha256, size)
                if problem is None:
                    os.chmod(scratch, 0o644)
                    os.replace(scratch, path)
                    return path
                scratch.write_bytes(b"")
                if not resumed:  # the whole file came, and it is another one: asking again does not help
                    raise DownloadError(f"{url}: {problem}. {_by_hand(url, path, sha256)}")
            except urllib.error.HTTPError as error:
                problem = f"the server answers {error.code} {error.reason}"
                if error.code in PERMANENT:
                    raise DownloadError(f"{url}: {problem}. {_by_hand(url, path, sha256)}") from None
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                problem = f"the transfer failed ({getattr(error, 'reason', None) or error})"
            if attempt < tries:
                time.sleep(pause * 2 ** (attempt - 1))
        raise DownloadError(f"{url}: {problem}; tried {tries} times. {_by_hand(url, path, sha256)}")


def fetch_large(url: str, path, tries: int = 6, timeout: float = 60, pause: float = 1.0) -> Path:
    """Download ``url`` to ``path`` where no hash is published, unless the file is there already.

    What has come stays beside it as ``NAME.part``: the next try goes on there, in a later process too. The length that
    the server names is checked; whether the content is right, the reader must find out (gzip carries a checksum of its
    own). Parameters as in :func:`fetch`. Raises :class:`DownloadError` when the address does not exist, the server
    cannot be reached ``tries`` times, or the file cannot be written.
    """
    path = Path(path)
    if path.is_file():
        return path
    part = _make(path.parent) / f"{path.name}.part"
    hand = f"Try again later (it goes on where it was), or download it by hand and put it at {path}"
    problem = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            part.touch()
            _transfer(url, part, None, timeout, path.name)
            os.replace(part, path)
            return path
        except urllib.error.HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # nothing follows what we have: it is of another file, or whole; ask for all of it
                part.unlink()
            elif error.code in PERMANENT:
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = f"the transfer failed ({getattr(error, 'reason', None) or error})"
        except OSError as error:
            raise _cannot_write(path, url, error) from None
    raise DownloadError(f"{url}: {problem}. {hand}")


def keep(path, content: bytes, source) -> Path:
    """Write a file in one step, its folder too if need be; ``source`` names in an error where the content is from."""
    path = Path(path)
    _make(path.parent)
    with _scratch(path, source) as scratch:
        scratch.write_bytes(content)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    return path


def fetch_from_pip(requirement: str, filename: str, sha256: str, directory) -> Path:
    """Obtain a package file (wheel) with ``pip download --no-deps``; it is not installed, nothing in it is run.

    Parameters
    ----------
    requirement
        What pip shall download, with its version: ``"recbole==1.2.1"``.
    filename
        Name of the file that this gives.
    sha256
        Its SHA-256 in hexadecimal.
    directory
        Folder in which the file shall be. If the right file is there already, pip is not called.

    Returns
    -------
    Path
        ``directory / filename``, holding the file whose hash was checked.

    Raises
    ------
    DownloadError
        pip is missing or fails, or gives another file. Nothing is left in ``directory`` then.
    """
    path = Path(directory) / filename
    if is_intact(path, sha256):
        return path
    hand = _by_hand("a Python package index", path, sha256)
    _make(path.parent)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest"]
    with tempfile.TemporaryDirectory(prefix=".pip.", suffix=".tmp", dir=path.parent) as scratch:
        try:
            done = subprocess.run(
                [*command, scratch, requirement], capture_output=True, text=True, errors="replace", timeout=900
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DownloadError(f"pip download {requirement}: {error}. {hand}") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise DownloadError(f"pip download {requirement} failed: {said[-1].strip()}. {hand}")
        got = Path(scratch) / filename
        if not got.is_file():
            found = ", ".join(sorted(p.name for p in Path(scratch).iterdir())) or "nothing"
            raise DownloadError(f"pip download {requirement}: expected {filename}, got {found}. {hand}")
        problem = _difference(got, sha256, None)
        if problem:
            raise DownloadError(f"pip download {requirement}: {problem}. {hand}")
        os.replace(got, path)
    return path


def extract(archive, members: Mapping[str, str], directory) -> None:
    """Copy the named members of a zip file (or wheel) to files in ``directory``: member name to file name.

    Only these members are read, and each file appears in one step. Raises :class:`DownloadError` when the archive
    is damaged, lacks a member, or a file cannot be written.
    """
    directory = _make(Path(directory))
    try:
        with zipfile.ZipFile(archive) as opened:
            for member, filename in members.items():
                keep(directory / filename, opened.read(member), archive)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DownloadError(f"{archive}: {error}; delete the file and try again") from None


def unpack(archive, directory, keep: Callable[[str], bool] = lambda name: True) -> Path:
    """Unpack a tar or zip archive into the new folder ``directory``, which appears in one step when all is written.

    ``keep`` says by its name in the archive whether a file is wanted. Links and special files are left out. Raises
    :class:`DownloadError` when the archive is damaged, or names a file outside the folder, or the disk is full; no
    folder is left then. When ``directory`` exists, nothing is done.
    """
    directory = Path(directory)
    if directory.is_dir():
        return directory
    _make(directory.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", suffix=".tmp", dir=directory.parent) as scratch:
            root = Path(scratch) / "content"
            root.mkdir()
            for name, content in _members(archive, keep):
                target = root / _inside(archive, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            try:
                os.replace(root, directory)
            except OSError:
                if not directory.is_dir():  # else another process was quicker, with the same content
                    raise
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DownloadError(f"{archive}: the archive is damaged ({error}); delete it and try again") from None
    except OSError as error:
        raise error if isinstance(error, DownloadError) else _cannot_write(directory, archive, error) from None
    return directory


# -- pieces ------------------------------------------------------------------------------------------------------


def _transfer(url: str, scratch: Path, size: int | None, timeout: float, label: str) -> bool:
    """Bring ``scratch`` to its full length; returns whether it was taken up from an earlier try."""
    from tqdm import tqdm

    have = scratch.stat().st_size
    headers = {"User-Agent": "mmrec-lib", **({"Range": f"bytes={have}-"} if have else {})}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        resumed = have > 0 and answer.status == 206
        if not resumed and answer.status != 200:
            raise http.client.HTTPException(f"unexpected status {answer.status}")
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else size
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=label, leave=False, disable=None)
        with open(scratch, "ab" if resumed else "wb") as file, bar:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if total is not None and have < total:
        raise http.client.HTTPException(f"the connection ended after {have:,} of {total:,} bytes")
    return resumed


def _difference(path: Path, sha256: str, size: int | None) -> str | None:
    """What is wrong with the file, in words; ``None`` when it is the expected one."""
    found = path.stat().st_size
    got = sha256_of(path)
    if got == sha256.lower():
        return None
    with open(path, "rb") as file:
        if file.read(64).lstrip().lower().startswith((b"<!doctype", b"<html")):
            return f"got a web page of {found:,} bytes instead of the file (a log-in or error page?)"
    if size is not None and found != size:
        return f"got {found:,} bytes, expected {size:,}"
    return f"got another file than expected ({found:,} bytes, SHA-256 {got}, expected {sha256})"


def _by_hand(where: str, path: Path, sha256: str) -> str:
    return f"Try again later, or download it by hand from {where} and put it at {path} (SHA-256 {sha256})"


@contextlib.contextmanager
def _scratch(path: Path, source) -> Iterator[Path]:
    """An empty temporary file beside ``path``, gone at the end; errors of writing become :class:`DownloadError`."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, source, error) from None
    try:
        yield Path(name)
    except OSError as error:
        raise error if isinstance(error, DownloadError) else _cannot_write(path, source, error) from None
    finally:
        Path(name).unlink(missing_ok=True)


def _cannot_write(path: Path, source, error: OSError) -> DownloadError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "the disk is full; free some space"
    else:
        reason = f"{error}; check the folder"
    return DownloadError(
        f"{source}: cannot write {path}: {reason}, or set the environment variable MMREC_CACHE to another folder"
    )


def _make(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(directory, "cache", error) from None
    return directory


def _members(archive, keep: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir() and keep(info.filename):
                    yield info.filename, opened.read(info)
    else:
        with tarfile.open(archive) as opened:
            for info in opened:
                if info.isfile() and keep(info.name):
                    yield info.name, opened.extractfile(info).read()


def _inside(archive, name: str) -> Path:
    """``name`` as a path that stays below the folder it is joined to."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
        raise DownloadError(f"{archive}: member {name!r} points outside the folder; the archive is not to be trusted")
    return Path(*pure.parts)
