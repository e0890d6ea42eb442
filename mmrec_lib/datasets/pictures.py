"""Pictures that a catalogue names by address: fetched in parallel, looked at, kept; damaged ones are masked."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import time
import urllib.error
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from ..checks import above, whole
from ..data import Dataset, Media
from ..errors import MissingColumnError
from . import download

_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}


def fetch_pictures(data: Dataset, folder: str | Path | None = None, *, column: str = "image_url", workers: int = 16,
                   tries: int = 3, timeout: float = 20.0, max_bytes: int = 5_000_000,
                   pause: float = 1.0) -> tuple[Dataset, pd.DataFrame]:  # fmt: skip
    """Fetch the picture of each item; what is there already is not fetched again.

    Parameters
    ----------
    data
        ``data.items[column]`` holds an address (http, https), or ``None`` where an item has no picture.
    folder
        Where the files go, named by a hash of their address. Default: ``pictures`` in the cache.
    workers : int, default 16
        How many are fetched at once.
    tries : int, default 3
        How often to ask when a server is busy or silent; ``pause`` seconds before the second try, doubled before each
        further one. An address that does not exist is asked once.
    timeout : float, default 20
        Seconds of silence after which a transfer counts as broken.
    max_bytes : int, default 5,000,000
        Larger files are refused.

    Returns
    -------
    data : Dataset
        The same data set with ``media["image"]``: a file, or ``None`` where there is none or it cannot be decoded.
    report : DataFrame
        One row an item (same index): file, and problem (``None`` where all is well; ``"no address"``, ``"404 ..."``,
        ``"damaged: ..."``, ...).

    Raises
    ------
    MissingColumnError, ParameterError, DownloadError
        The latter when a file cannot be written.
    """
    if column not in data.items:
        raise MissingColumnError("items", column, list(data.items.columns))
    workers, tries, max_bytes = whole("workers", workers), whole("tries", tries), whole("max_bytes", max_bytes)
    timeout = above("timeout", timeout, 0)
    folder = download.cache_dir() / "pictures" if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    addresses = data.items[column].tolist()

    def one(address) -> tuple[Path | None, str | None]:
        return _one(address, folder, tries, timeout, max_bytes, pause)

    from tqdm import tqdm

    with ThreadPoolExecutor(workers) as pool:
        bar = tqdm(pool.map(one, addresses), total=len(addresses), desc="pictures", disable=None, leave=False)
        found = list(bar)
    report = pd.DataFrame(found, columns=["file", "problem"], index=data.items.index, dtype=object)
    media = Media({**data.media, "image": [file for file, _ in found]})
    return dataclasses.replace(data, media=media), report


def _one(address, folder: Path, tries: int, timeout: float, most: int, pause: float) -> tuple[Path | None, str | None]:
    if not isinstance(address, str) or not address:
        return None, "no address"
    if not address.startswith(("http://", "https://")):
        return None, "neither http nor https"
    stem = hashlib.sha256(address.encode()).hexdigest()[:24]
    for ending in _ENDINGS.values():
        if (there := folder / f"{stem}{ending}").is_file():
            return there, None
    problem = None
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            content = _read(address, timeout, most)
        except urllib.error.HTTPError as error:
            problem = f"{error.code} {error.reason}"
            if error.code in download.PERMANENT:
                break
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = f"not reached: {getattr(error, 'reason', None) or error}"
        else:
            if content is None:
                return None, f"larger than {most:,} bytes"
            ending, problem = _look(content)
            if problem is None:
                return download.keep(folder / f"{stem}{ending}", content, address), None
            return None, problem
    return None, problem


def _read(address: str, timeout: float, most: int) -> bytes | None:
    """The content; ``None`` when there is more of it than is wanted."""
    request = urllib.request.Request(address, headers={"User-Agent": "mmrec-lib"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        content = answer.read(most + 1)
        length = answer.headers.get("Content-Length")
    if len(content) > most:
        return None
    if length and length.isdigit() and len(content) < int(length):
        raise http.client.IncompleteRead(content, int(length) - len(content))
    return content


def _look(content: bytes) -> tuple[str, str | None]:
    """Ending for the file, and what is wrong with the picture: it is decoded to the last row."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as picture:
                picture.load()
                kind = picture.format
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return "", f"damaged: {error}"
    if kind not in _ENDINGS:
        return "", f"damaged: pictures of the kind {kind} are not read"
    return _ENDINGS[kind], None
