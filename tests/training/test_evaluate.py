from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from omasgan.config import BenchmarkSpec
from omasgan.data import metrics, protocols, selection
from omasgan.data.datasets import Dataset, as_float
from omasgan.detectors.base import Epoch, IterativeDetector, State
from omasgan.errors import DataError, StoreError, TrainingDiverged
from omasgan.store import files
from omasgan.store.files import AnyPath, find
from omasgan.store.results import RunKey, Store, params_id
from omasgan.store.states import load_state
from omasgan.training import evaluate
from omasgan.training.jobs import CheckpointPolicy, RunJob, TrialJob
from omasgan.training.loop import Training
from omasgan.training.trials import Ending, EpochRow, TrialRow, ValueRow
from tests.conftest import SmallDisk
from tests.damage import HARM

NAME = f"{__name__}:Scripted"
HEAVY = f"{__name__}:Heavy"
ALWAYS = CheckpointPolicy(seconds=0)
"""A checkpoint after every epoch."""


class Scripted(IterativeDetector):
    """Averages random halves of the data; scores by the distance to the average."""

    def __init__(
        self, *, epochs: int = 4, fate: str = "ok", at: int = 2, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.epochs = epochs
        self.fate = fate
        self.at = at
        self.seed = seed
        self.device = device
        self._done = 0
        self._mean: Any = 0.0
        self._generator = torch.Generator().manual_seed(seed)

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        flat = torch.from_numpy(as_float(X)).flatten(1)
        while self._done < self.epochs:
            if self._done == self.at:
                self._meet_fate()
            half = torch.randperm(len(flat), generator=self._generator)[: len(flat) // 2]
            self._mean = 0.5 * self._mean + 0.5 * flat[half].mean(0)
            self._done += 1
            yield Epoch(self._done - 1, "average", {"size": float(self._mean.norm())})

    def _meet_fate(self) -> None:
        if self.fate == "diverged":
            raise TrainingDiverged("loss is nan")
        if self.fate == "out-of-memory":
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.fate == "cpu-memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if self.fate == "failed":
            raise ValueError("a bug")
        if self.fate == "disk":
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.fate == "wrong-data":
            raise DataError("only vectors, got images")
        if self.fate == "interrupted":
            raise KeyboardInterrupt

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        flat = torch.from_numpy(as_float(X)).flatten(1)
        distance = (flat - self._mean).norm(dim=1).numpy()
        if self.fate == "nan-scores":
            distance[0] = np.nan
        return {"distance": distance, "size": flat.norm(dim=1).numpy()}

    @property
    def stage(self) -> str:
        return "distance"

    def state_dict(self) -> State:
        return {
            "done": self._done,
            "mean": self._mean,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: State) -> None:
        self._done = state["done"]
        self._mean = state["mean"]
        self._generator.set_state(state["generator"])

    def pictures(self, n: int) -> dict[str, NDArray[np.float32]]:
        return {"mean": np.repeat(self._mean.numpy().reshape(1, 1, 8, 8), n, axis=0)}


class Heavy(Scripted):
    """Its checkpoint has 2 MiB."""

    def state_dict(self) -> State:
        return super().state_dict() | {"ballast": np.zeros(2**18)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def run(
    spec: BenchmarkSpec,
    dataset: Dataset,
    store: Store,
    save: bool = False,
    detector: str = NAME,
    **params: Any,
) -> dict[str, Any]:
    """The row of a run on fold 1 with a checkpoint after every epoch."""
    job = RunJob(
        1, detector, params, 5, "fixed", store, device="cpu", save=save, checkpoints=ALWAYS
    )
    return evaluate.run_fold(job, spec, dataset)


def test_a_run_is_scored_stored_and_told(
    small_spec: BenchmarkSpec, small_dataset: Dataset, store: Store
) -> None:
    row = run(small_spec, small_dataset, store, save=True, epochs=3)
    fold = protocols.folds(small_spec, small_dataset)[1]
    key = RunKey(small_spec.id, NAME, "fixed", params_id({"epochs": 3}), 5, 1)
    assert RunKey.of(row) == key
    assert store.read_result(key) == row
    expected = {
        "outcome": "ok",
        "error": None,
        "benchmark_version": small_spec.version,
        "protocol": "leave-one-out",
        "dataset": "digits",
        "data_sha256": small_dataset.sha256,
        "params": {"epochs": 3},
        "anomalous_classes": [1],
        "n_folds": 2,
        "n_train": len(fold.train),
        "n_test": 60,
        "epochs": 3,
        "device": "cpu",
        "torch_version": torch.__version__,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["seconds"] > 0 and row["peak_memory_mb"] > 10

    scores = store.scores(key)
    assert list(scores) == ["sample_id", "class", "label", "score", "distance", "size"]
    assert scores["score"].dtype == np.float32
    np.testing.assert_array_equal(scores["sample_id"], fold.test)
    np.testing.assert_array_equal(scores["label"], scores["class"] == 1)
    assert row["n_anomalous"] == scores["label"].sum()
    for stage, end in [("score", ""), ("distance", ".distance"), ("size", ".size")]:
        again = metrics.compute(small_spec.metrics, scores["label"], scores[stage].to_numpy())
        assert {name: row[name + end] for name in again} == again

    assert [epoch["epoch"] for epoch in store.read_epochs(key)] == [0, 1, 2]
    pictures = np.load(store.run_dir(key) / "pictures.npz")
    assert {name: pictures[name].shape[1:] for name in pictures} == {
        "real": (1, 8, 8),
        "mean": (1, 8, 8),
    }
    assert row["fold_name"] == "digit 1"
    assert set(store.extremes(key)["sample_id"]) <= set(fold.test)
    assert load_state(store.run_dir(key) / "model.safetensors")["done"] == 3


def test_a_run_that_is_done_is_not_trained_again(
    small_spec: BenchmarkSpec, small_dataset: Dataset, store: Store
) -> None:
    row = run(small_spec, small_dataset, store)
    assert run(small_spec, small_dataset, store) == row


@pytest.mark.parametrize(
    ("fate", "outcome", "error"),
    [
        ("diverged", "diverged", "loss is nan"),
        ("nan-scores", "diverged", "score: 1 of 60 scores are not finite"),
        ("out-of-memory", "out-of-memory", "CUDA out of memory"),
        ("cpu-memory", "out-of-memory", "DefaultCPUAllocator: can't allocate memory"),
        ("failed", "failed", "ValueError: a bug"),
    ],
)
def test_what_goes_wrong_is_told_by_its_name(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    store: Store,
    fate: str,
    outcome: str,
    error: str,
) -> None:
    row = run(small_spec, small_dataset, store, fate=fate)
    assert (row["outcome"], row["error"]) == (outcome, error)
    assert "auroc" not in row and "scores_sha256" not in row
    assert store.is_done(RunKey.of(row)) is (outcome == "diverged")
    assert not (store.run_dir(RunKey.of(row)) / "scores.parquet").exists()


def test_what_the_user_must_mend_is_raised(
    small_spec: BenchmarkSpec, small_dataset: Dataset, store: Store
) -> None:
    with pytest.raises(DataError, match="only vectors"):
        run(small_spec, small_dataset, store, fate="wrong-data")
    assert store.results() == []


def test_an_interrupted_run_goes_on_to_the_same_end(
    small_spec: BenchmarkSpec, small_dataset: Dataset, root: AnyPath
) -> None:
    whole = run(small_spec, small_dataset, Store(root / "whole"), at=3)
    store = Store(root / "resumed")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Scripted, "_meet_fate", lambda self: _interrupt())
        run(small_spec, small_dataset, store, at=3)
    folder = store.run_dir(RunKey.of(whole))
    assert (folder / "checkpoint.safetensors").exists()

    resumed = run(small_spec, small_dataset, store, at=3)
    assert not (folder / "checkpoint.safetensors").exists()
    assert resumed["auroc"] == whole["auroc"]
    losses = [
        [(epoch["epoch"], epoch["size"]) for epoch in s.read_epochs(RunKey.of(whole))]
        for s in (store, Store(root / "whole"))
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == resumed["epochs"] == 4


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_run_with_a_damaged_checkpoint_begins_anew(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
    harm: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = run(small_spec, small_dataset, Store(tmp_path / "whole"), at=3)
    store = Store(tmp_path / "resumed")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Scripted, "_meet_fate", lambda self: _interrupt())
        run(small_spec, small_dataset, store, at=3)
    checkpoint = store.run_dir(RunKey.of(whole)) / "checkpoint.safetensors"
    checkpoint.write_bytes(harm(checkpoint.read_bytes()))

    row = run(small_spec, small_dataset, store, at=3)
    (message,) = caplog.messages
    assert message.startswith(f"'{checkpoint}' is damaged (")
    assert message.endswith("; the training begins anew")
    assert row["scores_sha256"] == whole["scores_sha256"]
    assert [epoch["epoch"] for epoch in store.read_epochs(RunKey.of(row))] == [0, 1, 2, 3]
    assert row["epochs"] == 4 and not checkpoint.exists()


def test_a_damaged_checkpoint_is_gone_before_the_next_is_written(
    small_dataset: Dataset, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"not a checkpoint")
    training = Training(Scripted(), small_dataset.train.X, checkpoint)
    assert not training.is_resumed and not checkpoint.exists()
    assert next(training.epochs()).index == 0


def test_what_a_checkpoint_goes_on_from_is_in_the_log(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    root: AnyPath,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(root)
    key = RunKey(small_spec.id, NAME, "fixed", params_id({"at": 3}), 5, 1)
    seen = []

    def look(detector: Scripted) -> None:
        done = load_state(store.run_dir(key) / "checkpoint.safetensors")["done"]
        seen.append((done, [epoch["epoch"] for epoch in store.read_epochs(key)]))

    monkeypatch.setattr(Scripted, "_meet_fate", look)
    run(small_spec, small_dataset, store, at=3)
    assert seen == [(3, [0, 1, 2])]


def test_a_checkpoint_that_cannot_be_read_is_kept(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    key = RunKey(small_spec.id, NAME, "fixed", params_id({}), 5, 1)
    checkpoint = tmp_path / key.path / "checkpoint.safetensors"
    checkpoint.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot read '.*checkpoint"):
        run(small_spec, small_dataset, Store(tmp_path))
    assert checkpoint.exists()


def test_a_full_disk_is_no_outcome_of_a_run(
    small_spec: BenchmarkSpec, small_dataset: Dataset, small_disk: SmallDisk
) -> None:
    store = Store(small_disk.path / "out")
    with small_disk.full(), pytest.raises(StoreError, match=r"cannot write '.*(space|too large)"):
        run(small_spec, small_dataset, store, detector=HEAVY)
    assert store.results() == []
    assert list(small_disk.path.rglob("*.tmp")) == []


def trial_data(spec: BenchmarkSpec, dataset: Dataset) -> selection.TrialData:
    (study,) = selection.studies("nested", spec, dataset, (0,), inner=2, seed=0)
    return study.data


def rows_of(
    data: selection.TrialData,
    workdir: AnyPath | None = None,
    detector: str = NAME,
    values: Mapping[int, Mapping[str, float]] | None = None,
    stages: tuple[str, ...] = (),
    **params: Any,
) -> Iterator[TrialRow]:
    """What a trial with a checkpoint after every epoch yields."""
    job = TrialJob(detector, params, "cpu", workdir, stages, values or {}, checkpoints=ALWAYS)
    return evaluate.run_trial(job, data)


def trial(data: selection.TrialData, **options: Any) -> tuple[list[TrialRow], Ending]:
    """The epochs and values of a trial, and its ending."""
    *rows, ending = rows_of(data, **options)
    assert isinstance(ending, Ending)
    return rows, ending


def test_a_trial_yields_its_epochs_values_and_ending(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    data = trial_data(small_spec, small_dataset)
    rows, ending = trial(data, epochs=2)
    names = [task.name for task in data.tasks]
    assert len(names) == 2
    assert [type(row) for row in rows] == 2 * [EpochRow, EpochRow, ValueRow]
    assert [(row.task, row.step) for row in rows] == [
        (n, i) for i, n in enumerate(names) for _ in "123"
    ]
    first = rows[0]
    assert isinstance(first, EpochRow)
    assert (first.epoch, first.phase) == (0, "average") and first.losses["size"] > 0
    values = [row.values for row in rows if isinstance(row, ValueRow)]
    assert [list(by_stage) for by_stage in values] == [["distance"]] * 2
    assert (ending.outcome, ending.error, ending.stage) == ("ok", None, "distance")
    assert ending.objective == pytest.approx(np.mean([v["distance"] for v in values]))
    assert ending.seconds > 0 and ending.peak_memory_mb > 10
    assert trial(data, epochs=2)[0] == rows


def test_all_stages_that_are_asked_for_are_judged_and_the_best_one_counts(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    data = trial_data(small_spec, small_dataset)
    rows, ending = trial(data, stages=("distance", "size"))
    values = [row.values for row in rows if isinstance(row, ValueRow)]
    assert [list(by_stage) for by_stage in values] == [["distance", "size"]] * 2
    means = {stage: np.mean([v[stage] for v in values]) for stage in ("distance", "size")}
    assert ending.objective == pytest.approx(max(means.values()))
    assert means[ending.stage] == max(means.values())
    alone = [trial(data, stages=(stage,))[1].objective for stage in means]
    assert alone == pytest.approx(list(means.values()))


@pytest.mark.parametrize(
    ("fate", "outcome"),
    [
        ("diverged", "diverged"),
        ("nan-scores", "diverged"),
        ("out-of-memory", "out-of-memory"),
        ("failed", "failed"),
        ("wrong-data", "failed"),
    ],
)
def test_a_trial_that_goes_wrong_ends_with_its_outcome(
    small_spec: BenchmarkSpec, small_dataset: Dataset, fate: str, outcome: str
) -> None:
    _, ending = trial(trial_data(small_spec, small_dataset), fate=fate)
    assert ending.outcome == outcome and ending.objective is None and ending.error


def test_a_full_disk_is_no_outcome_of_a_trial(
    small_spec: BenchmarkSpec, small_dataset: Dataset, small_disk: SmallDisk
) -> None:
    data, workdir = trial_data(small_spec, small_dataset), small_disk.path / "trial"
    with small_disk.full(), pytest.raises(StoreError, match=r"cannot write '.*(space|too large)"):
        trial(data, workdir=workdir, detector=HEAVY)
    assert list(small_disk.path.rglob("*.tmp")) == []


def test_the_detectors_own_disk_error_is_its_outcome(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    _, ending = trial(trial_data(small_spec, small_dataset), fate="disk")
    assert ending.outcome == "failed" and "No space left" in str(ending.error)


def test_stopping_a_trial_is_no_failure_of_it(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    data = trial_data(small_spec, small_dataset)
    rows = rows_of(data)
    next(rows)
    rows.close()
    with pytest.raises(KeyboardInterrupt):
        trial(data, fate="interrupted")


def test_an_interrupted_trial_goes_on_in_the_midst_of_its_task(
    small_spec: BenchmarkSpec, small_dataset: Dataset, root: AnyPath
) -> None:
    data = trial_data(small_spec, small_dataset)
    whole, ending = trial(data)
    rows, values = rows_of(data, workdir=root), {}
    for row in rows:
        if isinstance(row, ValueRow):
            values[row.step] = row.values
        if isinstance(row, EpochRow) and (row.step, row.epoch) == (1, 2):
            break
    rows.close()
    # The driver has recorded the first task's value, which also tells it to delete its checkpoint.
    files.delete(evaluate.task_checkpoint(root, 0))
    resumed, resumed_ending = trial(data, workdir=root, values=values)
    # The checkpoint holds the epochs whose rows the consumer has dealt with.
    assert resumed == whole[7:]
    assert resumed_ending.objective == ending.objective


def test_a_task_whose_value_nobody_recorded_is_only_scored_again(
    small_spec: BenchmarkSpec, small_dataset: Dataset, root: AnyPath
) -> None:
    data = trial_data(small_spec, small_dataset)
    whole, ending = trial(data)
    trial(data, workdir=root)
    resumed, resumed_ending = trial(data, workdir=root)
    assert resumed == [row for row in whole if isinstance(row, ValueRow)]
    assert resumed_ending.objective == ending.objective


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_task_with_a_damaged_checkpoint_is_trained_anew(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
    harm: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = trial_data(small_spec, small_dataset)
    whole, _ = trial(data, workdir=tmp_path)
    checkpoint = evaluate.task_checkpoint(tmp_path, 1)
    checkpoint.write_bytes(harm(checkpoint.read_bytes()))
    known = {0: whole[4].values}
    assert trial(data, workdir=tmp_path, values=known)[0] == whole[5:]
    (message,) = caplog.messages
    assert message.startswith(f"'{checkpoint}' is damaged (")
    assert message.endswith("; the training begins anew")


def test_the_state_of_an_ended_task_is_kept_where_that_is_asked_for(
    small_spec: BenchmarkSpec, small_dataset: Dataset, root: AnyPath
) -> None:
    data = trial_data(small_spec, small_dataset)
    rarely = CheckpointPolicy(seconds=1e6)
    for policy, n in ((rarely, 0), (replace(rarely, keep=True), 2)):
        job = TrialJob(NAME, {}, "cpu", root, checkpoints=policy)
        list(evaluate.run_trial(job, data))
        states = [load_state(path)["done"] for path in find(root, "*.safetensors")]
        assert states == [4] * n


def test_every_trial_has_the_same_seeds(small_spec: BenchmarkSpec, small_dataset: Dataset) -> None:
    data = trial_data(small_spec, small_dataset)
    other = selection.TrialData(data.pool, data.tasks, data.seed + 1)
    assert trial(data)[0] != trial(other)[0]


def _interrupt() -> None:
    raise KeyboardInterrupt
