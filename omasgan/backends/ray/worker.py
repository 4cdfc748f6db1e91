"""What Ray's workers execute: one trial, one final run, one measuring of a GPU's memory."""

from __future__ import annotations

import contextlib
import importlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from numpy.typing import NDArray

from omasgan import detectors
from omasgan.backends import shares
from omasgan.backends.ray import nodes
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TrialData
from omasgan.errors import BackendError, OmasganError, TrainingDiverged
from omasgan.store import files
from omasgan.store.journal import Row
from omasgan.training import evaluate
from omasgan.training.environment import compute_with_threads
from omasgan.training.jobs import RunJob, TrialJob
from omasgan.training.measuring import failure
from omasgan.training.trials import Ending, EpochRow, Refusal, TrialRow

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

PREDICTED = "predicted_gpu_memory_mb"
"""The column of a row that says what a training was measured to need of its GPU."""

REPORT_SECONDS = 5.0
"""Rows of a trial travel together for this long: each report costs a round trip."""


@dataclass(frozen=True)
class TrialPayload:
    """What a worker receives of a search, once."""

    prune_collapsed: bool
    threads: int
    data: TrialData


def load(names: Sequence[str]) -> None:
    """Run on a worker: import what final runs of these detectors need besides this file."""
    importlib.import_module("pandas")
    for name in names:
        detectors.load(name)


def train_trial(config: dict[str, Any], *, parts: list[Any]) -> None:
    """Run on a worker: a trial whose rows travel to the driver in numbered batches."""
    from ray import tune

    payload: TrialPayload = ray.get(parts[config["search"]])
    _import_what_computes(config["job"])
    # A node to itself is not more threads, which would round otherwise.
    compute_with_threads(payload.threads)
    with _produced_ahead(trial_rows(config, payload)) as rows:
        # Sent at once, so that the driver can end a process from which nothing else comes.
        tune.report({"batch": 0, "rows": [], "location": nodes.this_process()})
        for number, batch in enumerate(_batches(rows, payload.prune_collapsed), start=1):
            ending = batch[-1]
            if isinstance(ending, Ending):
                shares.release()
                batch[-1] = ending = _with_share(ending, config)
            tune.report({"batch": number, "rows": batch})
            if isinstance(ending, Ending) and ending.outcome == "failed" and _on_gpu(config):
                # A CUDA error can leave the process unusable; Tune does not reuse one that raises.
                raise BackendError(str(ending.error))


def _import_what_computes(job: TrialJob) -> None:
    """Import torch, if the trial needs it: later it would take no more threads than there are
    cores.
    """
    with contextlib.suppress(OmasganError):  # which the training will tell
        detectors.load(job.detector)
    if job.cache is not None:  # the key of a state names torch's threads
        importlib.import_module("torch")


def resources(config: dict[str, Any]) -> Any:
    """Return what Tune reserves for a trial; the function travels to the worker."""
    from ray import tune

    return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])


def _on_gpu(config: dict[str, Any]) -> bool:
    return shares.uses_gpu(config["job"].device, config["gpus"])


def _with_share(ending: Ending, config: dict[str, Any]) -> Ending:
    """Return an ending that says what share of a GPU the trial had, if any."""
    share, needed = config["gpus"] or None, config["needed"] or None
    return replace(ending, gpus=share, predicted_gpu_memory_mb=needed)


def trial_rows(config: dict[str, Any], payload: TrialPayload) -> Iterator[TrialRow]:
    """Yield the rows of a trial; a ``Refusal`` ends them where no trial can work."""
    job: TrialJob = config["job"]
    study = None if job.workdir is None else job.workdir.parents[1]
    if study is not None and not files.is_folder(study):
        yield Refusal(f"node {nodes.this_process().ip} does not see '{study}'")
        return
    problem = _keep_to_share(config["gpus"])
    if problem is not None:
        yield problem
        return
    try:
        yield from evaluate.run_trial(job, payload.data)
    except OmasganError as error:
        yield Refusal(str(error))


def _keep_to_share(gpus: float) -> Ending | None:
    """Keep this process to its share of a GPU; return how its training ends where a GPU has no
    room left even for that.
    """
    try:
        shares.keep_to_share(gpus)
    except RuntimeError as error:
        outcome, text = failure(error)
        return Ending(outcome, error=text)
    return None


@contextlib.contextmanager
def _produced_ahead(rows: Iterator[TrialRow]) -> Iterator[Iterator[TrialRow]]:
    """Yield the same rows, produced by a thread of their own: while a report waits for the
    driver's round trip, the training goes on. It ends after its current epoch when the context is
    left.
    """
    ready: queue.SimpleQueue[TrialRow | None] = queue.SimpleQueue()
    left = threading.Event()

    def produce() -> None:
        try:
            for row in rows:
                ready.put(row)
                if left.is_set():
                    break
        finally:
            ready.put(None)

    # The rows tell their errors; a trial without an ending counts as one whose process died.
    thread = threading.Thread(target=produce, name="training", daemon=True)
    thread.start()
    try:
        yield iter(ready.get, None)
    finally:
        left.set()
        thread.join()


def _batches(rows: Iterable[TrialRow], prune_collapsed: bool) -> Iterator[list[TrialRow]]:
    """Yield rows in batches that end with those on which the driver decides something; the first
    row shows at once that the trial trains.
    """
    batch: list[TrialRow] = []
    begun = float("-inf")
    for row in rows:
        batch.append(row)
        is_decided_on = not isinstance(row, EpochRow) or (prune_collapsed and row.has_collapsed)
        if is_decided_on or time.monotonic() - begun > REPORT_SECONDS:
            yield batch
            batch, begun = [], time.monotonic()


def train_run(job: RunJob, spec: BenchmarkSpec, token: str, dataset: Dataset) -> Row:
    """Run on a worker: one final run, which leaves ``token`` beside it while it lasts."""
    share = job.about.get("gpus", 0.0)
    files.write_atomic(begun_mark(job, spec), token.encode())
    problem = _keep_to_share(share)
    if problem is None or job.store.is_done(evaluate.run_key(job, spec)):
        row = evaluate.run_fold(job, spec, dataset)
    else:
        expected = replace(job, device=shares.expected_device(job.device, share))
        row = evaluate.lost_run(expected, spec, dataset, problem)
    files.delete(begun_mark(job, spec))
    shares.release()
    return row


def measure_configurations(
    detector: str, configurations: Sequence[Mapping[str, Any]], X: NDArray[Any], device: str
) -> tuple[float, float]:
    """Run on a worker: return the megabytes of a GPU that a trial needs, and that a GPU has."""
    return shares.predict(detector, configurations, X, device), shares.gpu_mb()


def measure_run(job: RunJob, spec: BenchmarkSpec, dataset: Dataset) -> tuple[float, float]:
    """Run on a worker: return the same for a final run; one that cannot be measured needs all."""
    X = protocols.FoldSamples(dataset, evaluate.fold_of(job, spec, dataset)).train
    try:
        needed = shares.needed_mb(job.detector, job.params, X, job.device)
    except TrainingDiverged:
        needed = shares.gpu_mb()
    return needed, shares.gpu_mb()


def begun_mark(job: RunJob, spec: BenchmarkSpec) -> AnyPath:
    """Return the file that lies beside a run while a process is at it."""
    return job.store.run_dir(evaluate.run_key(job, spec)) / ".begun"
