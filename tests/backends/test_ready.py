"""Processes are ready for final runs when a search ends, and none more than the machine holds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from ray.air._internal import usage

from omasgan.backends.ray import cluster, ready
from omasgan.backends.ray.backend import RayBackend
from omasgan.backends.ray.driver import Driver
from omasgan.backends.ray.needs import Need
from omasgan.backends.ray.room import Room
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.search import Search
from omasgan.study.space import Space
from omasgan.study.trial_log import TrialLog
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob, TrialJob


@given(cpus=st.integers(1, 64), cores=st.integers(1, 64), held=st.integers(0, 64))
def test_processes_import_ahead_where_the_machine_has_a_core_and_memory_for_each(
    cpus: int, cores: int, held: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ready.os, "cpu_count", lambda: cores)
        patch.setattr(ready, "affordable", lambda: held)
        assert ("RAY_preload_python_modules" in ready.settings(cpus, 1)) == (
            cpus <= cores and cpus <= held
        )
        assert ready.settings(None, 1) == ready.settings(cores, 1)


def test_threads_are_those_of_a_training_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ready, "affordable", lambda: 2)
    monkeypatch.setattr(ready.os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert ready.settings(2, 3)["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert ready.settings(2, 3)["OMP_NUM_THREADS"] == "5"
    assert "OMP_NUM_THREADS" not in ready.settings(3, 3)


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_cluster")
def test_runs_go_to_a_process_that_was_prepared_one_call_after_the_other(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    ray.get(ready.prepare(1, ["vae"]))
    # Ray gives a task to the process that has become idle last.
    look: Callable[[], tuple[int, set[str]]] = lambda: (os.getpid(), set(sys.modules))  # noqa: E731
    process, loaded = cluster.call(1, 0, look)
    assert {"torch", "pandas", "omasgan.detectors.vae"} <= loaded
    place = tmp_path / "place"
    place.mkdir()
    backend = RayBackend(cpus_per_trial=8)
    for seed in (0, 1):
        params = {"place": str(place), "n": 1, "lr": 0.01}
        job = RunJob(0, "tests.toy:MeetingDetector", params, seed, "fixed", Store(tmp_path))
        (row,) = backend.runs([job], small_spec, small_dataset, lambda event: None)
        assert row["outcome"] == "ok"
    seen = [json.loads(path.read_text())["pid"] for path in place.iterdir()]
    assert seen == [process, process]


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_asks_for_no_process_but_one_that_ray_has_started_ahead(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[object] = []
    monkeypatch.setattr(usage, "tag_callbacks", counted.append)
    (study,) = selection.studies("proxy", small_spec, small_dataset, [0])
    (place := tmp_path / "place").mkdir()
    space = {"place": str(place), "n": 1, "lr": {"low": 0.01, "high": 0.1}}
    guide = Guide(Space.from_dict(space), tmp_path / "study")
    search = Search(guide, study.data, 1, "tests.toy:MeetingDetector", tmp_path / "study")
    RayBackend(cpus_per_trial=8).search([search], lambda event: None)
    (note,) = [json.loads(path.read_text()) for path in place.iterdir()]
    assert note["environment of Tune"] is None, "Ray starts none with variables of their own ahead"
    assert counted == [], "that imports MLflow first"
    usage.tag_callbacks([])
    assert counted == [[]], "Ray counts again afterwards"


def test_slots_that_fall_free_are_told_once_no_trial_is_left(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    (study,) = selection.studies("proxy", small_spec, small_dataset, [0])
    guide = Guide(Space.from_dict({"lr": {"low": 0.01, "high": 0.1}}), tmp_path)
    search = Search(guide, study.data, 3, "tests.toy:CurveDetector", tmp_path)
    free: list[int] = []
    log = TrialLog(search, lambda event: None)
    driver = Driver(
        [log],
        Room(1, 0, at_once=2),
        3600.0,
        lambda event: None,
        Need(0.0),
        lambda: free.append(len(guide.finished())),
    )

    jobs: dict[str, TrialJob] = {}

    def begin(name: str) -> None:
        config = driver.suggest(name)
        assert config is not None
        jobs[name] = config["job"]

    def end(name: str) -> None:
        rows = list(evaluate.run_trial(jobs[name], study.data))
        driver.enter(name, {"batch": 0, "rows": rows})
        driver.end(name)

    begin("a")
    begin("b")
    end("a")
    assert free == []
    begin("c")
    end("b")
    end("c")
    assert free == [2, 3]
    assert driver.is_finished


def test_a_cluster_gets_its_settings_and_the_driver_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("A_SETTING_OF_RAY", raising=False)
    seen: list[str | None] = []
    monkeypatch.setattr(
        ray, "init", lambda *a, **k: seen.append(os.environ.get("A_SETTING_OF_RAY"))
    )
    cluster.connect(None, 1, 0, {"A_SETTING_OF_RAY": "1"})
    assert (seen, os.environ.get("A_SETTING_OF_RAY")) == (["1"], None)
