"""Drawings (SVG) to pixels, for everything that reads pictures."""

from __future__ import annotations

import io
from pathlib import Path

from ..errors import DataError, MissingPackageError


def svg_to_png(path: str | Path, size: int = 512) -> bytes:
    """The drawing as the bytes of a PNG whose longer side has ``size`` pixels; what is not drawn stays transparent.

    The machine's fonts are left out, so that the picture is the same everywhere. Raises :class:`DataError` for a file
    that cannot be drawn.
    """
    from PIL import Image

    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise MissingPackageError("resvg-py", "rendering drawings (SVG)") from None
    try:
        png = svg_to_bytes(svg_path=str(path), width=size, dpi=96, skip_system_fonts=True)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: the drawing (SVG) cannot be rendered ({error}); replace the file") from None
    picture = Image.open(io.BytesIO(bytes(png)))
    picture.thumbnail((size, size))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
