"""The only loop that trains and scores, for a trial of a sweep and for a run of a benchmark."""

from __future__ import annotations

import functools
import logging
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan import __version__, detectors
from omasgan.data import metrics, protocols, selection
from omasgan.errors import (
    ConfigError,
    DamagedError,
    OmasganError,
    StoreError,
    TrainingDiverged,
)
from omasgan.store import saved
from omasgan.store.files import AnyPath, delete, delete_leftovers, exists, write_atomic
from omasgan.store.journal import Row, cause, find_json, write_json
from omasgan.store.results import RunKey, Store, params_id
from omasgan.store.states import load_state, save_state

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.data.datasets import Dataset
    from omasgan.data.protocols import Fold
    from omasgan.data.selection import TrialData
    from omasgan.detectors.base import Epoch, IterativeDetector
    from omasgan.training.stages import SharedTraining, StageCache

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0
PICTURES = 10
"""How many images a row of ``pictures.npz`` holds."""


def train(
    detector: IterativeDetector,
    X: NDArray[Any],
    *,
    checkpoint: AnyPath | None,
    every_seconds: float = CHECKPOINT_SECONDS,
    shared: SharedTraining | None = None,
    before_save: Callable[[], None] = lambda: None,
) -> Iterator[Epoch]:
    """Train on ``X``, going on from ``checkpoint`` if it is there, and else from what is
    ``shared``.

    The checkpoint is renewed between epochs, after the consumer has dealt with the last one, at
    most every ``every_seconds``, each time after ``before_save``. The caller deletes it once the
    result is safe. A damaged one is deleted with a warning, and the training begins anew.

    Raises:
        TrainingDiverged: a loss is not finite.
        StoreError: the checkpoint cannot be read or written.
    """
    if checkpoint is not None and _resume(detector, checkpoint):
        shared = None
    if shared is not None:
        yield from shared.replay()
    written = time.monotonic()
    for epoch in detector.fit_epochs(X):
        if shared is not None:
            shared.keep(epoch)
        yield epoch
        if checkpoint is not None and time.monotonic() - written >= every_seconds:
            before_save()
            save_state(checkpoint, detector.state_dict())
            written = time.monotonic()


def _resume(detector: IterativeDetector, checkpoint: AnyPath) -> bool:
    """Load the state of an interrupted training, if there is one."""
    if not exists(checkpoint):
        return False
    try:
        state = load_state(checkpoint)
    except DamagedError as error:
        reason = cause(error)
        logger.warning("'%s' is damaged (%s); the training begins anew", checkpoint, reason)
        delete(checkpoint)
        return False
    detector.load_state_dict(state)
    return True


def run_trial(
    detector_name: str,
    params: Mapping[str, Any],
    data: TrialData,
    *,
    device: str,
    workdir: AnyPath | None,
    every_seconds: float = CHECKPOINT_SECONDS,
    keep: bool = False,
) -> Iterator[Row]:
    """Train and judge one configuration on every task of ``data``.

    Yields flat rows: ``{task, step, epoch, phase, **losses}`` for each epoch, then
    ``{task, step, value}`` for each task, and at the very end
    ``{outcome, objective, error, seconds, peak_memory_mb}``. With a ``workdir`` an interrupted
    trial goes on where it stopped; the values of finished tasks are yielded again. Task ``step``
    is trained with the seed ``data.seed + step``, the same for all trials. ``every_seconds`` is
    the time between checkpoints; with ``keep`` the trained state of each task stays as one.

    Raises:
        StoreError: ``workdir`` cannot be read or written; that says nothing of the trial.
    """
    started = start_measuring()
    values: list[float] = []
    ending: Row = {"outcome": "ok", "objective": None, "error": None}
    try:
        cls = detectors.load(detector_name)
        device = resolve_device(device)
        for step in range(len(data.tasks)):
            detector = cls(**params, seed=data.seed + step, device=device)
            for row in _judge(detector, data, step, workdir, every_seconds, keep):
                if "value" in row:
                    values.append(row["value"])
                yield row
        ending["objective"] = float(np.mean(values))
    except StoreError:
        raise
    except Exception as error:
        ending |= _failure(error)
    yield ending | {"seconds": time.monotonic() - started} | peak_memory()


