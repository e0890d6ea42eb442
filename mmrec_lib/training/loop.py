"""The training loop: epochs, early stopping on validation, checkpoints, and a record of the learning curve."""

from __future__ import annotations

import copy
import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import ModelFileError, ParameterError, TrainingError

_FORMAT = 1  # of the checkpoint file
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@dataclass
class Result:
    """What :func:`fit` learned about the training itself; the module holds the best state.

    Attributes
    ----------
    history : DataFrame
        One row per epoch: epoch (from 1), loss, metric (NaN where there was no validation), seconds.
    best_epoch : int
        Epoch whose state the module now has: the best on validation, or the last one without validation.
    best_metric : float
        Its metric; NaN without validation.
    """

    history: pd.DataFrame
    best_epoch: int
    best_metric: float


@dataclass
class _Progress:
    """Everything besides module and optimiser that a resumed run needs."""

    epoch: int = 0
    best_epoch: int = 0
    best_metric: float | None = None
    best_state: dict[str, Tensor] | None = None
    history: list[list] = field(default_factory=list)


def fit(
    module: nn.Module,
    batches: Callable[[int], Iterable],
    loss: Callable[[object], Tensor],
    *,
    epochs: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    optimizer: torch.optim.Optimizer | None = None,
    validate: Callable[[], float] | None = None,
    eval_every: int = 1,
    patience: int | None = 5,
    checkpoint: str | os.PathLike | None = None,
    seed: int = 0,
    amp: bool | str = "auto",
    compile: bool = False,
    description: str = "training",
) -> Result:
    """Train ``module`` in place.

    Parameters
    ----------
    module
        Its parameters are trained; it stays on the device where it is.
    batches
        ``batches(epoch)`` gives the batches of an epoch (from 1). It must depend on nothing but the epoch number, so
        that a resumed run sees the same batches.
    loss
        ``loss(batch)`` gives a scalar tensor.
    epochs
        Largest number of epochs.
    learning_rate, weight_decay
        Of Adam (Kingma and Ba, 2015; decoupled decay: Loshchilov and Hutter, 2019), unless ``optimizer`` is given.
    validate
        Gives the metric of the module as it is, higher is better. Called every ``eval_every`` epochs and after the
        last; the module is in evaluation mode, without gradients.
    patience
        Stop after this many validations in a row without a new best; None: never.
    checkpoint
        A file (safetensors) written after each validation, or each epoch without one. When it exists already, training
        goes on from it, with the same result as if it had never been interrupted.
    seed
        Of dropout and other randomness inside the module; the caller's generators are left as they were.
    amp
        Compute in bfloat16 where that is safe: ``"auto"`` on CUDA only; on a CPU it is slower for models of this size.
    compile
        Run the loss through ``torch.compile``. Off by default, as no gain was measured here yet.

    Raises
    ------
    TrainingError
        The loss is no longer finite.
    ModelFileError
        The checkpoint is damaged or belongs to another module.
    """
    for name, value in (("epochs", epochs), ("eval_every", eval_every), ("patience", patience)):
        if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
            raise ParameterError(f"{name}={value!r}: give a whole number of at least 1")
    device = next(module.parameters()).device
    mixed = device.type == "cuda" if amp == "auto" else bool(amp)
    if optimizer is None:
        # one fused pass over the parameters: ten times as fast as a loop of tensor operations on a CPU
        optimizer = torch.optim.AdamW(module.parameters(), learning_rate, weight_decay=weight_decay, fused=True)
    step_loss = torch.compile(loss) if compile else loss

    progress = _Progress()
    if checkpoint is not None and Path(checkpoint).exists():
        progress = _load(Path(checkpoint), module, optimizer)

    cuda = [device] if device.type == "cuda" else []
    bar = tqdm(total=epochs, initial=progress.epoch, desc=description, disable=None, leave=False)
    with torch.random.fork_rng(devices=cuda), freed_memory_kept(device), bar:
        while progress.epoch < epochs and not _exhausted(progress, eval_every, patience):
            epoch = progress.epoch + 1
            start = time.perf_counter()
            torch.manual_seed(_epoch_seed(seed, epoch))
            module.train()
            mean = _one_epoch(batches(epoch), step_loss, optimizer, device, mixed)
            if not np.isfinite(mean):
                raise TrainingError(
                    f"{description}: the loss became {mean} in epoch {epoch}; "
                    "lower the learning rate, or check the features for extreme values"
                )
            progress.epoch = epoch
            metric = float("nan")
            due = epoch % eval_every == 0 or epoch == epochs
            if validate is not None and due:
                metric = _validate(module, validate, progress)
            progress.history.append([epoch, mean, metric, time.perf_counter() - start])
            if checkpoint is not None and (due or validate is None):
                _save(Path(checkpoint), module, optimizer, progress)
            bar.set_postfix(loss=f"{mean:.4f}", best=progress.best_metric, refresh=False)
            bar.update()
    if progress.best_state is not None:
        module.load_state_dict(progress.best_state)
    module.eval()
    history = pd.DataFrame(progress.history, columns=["epoch", "loss", "metric", "seconds"])
    best = float("nan") if progress.best_metric is None else progress.best_metric
    return Result(history, progress.best_epoch or progress.epoch, best)


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """While this runs on a CPU under glibc, freed memory stays with the process, for the next batch.

    glibc gives blocks of megabytes back to the system at once, and the system has to clear them again for the next
    batch: a quarter of the time of an epoch of LightGCN. Afterwards the memory is given back. No effect elsewhere.
    """
    try:
        libc = ctypes.CDLL("libc.so.6") if device.type == "cpu" else None
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, 2**30)
    mallopt(_M_TRIM_THRESHOLD, 2**30)
    try:
        yield
    finally:  # where glibc's own rule, which moves both as large blocks are freed, ends up
        mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_TRIM_THRESHOLD, 2**26)
        trim(0)


