"""Pictures sampled from a film: a video file, an animated GIF, or a folder of numbered pictures."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataError, MissingPackageError, ParameterError

if TYPE_CHECKING:
    from PIL.Image import Image

HOW = ("uniform", "keyframes")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_SEEK_FROM = 10.0  # seconds; nearer moments are reached by decoding on: key frames are seldom farther apart


def sample_frames(path: str | Path, n: int = 8, how: str = "uniform", size: int | None = None) -> list[Image]:
    """Exactly ``n`` pictures (PIL, RGB) of a film, in the order of time.

    The film is cut into ``n`` parts of the same length, and the picture that is to be seen in the middle of each part
    is taken. A film of fewer than ``n`` pictures gives some of them more than once.

    Parameters
    ----------
    path
        A video file (anything that FFmpeg reads), an animated GIF, or a folder of pictures, which are taken in
        natural order (``2.png`` before ``10.png``). Long films are not decoded as a whole: the file is sought.
    n
    how
        ``"uniform"``; or ``"keyframes"``: instead of each picture the last key frame before it, the only kind of
        picture that is stored whole. Much faster for long films, less even. Only for video files; others have none,
        and are sampled uniformly.
    size
        Pictures whose shorter side has more pixels are made smaller. Default: as they are.

    A film that says it must be turned (as telephones do) is turned; transparent pictures are put on white.

    Raises
    ------
    DataError
        The file is empty, broken, or holds no pictures.
    ParameterError, MissingPackageError
        ``n`` or ``how`` make no sense; PyAV is not installed.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ParameterError(f"n={n!r}: give the number of pictures, at least 1")
    if how not in HOW:
        raise ParameterError(f"how={how!r}: choose one of {', '.join(HOW)}")
    path = Path(path)
    if path.is_dir():
        pictures = _from_folder(path, n)
    elif not path.is_file() or not path.stat().st_size:
        raise DataError(f"{path}: {'the file is empty' if path.is_file() else 'no such file or folder'}")
    elif path.suffix.lower() == ".gif":
        pictures = _from_gif(path, n)
    else:
        pictures = _from_video(path, n, how)
    return [picture if size is None else _smaller(picture, size) for picture in pictures]


def middles(n: int, total: int) -> list[int]:
    """Which of ``total`` pictures is seen in the middle of each of ``n`` parts.

    >>> middles(4, 8), middles(4, 2)
    ([1, 3, 5, 7], [0, 0, 1, 1])
    """
    return [((2 * part + 1) * total) // (2 * n) for part in range(n)]


def natural_order(name: str) -> list:
    """Key that sorts numbers in names by their value: ``shot2`` before ``shot10``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name.lower())]


def _from_folder(folder: Path, n: int) -> list[Image]:
    files = [file for file in folder.iterdir() if file.suffix.lower() in _PICTURES]
    files.sort(key=lambda file: natural_order(file.name))
    if not files:
        raise DataError(f"{folder}: no pictures in this folder (known endings: {', '.join(_PICTURES)})")
    return [_read(files[at]) for at in middles(n, len(files))]


def _read(file: Path) -> Image:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            return _on_white(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{file}: not a picture that can be read ({error})") from None


def _from_gif(path: Path, n: int) -> list[Image]:
    from PIL import Image

    pictures = []
    try:
        with Image.open(path) as opened:
            for at in middles(n, getattr(opened, "n_frames", 1)):
                opened.seek(at)
                pictures.append(_on_white(opened))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: not a GIF that can be read ({error})") from None
    return pictures


def _on_white(picture: Image) -> Image:
    from PIL import Image

    picture = picture.convert("RGBA")
    sheet = Image.new("RGBA", picture.size, "white")
    sheet.alpha_composite(picture)
    return sheet.convert("RGB")


def _smaller(picture: Image, size: int) -> Image:
    factor = size / min(picture.size)
    return picture if factor >= 1 else picture.resize(tuple(max(1, round(side * factor)) for side in picture.size))


# -- video files ---------------------------------------------------------------------------------------------------
def _from_video(path: Path, n: int, how: str) -> list[Image]:
    try:
        import av
    except ImportError:
        raise MissingPackageError("av", "reading video files") from None
    try:
        with _opened(path, how) as (container, stream):
            span = _span(container, stream)
            if span is not None:
                moments = [span[0] + span[1] * (2 * part + 1) / (2 * n) for part in range(n)]
                pictures = [_upright(frame) for frame in _seen_at(container, stream, moments)]
        if span is None:
            pictures = _by_count(path, n, how)
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a film that can be read ({error})") from None
    if not pictures:
        raise DataError(f"{path}: not a single picture could be decoded")
    return pictures


@contextlib.contextmanager
def _opened(path: Path, how: str):
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            kinds = sorted({stream.type for stream in container.streams})
            raise DataError(f"{path}: the file holds no pictures (only {', '.join(kinds) or 'nothing'})")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if how == "keyframes":
            stream.codec_context.skip_frame = "NONKEY"
        yield container, stream


def _span(container, stream) -> tuple[float, float] | None:
    """When the film begins and how long it lasts, in seconds; ``None`` where the file does not say."""
    start = float((stream.start_time or 0) * stream.time_base)
    if stream.duration:
        return start, float(stream.duration * stream.time_base)
    return (start, container.duration / 1e6) if container.duration else None  # of the whole file, in microseconds


def _by_count(path: Path, n: int, how: str) -> list[Image]:
    """For files that do not say how long they are (live recordings, bare streams): decoded twice, to count first."""
    with _opened(path, how) as (container, stream):
        total = sum(1 for _ in container.decode(stream))
    wanted = middles(n, total) if total else []
    with _opened(path, how) as (container, stream):
        found = {at: _upright(frame) for at, frame in enumerate(container.decode(stream)) if at in set(wanted)}
    return [found[at] for at in wanted]


def _seen_at(container, stream, moments: list[float]) -> Iterator:
    """The frame that is on the screen at each moment (ascending seconds); the last one where the film ends earlier."""
    frames = container.decode(stream)
    now, coming = None, next(frames, None)
    for moment in moments:
        if coming is not None and moment - _time(coming) > _SEEK_FROM:
            container.seek(int(moment / stream.time_base), stream=stream, backward=True)
            frames = container.decode(stream)
            coming = next(frames, None)
        while coming is not None and (now is None or _time(coming) <= moment + 1e-6):
            now, coming = coming, next(frames, None)
        if now is not None:
            yield now


def _time(frame) -> float:
    if frame.time is None:
        raise ValueError("its pictures carry no times; convert it, for instance to MP4")
    return frame.time


def _upright(frame) -> Image:
    picture = frame.to_image()
    turn = getattr(frame, "rotation", 0)  # degrees counter-clockwise; older versions of PyAV do not tell
    return picture.rotate(turn, expand=True) if turn else picture
