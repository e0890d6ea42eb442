"""Where to compute: the one place of the library that asks which accelerators there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ParameterError

if TYPE_CHECKING:
    import torch


def resolve(device: str | torch.device = "auto") -> torch.device:
    """The torch device for ``"auto"`` (CUDA, then Apple's MPS, then CPU) or for a name such as ``"cuda:1"``.

    Raises :class:`ParameterError` for a name that torch does not know, or a device that this machine lacks.

    >>> resolve("cpu")
    device(type='cpu')
    """
    import torch

    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(f'device={device!r} cannot be used here ({reason}); "auto" picks what there is') from None
    return device
