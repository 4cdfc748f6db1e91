"""What a process takes of a GPU: its context, and a training beside what was predicted of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import torch

from gpu_checks.rows import Options, Row, Value, judged
from gpu_checks.running import described
from gpu_checks.samples import build, neural, samples
from gpu_checks.workers import WorkerError, workers
from omasgan.backends.shares import MARGIN
from omasgan.training import probe
from omasgan.training.measuring import CUDA_MB

MIB = 2**20
CONTEXT = "a process's context"


class Tenant:
    """A process that takes some of the GPU."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def open(self) -> None:
        """Make a context and no more."""
        torch.zeros(1, device=self._options.device)
        torch.cuda.synchronize(self._options.device)

    def train(self) -> float:
        """Train with everything that a training uses; return the megabytes of its tensors."""
        X, test = samples("mnist", 2000, 64)
        detector = build("omasgan", 8, self._options).fit(X)
        detector.stage_scores(test)
        return torch.cuda.memory_reserved(self._options.device) / MIB


def memory(options: Options) -> Iterator[Row]:
    if options.on_gpu:
        try:
            yield _context(options)
        except WorkerError as error:
            yield Row("memory", CONTEXT, "failed", {"error": str(error)})
    steps = 5 if options.small else 20
    kind = "digits" if options.small else "mnist"
    for name in ["omasgan"] if options.small else neural():
        try:
            yield _training(name, steps, kind, options)
        except Exception as error:
            yield Row("memory", f"{name}, {kind}", "failed", {"error": described(error)})


def _context(options: Options) -> Row:
    def free() -> float:
        return torch.cuda.mem_get_info(options.device)[0] / MIB

    before = free()
    with workers(1, Tenant, options) as (tenant,):
        tenant.call("open")
        bare = before - free()
        tensors = tenant.call("train")
        whole = before - free() - tensors
    if bare <= 0:
        why = "the free memory does not say what another process takes"
        return Row("memory", CONTEXT, "skipped", {"why": why})
    values = {"bare_mib": bare, "after a training_mib": whole, "assumed_mib": CUDA_MB}
    return judged("memory", CONTEXT, whole <= CUDA_MB, values)


def _training(name: str, steps: int, kind: str, options: Options) -> Row:
    """Compare what a short training is predicted to need with what a longer one takes."""
    X, test = samples(kind, 20_000 if options.on_gpu else 500, 512 if options.on_gpu else 64)
    estimated = probe.gpu_memory_mb(name, {}, X, device="cpu")
    values: dict[str, Value] = {"estimated on a CPU_mib": estimated}
    if not options.on_gpu:
        build(name, steps, options).fit(X)
        return Row("memory", f"{name}, {kind}", "told", values)
    _forget()
    predicted = probe.gpu_memory_mb(name, {}, X, device=options.device)
    _forget()
    detector = build(name, steps, options).fit(X)
    detector.stage_scores(test)
    took = torch.cuda.max_memory_reserved(options.device) / MIB
    values |= {"predicted_mib": predicted, "took_mib": took + CUDA_MB, "tensors_mib": took}
    return judged("memory", f"{name}, {kind}", took + CUDA_MB <= MARGIN * predicted, values)


def _forget() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