def run_fold(  # noqa: PLR0913 - each is something that the row says
    spec: BenchmarkSpec,
    dataset: Dataset,
    fold: Fold,
    detector_name: str,
    params: Mapping[str, Any],
    *,
    seed: int,
    selection: str,
    store: Store,
    device: str,
    save: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
    every_seconds: float = CHECKPOINT_SECONDS,
    cache: StageCache | None = None,
    about: Mapping[str, Any] | None = None,
) -> Row:
    """Train on a fold, test it, store scores and row, and return the row.

    A run that is done is returned as it is stored; one that was interrupted goes on from its
    checkpoint, which is renewed every ``every_seconds``. With ``save`` the trained detector and
    its calibration are kept beside the row; see ``omasgan.store.saved``. With a ``cache`` the row
    has ``cached_seconds``: the training time, not in ``seconds``, that other runs have spared it.
    ``about`` is what else the row is to say.

    Raises:
        StoreError: the store cannot be read or written.
        OmasganError: the detector cannot work with these data or params. What goes wrong in the
            training itself is told by the row's ``outcome`` and ``error``.
    """
    key = RunKey(spec.id, detector_name, selection, params_id(params), seed, fold.index)
    if store.is_done(key):
        return store.read_result(key) or {}
    started = start_measuring() - _seconds_before(store, key)
    device = resolve_device(device)
    row = _identity(spec, dataset, fold, params, key) | {"device": device, **(about or {})}
    scores = None
    try:
        detector = detectors.load(detector_name)(**params, seed=seed, device=device)
        X = dataset.train.X[fold.train]
        shared = None if cache is None else cache.open(detector, X)
        for epoch in _logged_epochs(detector, X, store, key, started, every_seconds, shared):
            if on_epoch is not None:
                on_epoch(epoch)
        epochs = store.read_epochs(key)
        row["epochs"] = len(epochs)
        if cache is not None:
            row["cached_seconds"] = max(
                (e.get("cached_seconds", 0.0) for e in epochs), default=0.0
            )
        found = _score(detector, dataset, fold)
        _keep_pictures(detector, dataset.train.X[fold.train[:PICTURES]], store.run_dir(key))
        if save:
            saved.save(store.run_dir(key), detector, row, dataset.train.X[fold.validation])
        row |= _metrics(spec, found)
        scores = found
    except TrainingDiverged as error:
        row |= _failure(error)
    except OmasganError:
        raise
    except Exception as error:
        row |= _failure(error)
    row |= {"seconds": time.monotonic() - started} | peak_memory()
    row["finished_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    return _finish(store, key, scores, row)


def lost_run(
    spec: BenchmarkSpec,
    dataset: Dataset,
    fold: Fold,
    detector_name: str,
    params: Mapping[str, Any],
    *,
    seed: int,
    selection: str,
    store: Store,
    device: str,
    ending: Mapping[str, Any],
) -> Row:
    """Store and return the row of a run whose process died, with the ``ending`` that is known.

    Its checkpoint stays, so that another start goes on from there.
    """
    key = RunKey(spec.id, detector_name, selection, params_id(params), seed, fold.index)
    row = _identity(spec, dataset, fold, params, key) | {"device": device, **ending}
    row |= {"epochs": len(store.read_epochs(key)), "seconds": None, "peak_memory_mb": None}
    row["finished_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    return store.write_run(key, None, row)


def resolve_device(device: str) -> str:
    """``auto`` as the best device of this machine; others as they are.

    Raises:
        ConfigError: this machine has no such device.
    """
    import torch

    from omasgan.nn import batches

    try:
        found = batches.resolve_device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device '{device}' cannot be used: {reason}; try auto") from error
    return str(found)


@functools.cache
def code_version() -> str:
    """The package's version, with the commit when it runs from a checkout."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return __version__
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{done.stdout.strip()}"


@dataclass(frozen=True)
class _Workdir:
    """What an interrupted trial leaves behind: the values of its tasks, a checkpoint."""

    path: AnyPath

    @property
    def values(self) -> dict[str, float]:
        """By task; damaged ones are forgotten with a warning, so that they are computed anew."""
        file = self.path / "values.json"
        try:
            return {step: float(value) for step, value in (find_json(file) or {}).items()}
        except (DamagedError, TypeError, ValueError) as error:
            reason = cause(error)
            logger.warning("'%s' is damaged (%s); its tasks are computed anew", file, reason)
            delete(file)
            return {}

    def checkpoint(self, step: int) -> AnyPath:
        return self.path / f"task-{step}.safetensors"

    def finish(self, step: int, value: float) -> None:
        write_json(self.path / "values.json", {**self.values, str(step): value})


def _judge(
    detector: IterativeDetector,
    data: TrialData,
    step: int,
    workdir: AnyPath | None,
    every_seconds: float,
    keep: bool,
) -> Iterator[Row]:
    """The rows of one task of a trial: its epochs, then its value."""
    task = data.tasks[step]
    place = {"task": task.name, "step": step}
    work = None if workdir is None else _Workdir(workdir)
    known = {} if work is None else work.values
    if str(step) in known:
        yield place | {"value": known[str(step)]}
        return
    checkpoint = None if work is None else work.checkpoint(step)
    X = data.pool[task.train]
    for epoch in train(detector, X, checkpoint=checkpoint, every_seconds=every_seconds):
        yield place | {"epoch": epoch.index, "phase": epoch.phase, **epoch.losses}

    def score(X: NDArray[Any]) -> NDArray[np.float32]:
        return _finite("score", detector.decision_function(X))

    value = selection.objective(task, score, data.pool)
    if work is not None:
        work.finish(step, value)
        if keep:
            save_state(work.checkpoint(step), detector.state_dict())
        else:
            delete(work.checkpoint(step))
    yield place | {"value": value}


def _checkpoint(store: Store, key: RunKey) -> AnyPath:
    return store.run_dir(key) / "checkpoint.safetensors"


def _seconds_before(store: Store, key: RunKey) -> float:
    """What an interrupted start of this run has already cost."""
    epochs = store.read_epochs(key) if exists(_checkpoint(store, key)) else []
    return float(epochs[-1]["seconds"]) if epochs else 0.0


def _logged_epochs(
    detector: IterativeDetector,
    X: NDArray[Any],
    store: Store,
    key: RunKey,
    started: float,
    every_seconds: float,
    shared: SharedTraining | None,
) -> Iterator[Epoch]:
    """Train; every epoch is written beside the result as it passes."""
    checkpoint = _checkpoint(store, key)
    resumed = exists(checkpoint)
    if not resumed:
        store.drop_epochs(key, 0)
    log = _EpochLog(store, key)
    training = train(
        detector,
        X,
        checkpoint=checkpoint,
        every_seconds=every_seconds,
        shared=shared,
        before_save=log.flush,
    )
    try:
        for epoch in training:
            if resumed:
                store.drop_epochs(key, epoch.index)
                resumed = False
            seconds = time.monotonic() - started
            row = {"epoch": epoch.index, "phase": epoch.phase, "seconds": seconds, **epoch.losses}
            if shared is not None and shared.seconds:
                row["cached_seconds"] = shared.seconds
            log.add(row)
            yield epoch
    finally:
        log.flush()


@dataclass
class _EpochLog:
    """Epochs on their way to the store; an object store gets many at once.

    It gets them before each checkpoint, since what goes on from one does not tell them again.
    """

    store: Store
    key: RunKey
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if isinstance(self.store.root, Path):
            self.flush()

    def flush(self) -> None:
        self.store.append_epochs(self.key, self.rows)
        self.rows = []


def _score(detector: IterativeDetector, dataset: Dataset, fold: Fold) -> dict[str, NDArray[Any]]:
    """The columns of ``scores.parquet``; stages only where one training gives several."""
    X = dataset.test.X[fold.test]
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


def _metrics(spec: BenchmarkSpec, scores: Mapping[str, NDArray[Any]]) -> Row:
    row: Row = {"outcome": "ok", "error": None}
    for name in sorted(scores.keys() - {"sample_id", "class", "label"}):
        found = metrics.compute(spec.metrics, scores["label"], scores[name])
        end = "" if name == "score" else f".{name}"
        row |= {f"{metric}{end}": value for metric, value in found.items()}
    return row


def _identity(
    spec: BenchmarkSpec, dataset: Dataset, fold: Fold, params: Mapping[str, Any], key: RunKey
) -> Row:
    """Everything that the numbers of a run depend on."""
    import torch

    labels = protocols.labels(fold, dataset.test.classes[fold.test])
    return {
        "benchmark": key.benchmark,
        "benchmark_version": spec.version,
        "protocol": spec.protocol,
        "dataset": dataset.name,
        "data_sha256": dataset.sha256,
        "detector": key.detector,
        "params": dict(params),
        "params_id": key.params_id,
        "selection": key.selection,
        "seed": key.seed,
        "fold": key.fold,
        "anomalous_classes": list(fold.anomalous_classes),
        "n_folds": len(protocols.folds(spec, dataset)),
        "n_train": len(fold.train),
        "n_test": len(fold.test),
        "n_anomalous": int(labels.sum()),
        "epochs": 0,
        "code_version": code_version(),
        "torch_version": torch.__version__,
    }


def _keep_pictures(detector: IterativeDetector, real: NDArray[Any], folder: AnyPath) -> None:
    pictures = detector.pictures(PICTURES)
    if pictures:
        from omasgan.data.datasets import as_float

        buffer = BytesIO()
        rows: dict[str, Any] = {"real": as_float(real), **pictures}
        np.savez_compressed(buffer, **rows)
        write_atomic(folder / "pictures.npz", buffer.getvalue())


def _finish(store: Store, key: RunKey, scores: Mapping[str, Any] | None, row: Row) -> Row:
    import pandas as pd

    stored = store.write_run(key, None if scores is None else pd.DataFrame(scores), row)
    delete(_checkpoint(store, key))
    delete_leftovers(store.run_dir(key))
    return stored


def _failure(error: Exception) -> Row:
    """Outcome and error of a training that did not end well."""
    import torch

    text = str(error).strip() or type(error).__name__
    if isinstance(error, TrainingDiverged):
        return {"outcome": "diverged", "error": text}
    # The CPU allocator says so only in words.
    words = isinstance(error, RuntimeError) and "can't allocate memory" in text
    if words or isinstance(error, torch.OutOfMemoryError | MemoryError):
        return {"outcome": "out-of-memory", "error": text}
    logger.error("training failed: %s", text, exc_info=error)
    return {"outcome": "failed", "error": f"{type(error).__name__}: {text}"}


def start_measuring() -> float:
    """Begin to measure; one thread a trial, since two trials of one thread beat one of two."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        logger.debug("the peak memory of this process cannot be reset")
    return time.monotonic()


def peak_memory() -> Row:
    """Peak resident memory since ``start_measuring`` where the system says so, else since ever."""
    import torch

    row: Row = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                row["peak_memory_mb"] = int(line.split()[1]) / 1024
    if torch.cuda.is_available():
        row["gpu_peak_memory_mb"] = torch.cuda.max_memory_reserved() / 2**20
    return row
