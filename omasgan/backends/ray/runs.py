"""Final runs on Ray: each is one task, repeated when its process dies or stalls."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray

from omasgan.backends import shares
from omasgan.backends.ray import worker
from omasgan.backends.ray.attempts import (
    LOOKS,
    STALLED,
    WATCH_SECONDS,
    Attempt,
    Attempts,
    cause_of_death,
)
from omasgan.backends.ray.needs import Need, result
from omasgan.backends.ray.room import Room
from omasgan.backends.ray.worker import PREDICTED
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.progress import Note, OnEvent, RunEnded
from omasgan.store import files
from omasgan.store.journal import Row
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob
from omasgan.training.trials import death

_DEATHS = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.TaskCancelledError,
)


def carry_out(
    runs: Sequence[Run],
    dataset: ray.ObjectRef,
    room: Room,
    stall_seconds: float,
    on_event: OnEvent,
) -> list[Row]:
    """Execute ``runs``, as many at once as there is room for; return their rows in their order.

    Raises:
        OmasganError: what no other attempt would mend, such as a full disk.
    """
    waiting, running, rows = deque(runs), dict[Any, Run](), dict[Run, Row]()
    while waiting or running:
        while waiting and len(running) < max(1, room.trials()):
            run = waiting.popleft()
            running[run.begin(room, dataset)] = run
        ended, _ = ray.wait(list(running), num_returns=1, timeout=WATCH_SECONDS)
        for reference in ended:
            run = running.pop(reference)
            row = run.end(reference)
            if row is None:
                on_event(Note(f"{run} is repeated: {run.cause}"))
                waiting.appendleft(run)
            else:
                rows[run] = row
                on_event(RunEnded(row, len(rows), len(runs)))
        for reference, run in running.items():
            if run.check(stall_seconds):
                ray.cancel(reference, force=True)
    return [rows[run] for run in runs]


class Run:
    """One final run, and the attempts at it; ``cause`` is why the last one is repeated."""

    def __init__(self, job: RunJob, need: Need, spec: BenchmarkSpec, dataset: Dataset) -> None:
        self._job, self._need, self._spec, self._dataset = job, need, spec, dataset
        self._attempts = Attempts(need)
        self._attempt = Attempt(need.share)
        self._token, self._looked, self._n_epochs = "", 0.0, -1
        self.cause: str | None = None

    def __str__(self) -> str:
        return f"run of {self._job.detector}, fold {self._job.fold}, seed {self._job.seed}"

    def begin(self, room: Room, dataset: ray.ObjectRef) -> ray.ObjectRef:
        """Begin the next attempt; return what its row will come by."""
        self._attempt = self._attempts.begin()
        self._token, self._looked = uuid.uuid4().hex, time.monotonic()
        share = self._attempt.share
        # A process keeps to the GPU that it used first, and to some errors of CUDA: it ends with
        # its run. Ray heeds ``max_calls`` here only, not among the options of a call.
        task = ray.remote(
            max_retries=0,
            num_cpus=room.cpus_for(self._attempt),
            num_gpus=share,
            max_calls=1 if shares.uses_gpu(self._job.device, share) else 0,
        )(worker.train_run)
        return task.options(name=str(self)).remote(*self._arguments(), dataset)

    def _arguments(self) -> tuple[RunJob, BenchmarkSpec, str]:
        """Return what the process of this attempt is given; it shows the token once it has
        begun.
        """
        share = self._attempt.share
        about: dict[str, Any] = {"gpus": share} if share else {}
        if self._need.memory_mb is not None:
            about = {"gpus": share, PREDICTED: self._need.memory_mb}
        device = shares.device_for(self._job.device, share)
        return replace(self._job, device=device, about=about), self._spec, self._token

    def end(self, reference: ray.ObjectRef) -> Row | None:
        """Return the row of the run whose attempt has ended; None if another one is to follow.

        Raises:
            OmasganError: what no other attempt would mend, such as a full disk.
        """
        try:
            row: Row = result(reference)
        except _DEATHS as problem:
            error = f"{type(problem).__name__}: {cause_of_death(problem)}"
            error = STALLED if self._attempt.has_stalled else error
            self.cause = self._attempts.cause_to_repeat(None, error, self._epochs())
            return None if self.cause else self._lost(error)
        self.cause = self._attempts.cause_to_repeat(row["outcome"], "", None)
        return None if self.cause else row

    def _lost(self, error: str) -> Row:
        """Store and return the row of a run whose process has died too often."""
        files.delete(worker.begun_mark(self._job, self._spec))
        device = shares.expected_device(self._job.device, self._attempt.share)
        job = replace(self._job, device=device)
        return evaluate.lost_run(job, self._spec, self._dataset, death(error))

    def check(self, stall_seconds: float) -> bool:
        """Return whether the attempt has begun and logged no epoch for so long; the store is read
        now and then only.
        """
        now = time.monotonic()
        if now - self._looked > stall_seconds / LOOKS:
            self._looked, n_epochs = now, self._epochs()
            # It may wait for room on the cluster for as long as it takes.
            if n_epochs != self._n_epochs or not self._has_begun():
                self._n_epochs = n_epochs
                self._attempt.show_life()
            self._attempt.check(stall_seconds)
        return self._attempt.has_stalled

    def _has_begun(self) -> bool:
        return files.read(worker.begun_mark(self._job, self._spec)) == self._token.encode()

    def _epochs(self) -> int:
        return len(self._job.store.read_epochs(evaluate.run_key(self._job, self._spec)))
