from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omasgan import detectors
from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import BackendError, ConfigError, TrainingDiverged
from omasgan.experiments import plan as planning
from omasgan.experiments.sweep import SweepSpec, sweep
from omasgan.report.results.inputs import read_study
from omasgan.store.results import Store
from omasgan.study.groups import Sharing
from omasgan.study.space import Space, load_space
from omasgan.training.probe import Cost

CURVE = "tests.toy:CurveDetector"
SPACE = Space.from_dict({"lr": {"low": 0.001, "high": 0.1, "log": True}})


def costing(seconds: float, gpu_memory_mb: float = 0.0) -> Cost:
    """A training of so many seconds whose scoring is free."""
    return Cost(
        n_train=100,
        n_score=60,
        train_seconds=seconds,
        score_seconds=0.0,
        peak_memory_mb=500.0,
        gpu_memory_mb=gpu_memory_mb,
        state_mb=2.0,
        stages=1,
        step_seconds={"train": 0.1},
    )


def measured(costs: dict[float, Cost | Exception]) -> Callable[..., Any]:
    """A cluster whose probe of the params ``lr`` gives ``costs[lr]``."""

    def measure(probe: Any, detector: str, params: dict[str, float], *_: Any, **__: Any) -> Cost:
        found = costs[params["lr"]]
        if isinstance(found, Exception):
            raise found
        return found

    return measure


@pytest.fixture
def spec(small_spec: BenchmarkSpec) -> SweepSpec:
    return SweepSpec(small_spec, CURVE, SPACE, "nested", 3)


