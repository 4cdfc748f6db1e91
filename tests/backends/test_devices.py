from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.backends import devices
from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.progress import Event, Note
from omasgan.store.journal import read_json, write_json
from omasgan.store.results import RunKey, Store
from omasgan.training.jobs import RunJob


@pytest.fixture
def jobs(tmp_path: Path) -> list[RunJob]:
    store = Store(tmp_path)
    lr = {"lr": 0.01}
    return [
        RunJob(0, "tests.toy:CurveDetector", lr, seed, "fixed", store, "cpu") for seed in range(3)
    ]


def test_runs_that_were_made_on_another_kind_of_device_are_told(
    jobs: list[RunJob], small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    backend, events = LocalBackend(), list[Event]()
    rows = backend.runs(jobs[:2], small_spec, small_dataset, events.append)
    assert {(row["device"], row["device_class"]) for row in rows} == {("cpu", "cpu")}
    for row in rows:
        path = jobs[0].store.run_dir(RunKey.of(row)) / "result.json"
        write_json(path, read_json(path) | {"device": "cuda:1", "device_class": "cuda"})
    assert not [event for event in events if isinstance(event, Note)]
    again = backend.runs(jobs, small_spec, small_dataset, events.append)
    (note,) = (event.text for event in events if isinstance(event, Note))
    assert note.startswith("2 runs were made on cuda, this start uses cpu: ")
    assert [row["device_class"] for row in again] == ["cuda", "cuda", "cpu"]


def test_runs_that_are_not_done_or_damaged_are_no_matter(
    jobs: list[RunJob], small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    rows = LocalBackend().runs(jobs[:2], small_spec, small_dataset, lambda event: None)
    first, second = (jobs[0].store.run_dir(RunKey.of(row)) / "result.json" for row in rows)
    write_json(first, read_json(first) | {"outcome": "failed"})
    second.write_text("{")
    assert list(devices.notes(jobs, small_spec, ["cuda"] * 3)) == []
    assert list(devices.notes([], small_spec, [])) == []


def test_a_single_run_and_rows_of_older_versions_are_told_as_well(
    jobs: list[RunJob], small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    (row,) = LocalBackend().runs(jobs[:1], small_spec, small_dataset, lambda event: None)
    path = jobs[0].store.run_dir(RunKey.of(row)) / "result.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "device_class"})
    (note,) = devices.notes(jobs, small_spec, ["cuda:1"] * 3)
    assert note.text.startswith("1 run was made on cpu, this start uses cuda: ")
