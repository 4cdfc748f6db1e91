"""Shares of a GPU: how much of one a training gets, and how many trainings run at once so.

A share is a part of one GPU in [0, 1], or a whole number of GPUs; 0 is the CPU.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from omasgan.errors import BackendError, ConfigError, TrainingDiverged
from omasgan.training.environment import device_class, has_used_gpu
from omasgan.training.measuring import CUDA_MB, MB, is_out_of_memory

MARGIN = 1.2
"""How much more than the largest probed configuration a trial is given: others may need more."""

MOST = 16
"""Trials on one GPU at most; more of them would only wait for each other."""

UNKNOWN_GPU_MB = 16.0 * 1024
"""The memory that is assumed of a GPU that is claimed but cannot be seen."""

EPSILON = 1e-9
"""What rounding may take from a quotient that is whole."""


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
    """Return how many trials of ``cpus`` CPUs and ``gpus`` GPUs run at once on these nodes.

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
    by_cpu = math.floor(has_cpus / cpus + EPSILON)
    if gpus == 0:
        return by_cpu
    if gpus < 1:
        return min(by_cpu, int(has_gpus) * math.floor(1 / gpus + EPSILON))
    return min(by_cpu, int(has_gpus // gpus))


def share_for(memory_mb: float, gpu_mb: float) -> float:
    """Return the share 1/n of a GPU of ``gpu_mb`` so that n trials of ``memory_mb`` fit, each with
    a ``MARGIN``; 0 for a trial that needs no GPU.

    A trial that has a whole GPU needs no margin.

    >>> share_for(3_000, 16_384), share_for(15_000, 16_384), share_for(0, 16_384)
    (0.25, 1.0, 0.0)

    Raises:
        ConfigError: not even one fits.
    """
    if memory_mb == 0:
        return 0.0
    if memory_mb > gpu_mb:
        raise ConfigError(
            f"a trial needs {memory_mb:.0f} MB of GPU memory, a GPU has {gpu_mb:.0f} MB; "
            "lower widths and batch sizes in the space, or use larger GPUs"
        )
    return _part(max(1, min(MOST, int(gpu_mb / (memory_mb * MARGIN)))))


def larger(share: float) -> float | None:
    """Return the next share for a trial that ran out of memory, at least twice as much; None after
    a whole GPU, or without any.

    >>> larger(0.25), larger(0.3333), larger(1.0)
    (0.5, 1.0, None)
    """
    if not 0 < share < 1:
        return None
    return _part(max(1, int(1 / share + EPSILON) // 2))


def _part(n: int) -> float:
    """Return 1/n, rounded down to what Ray tells apart, so that n of them fit."""
    return math.floor(1e4 / n) / 1e4


def predict(
    detector: str, configurations: Sequence[Mapping[str, Any]], X: NDArray[Any], device: str
) -> float:
    """Return the megabytes of a GPU that a trial needs: the most that a configuration took.

    Each is shortly trained on ``X``. One that does not fit on the GPU needs a whole one; one that
    diverges is left out.

    Raises:
        ConfigError: no configuration could be probed.
    """
    needs, error = [], ""
    for params in configurations:
        try:
            needs.append(needed_mb(detector, params, X, device))
        except (TrainingDiverged, ConfigError) as problem:
            error = str(problem)
    if not needs:
        raise ConfigError(f"no configuration of {detector} could be probed: {error}")
    return max(needs)


def needed_mb(detector: str, params: Mapping[str, Any], X: NDArray[Any], device: str) -> float:
    """Return the megabytes of a GPU that a short training on ``X`` took; all that the GPU has if
    it did not fit.

    Raises:
        TrainingDiverged: it did.
    """
    from omasgan.training import probe

    try:
        return probe.gpu_memory_mb(detector, params, X, device=device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return gpu_mb()


def gpu_mb() -> float:
    """Return the memory of this process's GPU, ``UNKNOWN_GPU_MB`` where none can be seen."""
    import torch

    if not torch.cuda.is_available():
        return UNKNOWN_GPU_MB
    return torch.cuda.mem_get_info()[1] / MB


def device_for(device: str, gpus: float) -> str:
    """Return the device to ask for: ``auto`` without a share of a GPU is the CPU, even where a GPU
    can be seen.
    """
    return "cpu" if device == "auto" and gpus == 0 else device


def expected_device(device: str, gpus: float) -> str:
    """Return the device that a training with such a share is expected to run on, as far as it is
    known before it runs.

    >>> expected_device("auto", 0.5), expected_device("auto", 0), expected_device("cuda:1", 0)
    ('cuda', 'cpu', 'cuda:1')
    """
    asked = device_for(device, gpus)
    return "cuda" if asked == "auto" else asked


def uses_gpu(device: str, gpus: float) -> bool:
    """Return whether a training with such a share is expected to run on a GPU."""
    return device_class(expected_device(device, gpus)) == "cuda"


def keep_to_share(gpus: float) -> None:
    """Let this process allocate at most its share of the GPU's memory; more is out-of-memory.

    A process that had a smaller share before is given what it has now.
    """
    if gpus == 0:
        return
    import torch

    if torch.cuda.is_available():
        part = for_tensors(gpus, gpu_mb()) if gpus < 1 else 1.0
        torch.cuda.set_per_process_memory_fraction(part)


def for_tensors(share: float, gpu_mb: float) -> float:
    """Return the part of a GPU that tensors may take within ``share``: the rest is CUDA's own.

    A share that leaves nothing is halved, for tensors must lie somewhere.

    >>> round(for_tensors(0.5, 10 * CUDA_MB), 3)
    0.4
    """
    return max(share - CUDA_MB / gpu_mb, share / 2)


def release() -> None:
    """Free the GPU memory that the last trial of this process held, so that others can have it."""
    gc.collect()
    if has_used_gpu():
        import torch

        torch.cuda.empty_cache()
