"""Several processes, one cache: what ``torchrun`` says about this process, and how the others are asked.

Without ``torchrun`` (no ``WORLD_SIZE`` in the environment) nothing here imports torch.
"""

from __future__ import annotations

import os


def rank_and_world() -> tuple[int, int]:
    """Number of this process and of all; ``(0, 1)`` when it is alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return 0, 1
    _join()
    return int(os.environ["RANK"]), world


def own_device(device):
    """The GPU of this process, where several processes share a machine with several."""
    if rank_and_world()[1] > 1 and device.type == "cuda" and device.index is None:
        import torch

        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return device


def gather(value) -> list:
    """The value of every process, in the order of their ranks; waits for all."""
    import torch.distributed as dist

    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _join() -> None:
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo")  # plain Python objects travel, never vectors: these go through the cache
