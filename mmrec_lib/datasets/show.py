"""Things shown in a notebook: small pictures, titles, short sounds; the stored output stays small."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data import Dataset
from ..errors import DataError, ParameterError, UnknownItemError

if TYPE_CHECKING:
    from IPython.display import HTML
    from PIL.Image import Image

#: What a stored output may hold: pixels of a picture's longer side, sounds of one call, seconds of a sound.
MAX_PIXELS, MAX_SOUNDS, MAX_SECONDS = 128, 3, 3.0
_RATE = 16_000  # of the sounds in the page, in Hz; enough to recognise a bird, and small

# colours come from the page, so that light and dark both work; only the sheet under a picture is always white
_ROW = "display:flex;flex-wrap:wrap;gap:10px;margin:.5em 0"
_CARD = "width:{width}px;margin:0;text-align:center;font-size:.8em;line-height:1.25;overflow-wrap:anywhere"
_SHEET = "background:#fff;border:1px solid #8886;border-radius:6px;padding:4px;box-sizing:border-box"
_EMPTY = "border:1px dashed #888;border-radius:6px;box-sizing:border-box;font-style:italic;opacity:.7"


def thumbnail(path: str | Path, size: int = 96) -> Image:
    """The picture at most ``size`` pixels wide and high, RGB; what is transparent becomes white.

    Raises :class:`ParameterError` for a size outside 16 to 128 and :class:`DataError` for a file that is no picture.
    """
    from PIL import Image

    if not 16 <= size <= MAX_PIXELS:
        raise ParameterError(f"size={size!r}: a thumbnail has 16 to {MAX_PIXELS} pixels")
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: not a picture that can be read ({error})") from None
    picture.thumbnail((size, size))
    sheet = Image.new("RGBA", picture.size, "white")
    sheet.alpha_composite(picture)
    return sheet.convert("RGB")


def show_items(
    dataset: Dataset,
    items: Sequence[int],
    captions: Sequence[str] | None = None,
    sound: bool = True,
    size: int = 96,
) -> HTML:
    """A row of cards: picture, title, caption, and a player where the item has a sound.

    Parameters
    ----------
    dataset
        Titles from ``items["title"]`` (or the index), pictures and sounds from ``media``.
    items
        Item codes, in the order to show.
    captions
        A line under each title: a score, a reason.
    sound
        ``False``: no players. At most the first three sounds are put into the page, at most three seconds of each.
    size
        Pixels of a picture's longer side, at most 128.

    Returns
    -------
    IPython.display.HTML
        It needs no other file: pictures and sounds are inside.

    Raises
    ------
    UnknownItemError, ParameterError, DataError
        Codes that do not exist, as many captions as items are needed, files that cannot be read.
    """
    from IPython.display import HTML

    items = np.atleast_1d(np.asarray(items, dtype=int))
    if captions is not None and len(captions) != len(items):
        raise ParameterError(f"{len(captions)} captions for {len(items)} items: give one each, or None")
    bad = items[(items < 0) | (items >= dataset.n_items)]
    if len(bad):
        raise UnknownItemError(f"item {bad[0]} is unknown: the data set has codes 0 to {dataset.n_items - 1}")
    cards, sounds_left = [], MAX_SOUNDS if sound and "audio" in dataset.media else 0
    for row, item in enumerate(items):
        recording = dataset.media["audio"][item] if sounds_left else None
        sounds_left -= recording is not None
        cards.append(_card(dataset, item, captions[row] if captions is not None else "", recording, size))
    return HTML(f'<div class="mmrec-items" style="{_ROW}">{"".join(cards)}</div>')


def _card(dataset: Dataset, item: int, caption: str, recording: Path | None, size: int) -> str:
    titles = dataset.items["title"] if "title" in dataset.items else dataset.items.index.astype(str)
    title = html.escape(str(np.asarray(titles)[item]))
    parts = [_picture(dataset.media["image"][item] if "image" in dataset.media else None, title, size)]
    parts.append(f"<figcaption><b>{title}</b>")
    if caption:
        parts.append(f"<br>{html.escape(str(caption))}")
    parts.append("</figcaption>")
    if recording is not None:
        source = _inline(_clip(recording), "audio/ogg")
        parts.append(
            f'<audio controls preload="none" aria-label="{title}" style="width:100%;height:28px" src="{source}">'
        )
        parts.append("</audio>")
    return f'<figure style="{_CARD.format(width=size + 24)}">{"".join(parts)}</figure>'


def _picture(path: Path | None, title: str, size: int) -> str:
    if path is None or Path(path).suffix == ".svg":  # a drawing stays a drawing only where it could not be rendered
        return f'<div style="{_EMPTY};height:{size}px;line-height:{size}px">no picture</div>'
    picture = thumbnail(path, size)
    source = _inline(_encode(picture), "image/png" if _few_colours(picture) else "image/jpeg")
    return (
        f'<div style="height:{size + 12}px;display:flex;align-items:center;justify-content:center">'
        f'<img alt="{title}" width="{picture.width + 10}" height="{picture.height + 10}" style="{_SHEET}" '
        f'src="{source}"></div>'
    )


def _few_colours(picture: Image) -> bool:
    return picture.getcolors(256) is not None


def _encode(picture: Image) -> bytes:
    out = io.BytesIO()
    if _few_colours(picture):
        picture.quantize(64).save(out, "PNG", optimize=True)
    else:
        picture.save(out, "JPEG", quality=80, optimize=True)
    return out.getvalue()


def _clip(path: Path) -> bytes:
    """The first seconds of a sound as Ogg Vorbis, one channel, with a short fade at the end."""
    import soundfile
    from scipy.signal import resample_poly

    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            wave = file.read(int(MAX_SECONDS * rate), dtype="float32", always_2d=True).mean(axis=1)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: not a sound that can be read ({error})") from None
    if rate > _RATE:
        common = np.gcd(rate, _RATE)
        wave, rate = resample_poly(wave, _RATE // common, rate // common), _RATE
    fade = min(len(wave), rate // 20)
    wave[len(wave) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    out = io.BytesIO()
    soundfile.write(out, np.clip(wave, -1, 1), rate, format="OGG", subtype="VORBIS")
    return out.getvalue()


def _inline(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
