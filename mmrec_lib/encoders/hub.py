"""Pretrained models by name: from the Hugging Face hub, from a folder, or from an ordinary package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from functools import lru_cache
from pathlib import Path

from ..errors import DownloadError, MissingPackageError

_WEIGHTS = ("*.safetensors", "*.bin", "*.pth", "*.pt", "*.json", "*.txt", "*.model")


def imported(package: str, purpose: str):
    """The package, loaded when it is first needed; :class:`MissingPackageError` says what it is needed for.

    A package that puts another module in its place while it is imported, as transformers does, is the first, unfinished
    one for a thread whose ``import`` waits for that of another; hence the look into ``sys.modules``.
    """
    try:
        importlib.import_module(package)
    except ImportError:
        raise MissingPackageError(package, purpose) from None
    return sys.modules[package]


def load_pretrained(cls, model: str, **options):
    """``cls.from_pretrained(model)`` with an error that says what to do when the model cannot be had."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a bar for reading a file of 90 MB is noise
    try:
        return cls.from_pretrained(model, **options)
    except (OSError, ValueError) as error:
        if Path(model).is_dir():
            raise DownloadError(f"{model}: the folder holds no model that {cls.__name__} can read ({error})") from None
        raise DownloadError(
            f"model {model!r} could not be obtained ({str(error).splitlines()[0][:200]}). Remedy: check the name and "
            "the network (is HF_HUB_OFFLINE set?), or download it elsewhere and give the folder in place of the name"
        ) from None
    finally:
        if shown:
            logging.enable_progress_bar()


def weights_id(model: str) -> str:
    """What a model's weights are known by: the hash of the files of a folder, else its name on the hub and the commit
    that is in the local cache, if any."""
    if Path(model).is_dir():
        files = sorted({file for pattern in _WEIGHTS for file in Path(model).glob(pattern)})
        return hashlib.sha256("".join(file_hash(file) for file in files).encode()).hexdigest()
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    ref = cache / f"models--{model.replace('/', '--')}" / "refs" / "main"
    return f"{model}@{ref.read_text().strip() if ref.is_file() else 'main'}"


def file_hash(path: Path) -> str:
    """SHA-256 of a file; read once in a process while size and time of change stay."""
    stat = os.stat(path)
    return _file_hash(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _file_hash(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def package_folder(module: str, package: str, what: str) -> Path:
    """Folder of an installed package that carries weights, found without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(package, what)
    return Path(next(iter(spec.submodule_search_locations)))