def test_what_is_planned_is_what_is_done(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    work = planning.of_sweep(spec, small_dataset)
    store = Store(tmp_path)
    rows = sweep([spec], store, LocalBackend(), small_dataset).rows
    trials = [trial for study in map(read_study, store.studies()) for trial in study.ended]
    assert len(work.studies) == len(store.studies()) == 2
    assert work.trials == len(trials)
    assert work.trainings == sum(len(trial.values) for trial in trials)
    assert sorted(work.runs) == sorted((row["n_train"], row["n_test"]) for row in rows)
    assert {n for n, _ in work.tasks} == {
        len(task.train) for study in work.studies for task in study.data.tasks
    }
    assert len(work.X) == work.tasks[0][0]


def test_probed_are_the_configurations_with_which_the_sweep_begins(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, seed=3, sampler="RandomSampler")
    store, work = Store(tmp_path), planning.of_sweep(spec, small_dataset)
    sweep([spec], store, LocalBackend(), small_dataset)
    begun = [[dict(trial.params) for trial in read_study(s).ended] for s in store.studies()]
    in_turns = [
        params for params_by_study in zip(*begun, strict=True) for params in params_by_study
    ]
    assert len(in_turns) == 6
    for n in range(1, 7):
        assert planning.first_params(spec, work, n) == in_turns[:n]


def test_proxies_are_scored_beside_the_normals(spec: SweepSpec, small_dataset: Dataset) -> None:
    work = planning.of_sweep(replace(spec, rule="proxy", folds=(0,)), small_dataset)
    (task,) = work.studies[0].data.tasks
    assert work.tasks == [(len(task.train), 4 * len(task.judged))]


def test_hours_and_wall_time_add_up(spec: SweepSpec, small_dataset: Dataset) -> None:
    work = planning.of_sweep(spec, small_dataset)
    costs = {0.001: costing(100.0), 0.1: costing(300.0)}
    cluster = planning.Cluster([{"CPU": 8}], measure=measured(costs))
    found = planning.forecast(work, [{"lr": lr} for lr in costs], cluster, cpus_per_trial=2.0)
    assert found.at_once == 4 and found.share == 0 and found.probes == 2
    # 2 studies of 3 trials of 2 tasks, then 2 winners on 3 seeds, on 2 CPUs each.
    trainings = 2 * 3 * 2 + 2 * 3
    hours = found.cpu_hours
    assert (hours.low, hours.expected, hours.high) == pytest.approx(
        tuple(2 * trainings * s / 3600 for s in (100, 200, 300))
    )
    # 6 trials in 2 rounds of 2 tasks, 6 runs in 2 rounds.
    besides = planning.RAY.start + 6 * planning.RAY.training
    assert found.wall_seconds.low == pytest.approx(6 * 100 + besides)
    assert found.wall_seconds.high == pytest.approx(6 * 300 + besides)
    assert found.checkpoints_mb == 8.0 and found.memory_mb == 500.0


def test_trials_that_share_stages_are_spared_them(spec: SweepSpec, small_dataset: Dataset) -> None:
    """Two studies of 40 trials, 13 groups each: 27 trials of two tasks go on from 60 s."""
    work = planning.of_sweep(replace(spec, n_trials=40, seeds=(0,)), small_dataset)
    assert work.sharing is None
    cost = replace(costing(100.0), phase_seconds={"gan": 60.0, "detector": 40.0})
    cluster = planning.Cluster([{"CPU": 2}], measure=measured({0.1: cost}))
    shared = replace(work, sharing=Sharing(8, "gan", frozenset({"lr"})))
    apart, found = (planning.forecast(w, [{"lr": 0.1}], cluster) for w in (work, shared))
    assert (apart.beginnings, found.beginnings) == (None, 26)
    spared = 2 * 27 * 2 * 60.0
    assert 3600 * found.cpu_hours.expected == pytest.approx(100 * (2 * 40 * 2 + 2) - spared)
    assert found.wall_seconds.expected == pytest.approx(apart.wall_seconds.expected - spared / 2)
    many = planning.Cluster([{"CPU": 80}], measure=measured({0.1: cost}))
    assert planning.forecast(shared, [{"lr": 0.1}], many).beginnings == 80, "all begin at once"


def test_a_plan_shares_what_its_sweep_shares(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    space = load_space("omasgan", detectors.load("omasgan"))
    spec = SweepSpec(small_spec, "omasgan", space, "nested", 3, share_stages=4)
    assert planning.of_sweep(spec, small_dataset).sharing == spec.sharing


def test_a_share_of_a_gpu_comes_from_the_dearest(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    work = planning.of_runs(small_spec, small_dataset, CURVE, None, [0, 1])
    assert len(work.runs) == 4 and work.trials == work.trainings == 0
    costs = {0.1: costing(3600.0, 1_000.0), 0.2: costing(3600.0, 3_000.0)}
    given = [{"lr": lr} for lr in costs]
    cluster = planning.Cluster([{"CPU": 8, "GPU": 2}], 10_000.0, measure=measured(costs))
    found = planning.forecast(work, given, cluster, gpus_per_trial="auto")
    assert found.share == 0.5 and found.at_once == 4
    assert found.gpu_hours.expected == pytest.approx(4 * 0.5)
    small = planning.Cluster([{"CPU": 8, "GPU": 2}], 2_000.0, measure=measured(costs))
    with pytest.raises(ConfigError, match="needs 3000 MB of GPU memory, a GPU has 2000 MB"):
        planning.forecast(work, given, small, gpus_per_trial="auto")
    with pytest.raises(BackendError, match="fits on no node"):
        planning.forecast(work, given, cluster, gpus_per_trial=3.0)


def test_what_diverges_is_told_and_left_out(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    work = planning.of_runs(small_spec, small_dataset, CURVE, [1], [0])
    costs = {0.1: costing(1.0), 9.0: TrainingDiverged("too fast")}
    cluster = planning.Cluster([{"CPU": 1}], measure=measured(costs))
    found = planning.forecast(work, [{"lr": lr} for lr in costs], cluster)
    assert found.probes == 1 and found.lost == ["too fast"]
    with pytest.raises(ConfigError, match=r"no configuration of .* could be probed: too fast"):
        planning.forecast(work, [{"lr": 9.0}], cluster)
