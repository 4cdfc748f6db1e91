"""Which share of a GPU a trial gets, from what its training is measured to need."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from omasgan.errors import ConfigError, TrainingDiverged
from omasgan.study.guide import Guide
from omasgan.study.space import Choice, Fixed, Params, Range, Space
from omasgan.training import probe

if TYPE_CHECKING:
    from omasgan.data.selection import TrialData

MARGIN = 1.2
"""More than the largest probed configuration needs: others of the space may need more."""

MOST = 16
"""Trials on one GPU at most; more of them would only wait for each other."""

UNKNOWN_GPU_MB = 16.0 * 1024
"""Taken for a GPU that is claimed but cannot be seen."""

SAMPLED = 3
"""Configurations that are probed besides the largest."""


def gpu_mb() -> float:
    """The memory of this process's GPU, ``UNKNOWN_GPU_MB`` where none can be seen."""
    import torch

    if not torch.cuda.is_available():
        return UNKNOWN_GPU_MB
    return torch.cuda.mem_get_info()[1] / probe.MB


def share_for(memory_mb: float, gpu_mb: float) -> float:
    """The share 1/n of a GPU of ``gpu_mb`` so that n trials of ``memory_mb`` fit, each with a
    ``MARGIN``; 0 for one that needs none.

    A single trial is given a whole GPU without a margin.

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
    """The next share for a trial that ran out of memory: at least twice as much; None after a
    whole GPU, or without any.

    >>> larger(0.25), larger(0.3333), larger(1.0)
    (0.5, 1.0, None)
    """
    if not 0 < share < 1:
        return None
    return _part(max(1, int(1 / share + 1e-9) // 2))


def predict(detector: str, space: Space, data: TrialData, device: str) -> float:
    """Megabytes of a GPU that a trial needs: the most that a probed configuration took.

    Probed are the largest of the space and some with which a study begins, each shortly trained
    on the first task. One that does not fit on the GPU needs a whole one; one that diverges is
    left out.

    Raises:
        ConfigError: no configuration could be probed.
    """
    import torch

    X = data.pool[data.tasks[0].train]
    found, error = [], ""
    for params in [largest(space), *first(space, SAMPLED)]:
        try:
            found.append(probe.gpu_memory_mb(detector, params, X, device=device))
        except torch.OutOfMemoryError:
            found.append(gpu_mb())
        except (TrainingDiverged, ConfigError) as problem:
            error = str(problem)
    if not found:
        raise ConfigError(f"no configuration of {detector} could be probed: {error}")
    return max(found)


def largest(space: Space) -> Params:
    """The configuration with every number at its upper end; of choices without an order the first.

    Memory grows with widths, depths and batch sizes, and hardly depends on anything else.
    """
    params: Params = {}
    for param in space.params:
        if param.is_active(params):
            params[param.name] = _upper(param.domain)
    return params


def first(space: Space, n: int, *, seed: int = 0, sampler: str = "TPESampler") -> list[Params]:
    """The configurations that a study with this seed begins with: what its sampler suggests as
    long as no trial has ended.
    """
    guide = Guide(space, None, seed=seed, sampler=sampler)
    return [dict(guide.ask().params) for _ in range(n)]


def _upper(domain: Range | Choice | Fixed) -> Any:
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, Range):
        return domain.high
    numbers = [c for c in domain.choices if isinstance(c, int | float)]
    return max(numbers) if len(numbers) == len(domain.choices) else domain.choices[0]


def _part(n: int) -> float:
    """1/n, rounded down to what Ray tells apart, so that n of them fit."""
    return math.floor(1e4 / n) / 1e4
