"""What Ray's workers execute: one trial, one final training, one measuring of a GPU's memory."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from omasgan.backends import gpu, local, shares
from omasgan.backends.ray import cluster
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TrialData
from omasgan.errors import BackendError, OmasganError, TrainingDiverged
from omasgan.store import files
from omasgan.store.files import open_root
from omasgan.store.journal import Row
from omasgan.study.ledger import COLLAPSED
from omasgan.study.space import Space
from omasgan.training import evaluate, probe
from omasgan.training.jobs import RunJob

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

PREDICTED = "predicted_gpu_memory_mb"
"""What a row says that a training was measured to need of its GPU."""

REPORT_SECONDS = 5.0
"""Rows of a trial travel together for this long: each report costs a round trip."""


@dataclass(frozen=True)
class Sent:
    """What a worker receives of a search, once."""

    detector: str
    device: str
    prune_collapsed: bool
    threads: int
    checkpoint_seconds: float
    keep_checkpoints: bool
    data: TrialData


def train_trial(config: dict[str, Any], *, parts: list[Any]) -> None:
    """Run on a worker: a trial whose rows travel to the driver in numbered batches."""
    import torch

    sent: Sent = ray.get(parts[config["search"]])
    gpu.keep_to_share(config["gpus"])
    # A node to itself is not more threads, which would give other rounding.
    torch.set_num_threads(sent.threads)
    with _ahead(_trial_rows(config, sent)) as made:
        # Said at once, so that the driver can end a process from which nothing else comes.
        tune.report({"batch": 0, "rows": [], "place": cluster.place()})
        for number, batch in enumerate(_batches(made, sent.prune_collapsed), start=1):
            ending = batch[-1]
            if "outcome" in ending:
                gpu.release()
                ending |= _placed(config)
            tune.report({"batch": number, "rows": batch})
            if ending.get("outcome") == "failed" and config["gpus"]:
                # A CUDA error can leave the process unusable; Tune does not reuse one that raises.
                raise BackendError(ending["error"])


def _placed(config: dict[str, Any]) -> Row:
    """What a trial's record says of its share; nothing where it needs no GPU."""
    placed = {"gpus": config["gpus"], PREDICTED: config["needed"]}
    return {name: value for name, value in placed.items() if value}


def _trial_rows(config: dict[str, Any], sent: Sent) -> Iterator[Row]:
    """The rows of a trial; ``{"refused": why}`` ends them where no trial can work."""
    workdir = open_root(config["workdir"])
    if not files.is_folder(workdir.parents[1]):
        yield {"refused": f"node {cluster.place().ip} does not see '{workdir.parents[1]}'"}
        return
    try:
        yield from evaluate.run_trial(
            sent.detector,
            config["params"],
            sent.data,
            device=sent.device,
            workdir=workdir,
            every_seconds=sent.checkpoint_seconds,
            keep=sent.keep_checkpoints,
        )
    except OmasganError as error:
        yield {"refused": str(error)}


@contextlib.contextmanager
def _ahead(rows: Iterator[Row]) -> Iterator[Iterator[Row]]:
    """The same rows, made by a thread of its own: a report waits for the driver's round trip, the
    training goes on. It ends after its current epoch when the context is left.
    """
    made: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
    left = threading.Event()

    def make() -> None:
        try:
            for row in rows:
                made.put(row)
                if left.is_set():
                    break
        finally:
            made.put(None)

    # The rows tell their errors; a trial without an ending counts as one whose process died.
    thread = threading.Thread(target=make, name="training", daemon=True)
    thread.start()
    try:
        yield iter(made.get, None)
    finally:
        left.set()
        thread.join()


def _batches(rows: Iterable[Row], prune_collapsed: bool) -> Iterator[list[Row]]:
    """Rows in batches that end with those on which the driver decides something."""
    batch: list[Row] = []
    begun = time.monotonic()
    for row in rows:
        batch.append(row)
        is_decided_on = "epoch" not in row or (prune_collapsed and row.get(COLLAPSED) == 1.0)
        if is_decided_on or time.monotonic() - begun > REPORT_SECONDS:
            yield batch
            batch, begun = [], time.monotonic()


def train_run(job: RunJob, spec: BenchmarkSpec, dataset: Dataset, gpus: float, token: str) -> Row:
    """Run on a worker: one final training, which leaves ``token`` beside it while it lasts."""
    gpu.keep_to_share(gpus)
    files.write_atomic(begun(job, spec), token.encode())
    row = local.run(job, spec, dataset)
    files.delete(begun(job, spec))
    gpu.release()
    return row


def measure_search(
    detector: str, space: Space, data: TrialData, device: str
) -> tuple[float, float]:
    """Run on a worker: the megabytes of a GPU that a trial needs, and that a GPU has."""
    return shares.predict(detector, space, data, device), shares.gpu_mb()


def measure_run(job: RunJob, spec: BenchmarkSpec, dataset: Dataset) -> tuple[float, float]:
    """Run on a worker: the same for one final training; what cannot be measured needs it all."""
    import torch

    X = local.training_samples(job, spec, dataset)
    try:
        needed = probe.gpu_memory_mb(job.detector, job.params, X, device=job.device)
    except (torch.OutOfMemoryError, TrainingDiverged):
        needed = shares.gpu_mb()
    return needed, shares.gpu_mb()


def begun(job: RunJob, spec: BenchmarkSpec) -> AnyPath:
    """The file that a run keeps while its process is at it."""
    return job.store.run_dir(local.run_key(job, spec)) / ".begun"


def import_libraries() -> Iterator[None]:
    """Run on a worker: what takes seconds in a new process; no device is touched."""
    import pandas  # noqa: F401
    import sklearn.base  # noqa: F401
    import torch  # noqa: F401

    yield
