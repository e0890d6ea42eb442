"""Encoders kept in a folder and read again: settings as JSON, what was learned as safetensors; no pickle."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import ModelFileError
from .base import Encoder

_FORMAT = 1


def save(encoder: Encoder, path) -> Path:
    """Write the folder ``path`` in one step; an encoder that is there already is replaced."""
    encoder.check_fitted()
    encoder.settle()
    return write(encoder, path)


def write(encoder, path) -> Path:
    """:func:`save` for whatever has a name, ``get_params`` and learned attributes that end in an underscore."""
    from safetensors.numpy import save_file

    path = Path(path)
    if path.exists() and not (path / "encoder.json").exists():
        raise ModelFileError(f"{path} exists and is no saved encoder: name a new folder")
    arrays, plain = {}, {}
    for name, value in vars(encoder).items():
        if not name.endswith("_") or name.startswith("_"):
            continue
        if name == "network_":
            arrays |= {f"network_/{k}": v.detach().cpu().numpy() for k, v in value.state_dict().items()}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            plain[name] = value
    header = {
        "format": _FORMAT,
        "library": __version__,
        "encoder": encoder.name,
        "params": encoder.get_params(),
        "state": plain,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, scratch / "encoder.safetensors")
        (scratch / "encoder.json").write_text(json.dumps(header, indent=1, default=_plain), encoding="utf-8")
        os.chmod(scratch, 0o755)
        if path.exists():
            os.replace(path, scratch.with_suffix(".old"))
        os.replace(scratch, path)
        shutil.rmtree(scratch.with_suffix(".old"), ignore_errors=True)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return path


def load(path) -> Encoder:
    """Read an encoder that :meth:`Encoder.save` wrote; it gives the same vectors.

    Raises :class:`ModelFileError` when files are missing, damaged, or of a newer format.
    """
    from . import create

    header, arrays = read(path)
    return restore(create(header["encoder"], **header["params"]), header, arrays)


def read(path) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and arrays of a folder that :func:`write` wrote."""
    from safetensors.numpy import load_file

    path = Path(path)
    for file in ("encoder.json", "encoder.safetensors"):
        if not (path / file).is_file():
            raise ModelFileError(f"{path} holds no saved encoder: {file} is missing")
    try:
        header = json.loads((path / "encoder.json").read_text(encoding="utf-8"))
        arrays = load_file(path / "encoder.safetensors")
    except Exception as error:  # json, unicode and safetensors have an error type each
        raise ModelFileError(f"{path}: the saved encoder is damaged ({error}); save it again") from None
    if header.get("format") != _FORMAT:
        raise ModelFileError(f"{path} has format {header.get('format')}, this library ({__version__}) reads {_FORMAT}")
    return header, arrays


def restore(encoder, header: dict, arrays: dict[str, np.ndarray]):
    """Give a new encoder the learned attributes that :func:`read` returned."""
    weights = {k.removeprefix("network_/"): v for k, v in arrays.items() if k.startswith("network_/")}
    for name, value in [*header["state"].items(), *((k, v) for k, v in arrays.items() if "/" not in k)]:
        setattr(encoder, name, value)
    if weights:
        import torch

        encoder.network_ = encoder._network()
        encoder.network_.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
        encoder.network_.eval()
    return encoder


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be saved; keep it as an array or a plain value")
