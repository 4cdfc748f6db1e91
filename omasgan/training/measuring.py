"""What a training costs (time and memory), and which outcome an error means."""

from __future__ import annotations

import logging
import os
import resource
import time
from pathlib import Path

from omasgan.errors import TrainingDiverged

logger = logging.getLogger(__name__)

MB = 2**20
"""Bytes; so one MB is a mebibyte."""


class Measurement:
    """The time and the peak memory of what this process does from now on."""

    def __init__(self, seconds_before: float = 0.0) -> None:
        """Begin to measure; ``seconds_before`` is what an interrupted attempt has taken.

        Torch gets one thread, unless the environment sets ``OMP_NUM_THREADS``: two trainings of
        one thread each are faster than one after the other with two.
        """
        import torch

        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            logger.debug("the peak memory of this process cannot be reset")
        self._started = time.monotonic() - seconds_before

    @property
    def seconds(self) -> float:
        """The time so far."""
        return time.monotonic() - self._started

    def costs(self) -> dict[str, float]:
        """Return ``seconds``, ``peak_memory_mb`` (resident, since the measurement began; since the
        process began where the system cannot reset it) and, with a GPU, ``gpu_peak_memory_mb``.
        """
        import torch

        costs = {"seconds": self.seconds, "peak_memory_mb": peak_resident_mb()}
        if torch.cuda.is_available():
            costs["gpu_peak_memory_mb"] = torch.cuda.max_memory_reserved() / MB
        return costs


def peak_resident_mb() -> float:
    """Return the peak resident memory of this process since its measurement began."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def failure(error: Exception) -> tuple[str, str]:
    """Return the outcome and the error text of a training that raised ``error``."""
    import torch

    text = str(error).strip() or type(error).__name__
    if isinstance(error, TrainingDiverged):
        return "diverged", text
    # The CPU allocator raises a RuntimeError, which only its message tells from others.
    by_message = isinstance(error, RuntimeError) and "can't allocate memory" in text
    if by_message or isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out-of-memory", text
    logger.error("training failed: %s", text, exc_info=error)
    return "failed", f"{type(error).__name__}: {text}"
