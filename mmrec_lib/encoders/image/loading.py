"""Files of any kind to RGB pictures: the one place where the library's encoders open pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...datasets.drawing import svg_to_png
from ...errors import DataError, ParameterError

if TYPE_CHECKING:
    from PIL.Image import Image

#: A file that claims more pixels is refused: a few kilobytes can unpack to gigabytes.
MAX_PIXELS = 80_000_000
#: Longer side of a rendered drawing when no size is asked for.
_DRAWING = 512
FRAMINGS = ("pad", "crop", "stretch")


def open_picture(path: str | Path | Image, size: int | None = None, truncated: str = "raise") -> Image:
    """A picture as RGB, upright, on white.

    What is transparent becomes white (also in palettes and in grey pictures); of an animation the first frame is taken;
    high bit depths are scaled to 8; CMYK is converted; the camera's orientation (EXIF) is applied; drawings (SVG) are
    rendered.

    Parameters
    ----------
    path
        The file (its content says what it is, not its name), or a PIL picture.
    size
        Pixels that will be needed. A picture with a shorter side of more than twice as many is decoded at a fraction
        of its size (JPEG), or reduced at once (others); its shape stays, and its shorter side keeps at least twice
        ``size``. Default: full size.
    truncated
        ``"raise"`` treats a file that ends too early as damaged; ``"keep"`` returns what could be decoded (the rest
        is black, or white where the picture has transparency).

    Raises
    ------
    DataError
        Not a picture, damaged, or one of more than :data:`MAX_PIXELS`; the message names the file.
    """
    return on_white(read(path, size, truncated))


def read(path: str | Path | Image, size: int | None = None, truncated: str = "raise") -> Image:
    """Like :func:`open_picture`, with its transparency: mode RGBA or LA where there is any, else RGB."""
    from PIL import Image, ImageOps

    if truncated not in ("raise", "keep"):
        raise ParameterError(f'truncated={truncated!r}: choose "raise" or "keep"')
    if isinstance(path, Image.Image):
        return ImageOps.exif_transpose(_reduced(_eight_bit(path), size))
    try:
        with Image.open(
            io.BytesIO(svg_to_png(path, 2 * size if size else _DRAWING)) if _is_svg(path) else path
        ) as file:
            if file.width * file.height > MAX_PIXELS:
                raise DataError(f"{path}: {file.width} x {file.height} pixels are refused (at most {MAX_PIXELS:,})")
            if size and min(file.size) > 2 * size:
                file.draft(None, (2 * size, 2 * size))  # no effect on other formats than JPEG
            _decode(file, truncated)
            picture = _eight_bit(file)
            return ImageOps.exif_transpose(_reduced(picture, size))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: refused, {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError, Warning) as error:
        raise DataError(f"{path}: {_explain(path, error)}") from None


def on_white(picture: Image) -> Image:
    """An RGB picture, with white in place of what is transparent."""
    from PIL import Image

    if picture.mode not in ("RGBA", "LA"):
        return picture.convert("RGB")
    # colours and opacity apart: twice as quick as Image.alpha_composite, and a third of it for grey pictures
    sheet = Image.new(picture.mode[:-1], picture.size, "white")
    sheet.paste(picture.convert(picture.mode[:-1]), mask=picture.getchannel("A"))
    return sheet.convert("RGB")


def square(picture: Image, size: int, framing: str = "pad") -> Image:
    """An RGB picture as ``size`` x ``size`` pixels (bicubic).

    ``framing``: ``"pad"`` keeps all of it and its shape, between white bars; ``"crop"`` takes the central square;
    ``"stretch"`` ignores the shape.
    """
    from PIL import Image, ImageOps

    if framing == "stretch":
        return picture.resize((size, size), Image.BICUBIC)
    if framing == "crop":
        return ImageOps.fit(picture, (size, size), Image.BICUBIC)
    return ImageOps.pad(picture, (size, size), Image.BICUBIC, color="white")


def check_framing(framing: str) -> str:
    """Return a known framing, or raise :class:`ParameterError`."""
    if framing not in FRAMINGS:
        raise ParameterError(f"framing={framing!r}: choose one of {', '.join(FRAMINGS)}")
    return framing


def check_whole(name: str, value, least: int = 1) -> int:
    """Return a whole number of at least ``least``, or raise :class:`ParameterError`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
    return int(value)


def read_all(opened: Callable, items: Sequence, name: str, most: int, seed: int) -> tuple[list, np.ndarray]:
    """What ``fit`` learns from: ``opened(item)`` of at most ``most`` items, drawn at random, and their row numbers.

    Items that cannot be read are passed over. Raises :class:`DataError` when none can.
    """
    rows = np.arange(len(items))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))

    def attempt(row: int):
        try:
            return opened(items[row])
        except Exception:  # every decoder has errors of its own; `encode` will name the file
            return None

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(attempt, rows))
    good = [k for k, picture in enumerate(found) if picture is not None]
    if not good:
        raise DataError(f"{name}.fit: none of the {len(items)} pictures can be read")
    return [found[k] for k in good], rows[good]


# -- steps of reading ------------------------------------------------------------------------------------------------
def _is_svg(path: str | Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(1024)
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and (b"<svg" in head or Path(path).suffix == ".svg")


def _decode(file: Image, truncated: str) -> None:
    try:
        file.load()
    except OSError:
        if truncated == "raise" or getattr(file, "_im", None) is None:
            raise
        file.tile = []  # nothing more to decode: what is there stays


def _eight_bit(picture: Image) -> Image:
    """Mode RGB, RGBA or LA, with high bit depths scaled instead of clipped."""
    from PIL import Image

    if picture.mode == "F" or picture.mode.startswith("I"):
        values = np.asarray(picture, np.float64)
        top = max(values.max(initial=0), 1e-12)
        if picture.mode == "F" and top > 1:  # no agreed range: the whole range that occurs
            values = (values - values.min()) / max(np.ptp(values), 1e-12)
        scale = 255 if picture.mode == "F" else 1 if picture.mode == "I" and top <= 255 else 255 / 65535
        grey = Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
        grey.info = {k: v for k, v in picture.info.items() if k == "exif"}
        return grey.convert("RGB")
    if picture.mode in ("RGB", "RGBA", "LA") and "transparency" not in picture.info:
        return picture
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _reduced(picture: Image, size: int | None) -> Image:
    times = min(picture.size) // (2 * size) if size else 1
    if times < 2:
        return picture
    exif, reduced = picture.getexif(), picture.reduce(times)  # each pixel is the mean of a block
    reduced.info["exif"] = exif.tobytes()
    return reduced


def _explain(path: str | Path, error: Exception) -> str:
    if not Path(path).is_file():
        return "there is no such file"
    head = Path(path).read_bytes()[:32]
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"heif"):
        return "a HEIC picture; convert it to JPEG, or install pillow-heif and call pillow_heif.register_heif_opener()"
    if not head:
        return "the file is empty"
    if "truncated" in str(error):
        return f"the file is damaged ({error}); obtain it again, or open it with truncated='keep'"
    return f"not a picture that can be read ({type(error).__name__}: {error}); replace the file"
