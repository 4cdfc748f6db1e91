"""The backend that runs everything in this process, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omasgan.backends import devices
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.detectors.base import Epoch
from omasgan.errors import BackendError
from omasgan.progress import EpochEnded, OnEvent, RunEnded
from omasgan.study.search import Search
from omasgan.study.trial_log import TrialLog
from omasgan.training import evaluate
from omasgan.training.environment import resolve_device
from omasgan.training.jobs import RunJob
from omasgan.training.measuring import lost_gpu

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath


class LocalBackend:
    """One trial or run at a time, without a cluster."""

    def check_out(self, root: AnyPath) -> None:
        """Nothing: the driver works here itself, and has checked the store already."""

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        logs = [TrialLog(search, on_event) for search in searches]
        # In turns where time is limited, so that each study has its share of it.
        in_turns = any(math.isfinite(search.deadline) for search in searches)
        while any(log.remaining for log in logs):
            for log in logs:
                while log.remaining:
                    _train(log)
                    if in_turns:
                        break

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        for note in devices.notes(jobs, spec, [resolve_device(job.device) for job in jobs]):
            on_event(note)
        rows: list[dict[str, Any]] = []
        for job in jobs:
            run = f"{job.detector}, fold {job.fold}, seed {job.seed}"

            def show(epoch: Epoch, run: str = run) -> None:
                text = f"{run}, {epoch.phase}, epoch {epoch.index}"
                on_event(EpochEnded(text, len(rows), len(jobs)))

            rows.append(evaluate.run_fold(job, spec, dataset, show))
            on_event(RunEnded(rows[-1], len(rows), len(jobs)))
            _check_gpu(job.device)
        return rows

    def close(self) -> None:
        """Nothing: nothing was started."""


def _train(log: TrialLog) -> None:
    """Train the next trial of a search."""
    trial = log.begin()
    for row in evaluate.run_trial(log.search.trial_job(trial), log.search.data):
        if log.enter(trial.number, [row]):
            break
    log.end(trial.number)
    _check_gpu(log.search.device)


def _check_gpu(device: str) -> None:
    """See that this process can go on using its GPU: what follows would fail for nothing.

    Raises:
        BackendError: an error of CUDA has ended that.
    """
    reason = lost_gpu(device)
    if reason is not None:
        raise BackendError(
            f"this process cannot use its GPU any more: {reason}; the same command goes on in a "
            "new process, and --backend ray replaces such processes itself"
        )
