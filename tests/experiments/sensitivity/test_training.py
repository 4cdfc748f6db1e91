"""Trainings of a study: shared, continued after an interruption, and never taken for results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.detectors import check_params
from omasgan.errors import StoreError
from omasgan.experiments import sharing
from omasgan.experiments.sensitivity import design, training
from omasgan.experiments.sensitivity.training import SensitivitySpec
from omasgan.progress import RunEnded
from omasgan.report.results.write import for_terminal
from omasgan.store.results import RunKey, Store
from omasgan.training import evaluate
from omasgan.training.jobs import CheckpointPolicy, RunJob
from omasgan.training.stages import StageCache
from tests.experiments.sensitivity.staged import FIRST, NAME, StagedDetector


@pytest.fixture(autouse=True)
def _nothing_trained() -> None:
    StagedDetector.trained.clear()


def spec(small_spec: BenchmarkSpec, names: str = "tail,idle", **more: Any) -> SensitivitySpec:
    base = check_params(StagedDetector, more.pop("base", {}))
    options = {"folds": [0, 1], "seeds": [0, 1], "points": 3} | more
    plan = design.design(StagedDetector, names.split(","), base, {}, **options)
    return SensitivitySpec("digits-loo", small_spec, NAME, plan, device="cpu")


def train(
    study: SensitivitySpec, root: Path, dataset: Dataset, **more: Any
) -> list[dict[str, Any]]:
    return training.train(study, Store(root), LocalBackend(), dataset, **more)


def test_the_shared_beginning_is_trained_once_for_each_fold_and_seed(
    tmp_path: Path, small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    events: list[Any] = []
    rows = train(spec(small_spec), tmp_path, small_dataset, on_event=events.append)
    assert len(rows) == 5 * 4
    assert Counter(StagedDetector.trained) == {(0.01, 0): 2 * FIRST, (0.01, 1): 2 * FIRST}
    assert sum(row["cached_seconds"] > 0 for row in rows) == 4 * 4
    assert {row["epochs"] for row in rows} == {4}
    assert {row["selection"] for row in rows} == {"sensitivity"}
    done = [event.done for event in events if isinstance(event, RunEnded)]
    assert done == list(range(1, 21)) and {event.total for event in events} == {20}


def test_rows_are_those_of_plain_runs(
    tmp_path: Path, small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    store = Store(tmp_path / "plain")
    for row in train(spec(small_spec, folds=[1]), tmp_path, small_dataset):
        job = RunJob(1, NAME, row["params"], row["seed"], "sensitivity", store, "cpu")
        plain = evaluate.run_fold(job, small_spec, small_dataset)
        assert "cached_seconds" not in plain
        key = RunKey.of(row)
        assert store.scores(key).equals(Store(tmp_path).scores(key))
        logs = [
            [{k: v for k, v in e.items() if "seconds" not in k} for e in s.read_epochs(key)]
            for s in (store, Store(tmp_path))
        ]
        assert logs[0] == logs[1]


def test_what_is_not_shared_leaves_no_state(
    tmp_path: Path, small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    train(spec(small_spec, "lr", folds=[0], seeds=[0]), tmp_path, small_dataset)
    assert not (tmp_path / sharing.STAGES).exists()


def test_a_study_goes_on_where_it_stopped(
    tmp_path: Path, small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    def stop(event: Any) -> None:
        if isinstance(event, RunEnded) and event.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec(small_spec), tmp_path, small_dataset, on_event=stop)
    trained = len(StagedDetector.trained)
    with pytest.raises(StoreError, match=r"was interrupted and differs: .*points: 3 -> 4.*finish"):
        train(spec(small_spec, points=4), tmp_path, small_dataset)
    rows = train(spec(small_spec), tmp_path, small_dataset)
    assert len(rows) == 20 and len(StagedDetector.trained) == trained
    # a finished study is read again, and another one may follow it
    assert len(train(spec(small_spec), tmp_path, small_dataset)) == 20
    assert len(train(spec(small_spec, "kind"), tmp_path, small_dataset)) == 8


def test_a_run_that_goes_on_remembers_the_seconds_that_it_was_spared(
    tmp_path: Path, small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    cache, store = StageCache(tmp_path / "stages"), Store(tmp_path)

    def run(tail: float, **more: Any) -> dict[str, Any]:
        params = check_params(StagedDetector, {"tail": tail})
        job = RunJob(
            0, NAME, params, 0, "sensitivity", store, "cpu",
            cache=cache, checkpoints=CheckpointPolicy(seconds=0.0),
        )  # fmt: skip
        return evaluate.run_fold(job, small_spec, small_dataset, **more)

    first = run(0.1)
    assert first["cached_seconds"] == 0

    def stop(epoch: Any) -> None:
        if epoch.index == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(0.9, on_epoch=stop)
    row = run(0.9)
    assert row["cached_seconds"] > 0 and row["epochs"] == 4


def test_no_table_of_results_shows_them(
    tmp_path: Path, small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    train(spec(small_spec, "kind", folds=[0], seeds=[0]), tmp_path, small_dataset)
    with pytest.raises(StoreError, match="holds no results"):
        for_terminal(Store(tmp_path))
