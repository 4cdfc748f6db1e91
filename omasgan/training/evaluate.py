"""Train and score: a trial of a study on its tasks, a run of a benchmark on its fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan import detectors
from omasgan.data import fold_names, metrics, protocols, selection
from omasgan.errors import OmasganError, StoreError, TrainingDiverged
from omasgan.store import saved
from omasgan.store.files import AnyPath, delete, delete_leftovers, write_atomic
from omasgan.store.journal import Row
from omasgan.store.results import RunKey
from omasgan.training import extremes
from omasgan.training.environment import (
    code_version,
    compute_on_one_thread,
    device_class,
    resolve_device,
    torch_version,
)
from omasgan.training.epoch_log import EpochLog
from omasgan.training.loop import Training
from omasgan.training.measuring import Measurement, failure
from omasgan.training.trials import Ending, EpochRow, TrialRow, ValueRow

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.data.datasets import Dataset
    from omasgan.data.protocols import Fold
    from omasgan.data.selection import TrialData
    from omasgan.detectors.base import Epoch, IterativeDetector
    from omasgan.training.jobs import RunJob, TrialJob

PICTURES = 10
"""How many images a row of ``pictures.npz`` holds."""


def run_trial(job: TrialJob, data: TrialData) -> Iterator[TrialRow]:
    """Train and judge one configuration on every task of ``data``.

    Yields an ``EpochRow`` for each epoch, a ``ValueRow`` for each task and at the very end an
    ``Ending``. With a ``workdir`` an interrupted trial goes on where it stopped; the checkpoint
    of a task (``task_checkpoint``) may be deleted once its value is recorded. The task ``step``
    is trained with the seed ``data.seed + step``, the same for all trials.

    Raises:
        StoreError: ``workdir`` cannot be read or written; that says nothing of the trial.
    """
    measurement = Measurement()
    values = dict(job.values)
    outcome, error, stage, objective = "ok", None, None, None
    try:
        cls = detectors.load(job.detector)
        compute_on_one_thread()
        device = resolve_device(job.device)
        measurement.on_device(device)
        data = data.in_memory()
        for step in range(len(data.tasks)):
            if step not in values:
                detector = cls(**job.params, seed=data.seed + step, device=device)
                for row in _train_on_task(detector, job, data, step):
                    if isinstance(row, ValueRow):
                        values[step] = row.values
                    yield row
        stage, objective = best_stage(values)
    except StoreError:
        raise
    except Exception as problem:
        outcome, error = failure(problem)
    yield Ending(outcome, objective, error, stage, **measurement.costs())


def best_stage(values: Mapping[int, Mapping[str, float]]) -> tuple[str, float]:
    """Return the stage with the highest mean value over all tasks (the first of equals) and that
    mean: a trial's objective.

    >>> best_stage({0: {"j": 0.5, "task1": 0.75}, 1: {"j": 0.75, "task1": 0.25}})
    ('j', 0.625)
    """
    means = {
        stage: float(np.mean([by_stage[stage] for _, by_stage in sorted(values.items())]))
        for stage in values[min(values)]
    }
    best = max(means, key=lambda stage: means[stage])
    return best, means[best]


def task_checkpoint(workdir: AnyPath, step: int) -> AnyPath:
    """Return the file in which a trial in ``workdir`` saves the state of its ``step``-th task."""
    return workdir / f"task-{step}.safetensors"


def _train_on_task(
    detector: IterativeDetector, job: TrialJob, data: TrialData, step: int
) -> Iterator[EpochRow | ValueRow]:
    """Yield the rows of one task of a trial: its epochs, then its value."""
    task = data.tasks[step]
    X = selection.training_samples(task, data.pool)
    checkpoint = None if job.workdir is None else task_checkpoint(job.workdir, step)
    shared = None if job.cache is None else job.cache.open(detector, X)
    training = Training(detector, X, checkpoint, job.checkpoints, shared)
    for epoch in training.epochs():
        yield EpochRow(task.name, step, epoch.index, epoch.phase, dict(epoch.losses))
        if training.is_due:
            training.save()
    values = _values(detector, job, data, step)
    if job.checkpoints.keep:
        training.save()
    yield ValueRow(task.name, step, values, None if shared is None else shared.seconds)


def _values(
    detector: IterativeDetector, job: TrialJob, data: TrialData, step: int
) -> dict[str, float]:
    """Return the task's value for each stage that is judged."""

    def scores(X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        by_stage = detector.stage_scores(X)
        return {
            stage: _finite("score" if stage == detector.stage else stage, by_stage[stage])
            for stage in job.stages or (detector.stage,)
        }

    return selection.values(data.tasks[step], scores, data.pool)


def run_fold(
    job: RunJob,
    spec: BenchmarkSpec,
    dataset: Dataset,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Row:
    """Train on the job's fold, test it, store scores and row, and return the row.

    A run that is done is returned as it is stored; one that was interrupted goes on from its
    checkpoint. With a ``cache`` the row has ``cached_seconds``: the training time, not in
    ``seconds``, that other runs have saved it.

    Raises:
        StoreError: the store cannot be read or written.
        OmasganError: the detector cannot work with these data or params. What goes wrong in the
            training itself is in the row's ``outcome`` and ``error``.
    """
    key = run_key(job, spec)
    if job.store.is_done(key):
        return job.store.read_result(key) or {}
    fold = fold_of(job, spec, dataset)
    log = EpochLog(job.store, key)
    checkpoint = job.store.run_dir(key) / "checkpoint.safetensors"
    measurement = Measurement(log.seconds_before(checkpoint))
    device = resolve_device(job.device)
    measurement.on_device(device)
    row = identity(job, spec, dataset, fold) | _device(device) | dict(job.about)
    scores = None
    try:
        detector = detectors.load(job.detector)(**job.params, seed=job.seed, device=device)
        compute_on_one_thread()
        samples = protocols.FoldSamples(dataset, fold)
        X, anomalies = samples.train, [samples.labelled] if len(fold.labelled) else []
        shared = None if job.cache is None else job.cache.open(detector, X, *anomalies)
        training = Training(detector, X, checkpoint, job.checkpoints, shared, *anomalies)
        with log.following(training):
            for epoch in training.epochs():
                log.add(epoch, measurement.seconds, shared.seconds if shared else 0.0)
                on_epoch(epoch)
                if training.is_due:
                    log.flush()
                    training.save()
        row |= log.summary(cached=job.cache is not None)
        columns = _score(detector, dataset, fold, samples.test)
        _save_pictures(detector, X[:PICTURES], job.store.run_dir(key))
        extremes.save(job.store.run_dir(key), columns, dataset.test.X[fold.test])
        if job.save:
            normals = samples.validation
            saved.save(job.store.run_dir(key), detector, row, normals, samples.scaling)
        row |= judge(spec, columns)
        scores = columns
    except TrainingDiverged as error:
        row["outcome"], row["error"] = failure(error)
    except OmasganError:
        raise
    except Exception as error:
        row["outcome"], row["error"] = failure(error)
    return _store(job, key, scores, row | measurement.costs())


def lost_run(job: RunJob, spec: BenchmarkSpec, dataset: Dataset, ending: Ending) -> Row:
    """Store and return the row of a run whose process died, as ``ending`` says.

    Its checkpoint stays, so that another start goes on from there.
    """
    key = run_key(job, spec)
    row = identity(job, spec, dataset, fold_of(job, spec, dataset)) | _device(job.device)
    row |= {"outcome": ending.outcome, "error": ending.error}
    row |= {"epochs": len(job.store.read_epochs(key)), "seconds": None, "peak_memory_mb": None}
    return job.store.write_run(key, None, row | now())


def run_key(job: RunJob, spec: BenchmarkSpec) -> RunKey:
    """Return the key of a job's run."""
    return RunKey(spec.id, job.detector, job.selection, job.params_id, job.seed, job.fold)


def fold_of(job: RunJob, spec: BenchmarkSpec, dataset: Dataset) -> Fold:
    """Return the fold that a job is trained on."""
    (fold,) = protocols.choose(protocols.folds(spec, dataset), [job.fold])
    return fold


def _score(
    detector: IterativeDetector, dataset: Dataset, fold: Fold, X: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Return the columns of ``scores.parquet`` for the test samples ``X``, with those of stages if
    there are several.
    """
    classes = dataset.test.classes[fold.test]
    stages = detector.stage_scores(X)
    score = stages[detector.stage]
    stages = {"score": score, **stages} if len(stages) > 1 else {"score": score}
    return {
        "sample_id": fold.test,
        "class": classes,
        "label": protocols.labels(fold, classes),
        **{name: _finite(name, scores) for name, scores in stages.items()},
    }


def _finite(name: str, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise TrainingDiverged(f"{name}: {bad} of {len(scores)} scores are not finite")
    return scores


def judge(spec: BenchmarkSpec, columns: Mapping[str, NDArray[Any]]) -> Row:
    """Return the metrics of all scores among the columns of ``scores.parquet``, for a row."""
    row: Row = {"outcome": "ok", "error": None}
    for name in sorted(columns.keys() - {"sample_id", "class", "label"}):
        values = metrics.compute(spec.metrics, columns["label"], columns[name])
        end = "" if name == "score" else f".{name}"
        row |= {f"{metric}{end}": value for metric, value in values.items()}
    return row


def identity(job: RunJob, spec: BenchmarkSpec, dataset: Dataset, fold: Fold) -> Row:
    """Return everything that the numbers of a run depend on."""
    labels = protocols.labels(fold, dataset.test.classes[fold.test])
    version = detectors.version(job.detector)
    return {
        "benchmark": spec.id,
        "benchmark_version": spec.version,
        "protocol": spec.protocol,
        "dataset": dataset.name,
        "data_sha256": dataset.sha256,
        "detector": job.detector,
        **({"detector_version": version} if version else {}),
        "params": dict(job.params),
        "params_id": job.params_id,
        "selection": job.selection,
        "seed": job.seed,
        "fold": fold.index,
        "fold_name": fold_names.name_of(spec, dataset.class_names, fold.index),
        "anomalous_classes": list(fold.anomalous_classes),
        "n_folds": len(protocols.folds(spec, dataset)),
        "n_train": len(fold.train),
        **({"n_labelled": len(fold.labelled)} if spec.labelled is not None else {}),
        "n_test": len(fold.test),
        "n_anomalous": int(labels.sum()),
        "epochs": 0,
        "code_version": code_version(),
        "torch_version": torch_version(),
    }


def _device(device: str) -> Row:
    """Return what a row says of its device: numbers can be repeated on one of the same class."""
    return {"device": device, "device_class": device_class(device)}


def _save_pictures(detector: IterativeDetector, real: NDArray[Any], folder: AnyPath) -> None:
    pictures = detector.pictures(PICTURES)
    if pictures:
        from omasgan.data.datasets import as_float

        buffer = BytesIO()
        rows: dict[str, Any] = {"real": as_float(real), **pictures}
        np.savez_compressed(buffer, **rows)
        write_atomic(folder / "pictures.npz", buffer.getvalue())


def _store(job: RunJob, key: RunKey, scores: Mapping[str, Any] | None, row: Row) -> Row:
    """Store a finished run, and delete its checkpoint, which nothing needs any more."""
    import pandas as pd

    frame = None if scores is None else pd.DataFrame(scores)
    stored = job.store.write_run(key, frame, row | now())
    delete(job.store.run_dir(key) / "checkpoint.safetensors")
    delete_leftovers(job.store.run_dir(key))
    return stored


def now() -> Row:
    """Return what a row says of when its run ended."""
    return {"finished_at": datetime.now(UTC).isoformat(timespec="seconds")}
