"""What a training costs (time and memory), and which outcome an error means."""

from __future__ import annotations

import logging
import re
import resource
import sys
import time
from pathlib import Path

from omasgan.errors import TrainingDiverged
from omasgan.training.environment import device_class, has_used_gpu

logger = logging.getLogger(__name__)

MB = 2**20
"""Bytes; so one MB is a mebibyte."""

CUDA_MB = 900.0
"""What a process takes of a GPU besides tensors: context, kernels, the libraries' working space.
An H200 with CUDA 13.0 took 836 after a training; other chips and versions differ.
"""

_MEMORY_RAN_OUT = re.compile(
    "can't allocate memory"  # the CPU's allocator
    # A context, or what a kernel needs; PyTorch's own allocator has an error class.
    "|CUDA (driver )?error: out of memory"
    # CUDA's libraries: cuBLAS and cuDNN say the last where no memory is left for their handles.
    r"|CU\w+_(STATUS_)?ALLOC_FAILED"
    "|(CUBLAS|CUDNN)_STATUS_NOT_INITIALIZED"
)


class Measurement:
    """The time and the peak memory of what this process does from now on."""

    def __init__(self, seconds_before: float = 0.0) -> None:
        """Begin to measure; ``seconds_before`` is what an interrupted attempt has taken.

        A GPU is measured from ``on_device`` on.
        """
        self._gpu: str | None = None
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            logger.debug("the peak memory of this process cannot be reset")
        self._started = time.monotonic() - seconds_before

    def on_device(self, device: str) -> None:
        """Measure that device too, if it is a GPU."""
        self._gpu = device if device_class(device) == "cuda" else None
        # A GPU that this process has not used yet has nothing to reset, and asking it would take
        # hundreds of MB of it, which detectors that compute without torch never need.
        if self._gpu is not None and has_used_gpu():
            import torch

            torch.cuda.reset_peak_memory_stats(self._gpu)

    @property
    def seconds(self) -> float:
        """The time so far."""
        return time.monotonic() - self._started

    def costs(self) -> dict[str, float]:
        """Return ``seconds``, ``peak_memory_mb`` (resident, since the measurement began; since the
        process began where the system cannot reset it) and, if a GPU was used,
        ``gpu_peak_memory_mb``.
        """
        costs = {"seconds": self.seconds, "peak_memory_mb": peak_resident_mb()}
        if self._gpu is not None and has_used_gpu():
            import torch

            costs["gpu_peak_memory_mb"] = torch.cuda.max_memory_reserved(self._gpu) / MB
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
    text = str(error).strip() or type(error).__name__
    if isinstance(error, TrainingDiverged):
        return "diverged", text
    if is_out_of_memory(error):
        return "out-of-memory", text
    logger.error("training failed: %s", text, exc_info=error)
    return "failed", f"{type(error).__name__}: {text}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory, of the machine or of a GPU, ran out: often only words tell."""
    torch_s = sys.modules["torch"].OutOfMemoryError if "torch" in sys.modules else MemoryError
    if isinstance(error, (torch_s, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_MEMORY_RAN_OUT.search(str(error)))


def lost_gpu(device: str) -> str | None:
    """Return why this process cannot use its GPU any more; None if it can, or uses none.

    After errors such as an illegal address every later call of CUDA in the process fails as well.
    """
    gpu = "cuda" if device == "auto" else device
    if device_class(gpu) != "cuda" or not has_used_gpu():
        return None
    import torch

    try:
        torch.cuda.synchronize(gpu)
    except RuntimeError as error:
        return None if is_out_of_memory(error) else str(error).splitlines()[0]
    return None
