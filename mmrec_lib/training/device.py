"""Where to compute: the one place of the library that asks which accelerators there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..errors import ParameterError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


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


def by_device(*, cpu: T, gpu: T, device: str | torch.device = "auto") -> T:
    """One of two settings: ``gpu`` where ``device`` is an accelerator (CUDA or MPS), else ``cpu``.

    The same notebook is then quick on two cores and thorough on a GPU, without a block that is written twice:
    ``epochs=mm.by_device(cpu=8, gpu=60)``. Both are given by name, so that a reader sees which is which. Choose
    settings that differ in effort (epochs, dimensions, sizes of samples), not in the question that is asked.

    >>> by_device(cpu=8, gpu=60, device="cpu")
    8
    """
    return cpu if resolve(device).type == "cpu" else gpu


def about(device: str | torch.device = "auto") -> str:
    """One line for a bug report or the top of a notebook: versions, and the name of the device that is used.

    Raises :class:`ParameterError` for a device that this machine lacks.
    """
    import platform

    import numpy
    import pandas
    import torch

    from .. import __version__

    found = resolve(device)
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else found.type.upper()
    versions = {"mmrec_lib": __version__, "Python": platform.python_version(), "torch": torch.__version__}
    versions |= {"numpy": numpy.__version__, "pandas": pandas.__version__}
    return ", ".join(f"{package} {number}" for package, number in versions.items()) + f"; device: {name}"
