"""Where a network computes, and in which number format its vectors do not notice, by device."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ..errors import ParameterError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def check(precision: str) -> str:
    """Return a known precision, or raise :class:`ParameterError`."""
    if precision not in PRECISIONS:
        raise ParameterError(f"precision={precision!r}: choose one of {', '.join(PRECISIONS)}")
    return precision


def resolve(precision: str, device: torch.device) -> torch.dtype:
    """The torch dtype for a precision on a device.

    ``"auto"`` takes bfloat16 where the processor has instructions for it (GPUs since Ampere, CPUs with AVX-512 BF16 or
    AMX), float16 on older GPUs with tensor cores, and float32 elsewhere, where half precision is slower.
    """
    import torch

    if precision != "auto":
        return getattr(torch, check(precision))
    if device.type == "cuda":
        major = torch.cuda.get_device_capability(device)[0]
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else torch.float32
    if device.type == "cpu" and cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_has_bfloat16() -> bool:
    """Does this CPU multiply bfloat16 in hardware?"""
    import torch

    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in probes)


@contextlib.contextmanager
def computing(precision: str, device: torch.device):
    """Inference without gradients, in the precision that :func:`resolve` gives."""
    import torch

    dtype = resolve(precision, device)
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        yield dtype


def placed(network: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    """The network, on the device and in evaluation mode.

    One that is there already is left alone: batches share it between threads, and moving a recurrent network, even to
    where it is, takes its list of weights apart for a moment.
    """
    import torch

    device = torch.device(device)
    there = next(network.parameters()).device
    if network.training or there.type != device.type or (device.index is not None and there != device):
        network.to(device).eval()
    return network
