"""GPU shares: how many trials fit on a cluster, and how a trial keeps to its part of a GPU."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Mapping

from omasgan.errors import BackendError, ConfigError
from omasgan.nn.memory import CUDA_MB


def check_share(cpus: float, gpus: float) -> None:
    """Check what a trial is to get.

    Raises:
        ConfigError: ``cpus`` is not positive, or ``gpus`` is neither in [0, 1] nor whole.
    """
    if not (math.isfinite(cpus) and cpus > 0):
        raise ConfigError(f"cpus per trial must be above 0, got {cpus}")
    if not (math.isfinite(gpus) and gpus >= 0) or (gpus > 1 and gpus != int(gpus)):
        raise ConfigError(f"gpus per trial must be in [0, 1] or a whole number, got {gpus}")


def capacity(nodes: Iterable[Mapping[str, float]], cpus: float, gpus: float) -> int:
    """How many trials of ``cpus`` CPUs and ``gpus`` GPUs run at once on nodes with such resources.

    A share does not spread over two GPUs, so each GPU holds a whole number of them:

    >>> capacity([{"CPU": 16, "GPU": 2}], cpus=1, gpus=0.4)
    4

    Raises:
        BackendError: not even one fits.
    """
    nodes = list(nodes)
    total = sum(_on_node(node.get("CPU", 0), node.get("GPU", 0), cpus, gpus) for node in nodes)
    if total == 0:
        has = "; ".join(f"{n.get('CPU', 0):g} CPUs, {n.get('GPU', 0):g} GPUs" for n in nodes)
        raise BackendError(
            f"a trial of {cpus:g} CPUs and {gpus:g} GPUs fits on no node ({has or 'no node'}); "
            "lower --cpus-per-trial or --gpus-per-trial"
        )
    return total


def _on_node(has_cpus: float, has_gpus: float, cpus: float, gpus: float) -> int:
    by_cpu = math.floor(has_cpus / cpus + 1e-9)
    if gpus == 0:
        return by_cpu
    if gpus < 1:
        return min(by_cpu, int(has_gpus) * math.floor(1 / gpus + 1e-9))
    return min(by_cpu, int(has_gpus // gpus))


def device_for(device: str, gpus: float) -> str:
    """``auto`` without a share of a GPU is the CPU, even where a GPU can be seen."""
    return "cpu" if device == "auto" and gpus == 0 else device


def keep_to_share(gpus: float) -> None:
    """Let this process allocate at most its share of the GPU's memory; more is out-of-memory."""
    import torch

    if 0 < gpus < 1 and torch.cuda.is_available():
        total = torch.cuda.mem_get_info()[1] / 2**20
        torch.cuda.set_per_process_memory_fraction(for_tensors(gpus, total))


def for_tensors(share: float, gpu_mb: float) -> float:
    """The part of a GPU that tensors may take within ``share``: the rest is CUDA's own.

    A share that leaves nothing is halved, for tensors must lie somewhere.

    >>> round(for_tensors(0.5, 10 * CUDA_MB), 3)
    0.4
    """
    return max(share - CUDA_MB / gpu_mb, share / 2)


def release() -> None:
    """Give back what the last trial of this process held, so that others can have it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
