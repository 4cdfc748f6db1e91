"""Out of memory by another process: what a training says, and that a later one succeeds."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gpu_checks.rows import Options, Row, SkippedError, judged
from gpu_checks.samples import build, samples
from gpu_checks.workers import Worker, workers
from omasgan.data.selection import Task, TrialData
from omasgan.training.evaluate import run_trial
from omasgan.training.jobs import TrialJob
from omasgan.training.trials import Ending

LEFT_BYTES = 48 * 2**20
"""What the neighbour leaves: too little for a context, and for the tensors of this training."""

BATCH = 2048


class Trainer:
    """A process that trains when asked."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def open(self) -> None:
        """Make a context and no more."""
        torch.zeros(1, device=self._options.device)

    def load(self) -> None:
        """Load the libraries' kernels as well."""
        X, _ = samples("mnist", 500, 0)
        build("omasgan", 4, self._options).fit(X)
        torch.cuda.empty_cache()

    def train(self) -> tuple[str, str]:
        """Train a trial; return its outcome and error."""
        params = {f"{phase}_steps": 5 for phase in ("gan", "boundary", "retrain", "detector")}
        job = TrialJob("omasgan", {**params, "batch_size": BATCH}, device=self._options.device)
        *_, ending = run_trial(job, trial_data())
        torch.cuda.empty_cache()
        assert isinstance(ending, Ending)
        return ending.outcome, (ending.error or "")[:160]


class Neighbour:
    """A process that takes nearly all memory of the GPU."""

    def __init__(self, options: Options) -> None:
        self._device = options.device
        self._taken: list[torch.Tensor] = []

    def take(self) -> float:
        """Take all but ``LEFT_BYTES``, as far as the driver gives it; return the bytes left."""
        torch.zeros(1, device=self._device)
        piece = 2**34
        while piece >= 2**22:
            free = torch.cuda.mem_get_info(self._device)[0]
            try:
                size = min(piece, free - LEFT_BYTES)
                if size < 2**22:
                    break
                self._taken.append(torch.empty(size, dtype=torch.uint8, device=self._device))
            except torch.OutOfMemoryError:
                piece //= 2
        return float(torch.cuda.mem_get_info(self._device)[0])


def trial_data() -> TrialData:
    """Return one task on images of MNIST's size."""
    X, test = samples("mnist", 2000, 200)
    rows = torch.arange(len(X) + len(test)).numpy()
    labels = (rows[len(X) :] % 2).astype("int64")
    pool = torch.cat([torch.from_numpy(X), torch.from_numpy(test)]).numpy()
    return TrialData(pool, (Task("odd", rows[: len(X)], rows[len(X) :], labels),), seed=0)


def neighbour(options: Options) -> Iterator[Row]:
    if not options.on_gpu:
        raise SkippedError("a CPU's memory is not divided so")
    with workers(2, Trainer, options) as (loaded, opened):
        loaded.call("load")
        opened.call("open")
        with workers(1, Neighbour, options) as (greedy,), workers(1, Trainer, options) as (late,):
            left = greedy.call("take") / 2**20
            cases = {"kernels loaded": loaded, "context only": opened, "new process": late}
            for case, trainer in cases.items():
                yield _expected(trainer, f"{case}, {left:.0f} MiB left", "out-of-memory")
        for case, trainer in {"kernels loaded": loaded, "context only": opened}.items():
            yield _expected(trainer, f"{case}, neighbour gone", "ok")
    with workers(1, Trainer, options) as (later,):
        yield _expected(later, "new process, neighbour gone", "ok")


def _expected(trainer: Worker, case: str, expected: str) -> Row:
    outcome, error = trainer.call("train")
    values = {"outcome": outcome} | ({"error": error} if error else {})
    return judged("neighbour", case, outcome == expected, values)