def epoch_rng(seed: int, epoch: int) -> np.random.Generator:
    """The generator for an epoch's order and negatives: it depends on seed and epoch alone, so runs can resume."""
    return np.random.default_rng([seed % 2**63, epoch])


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(epoch_rng(seed, epoch).integers(2**62))


def _one_epoch(batches, loss, optimizer, device: torch.device, mixed: bool) -> float:
    """One pass; returns the mean loss. The sum stays on the device, so that no batch waits for the CPU."""
    total, n = torch.zeros((), device=device), 0
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            value = loss(batch)
        value.backward()
        optimizer.step()
        total += value.detach()
        n += 1
    return float(total) / max(n, 1)


def _validate(module: nn.Module, validate: Callable[[], float], progress: _Progress) -> float:
    module.eval()
    with torch.no_grad():
        metric = float(validate())
    if progress.best_metric is None or metric > progress.best_metric:
        progress.best_metric, progress.best_epoch = metric, progress.epoch
        progress.best_state = copy.deepcopy(module.state_dict())
    return metric


def _exhausted(progress: _Progress, eval_every: int, patience: int | None) -> bool:
    if patience is None or progress.best_metric is None:
        return False
    return progress.epoch - progress.best_epoch >= patience * eval_every


# -- checkpoints -------------------------------------------------------------------------------------------------


def _save(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, progress: _Progress) -> None:
    """One safetensors file: module, best module, moments of the optimiser; the rest as JSON in its header."""
    from safetensors.torch import save

    tensors = {f"module/{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in (progress.best_state or {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    header = {
        "format": _FORMAT,
        "epoch": progress.epoch,
        "best_epoch": progress.best_epoch,
        "best_metric": progress.best_metric,
        "history": progress.history,
    }
    content = save(
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, {"progress": json.dumps(header)}
    )
    write_atomically(path, content)


def _load(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> _Progress:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["progress"])
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
        if header["format"] != _FORMAT:
            raise ValueError(f"format {header['format']}, expected {_FORMAT}")
        module.load_state_dict(_part(tensors, "module/"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimizer/").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except Exception as error:  # safetensors, json and torch have an error type each
        raise ModelFileError(f"checkpoint {path} cannot be resumed ({error}); delete it to start anew") from None
    device = next(module.parameters()).device
    best = {k: v.to(device) for k, v in _part(tensors, "best/").items()} or None
    return _Progress(header["epoch"], header["best_epoch"], header["best_metric"], best, header["history"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise
