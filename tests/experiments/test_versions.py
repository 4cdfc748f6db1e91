"""Results say which code they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.detectors import version
from omasgan.experiments.sweep import SweepSpec, sweep
from omasgan.experiments.versions import note_others
from omasgan.progress import Event, Note
from omasgan.store.results import Store
from omasgan.study.space import Space
from omasgan.training.environment import code_version
from omasgan.training.jobs import RunJob

OWN = version("tests.toy:CurveDetector")
"""What the rows say of the detector below, which is not of the package."""


def jobs(store: Store, seeds: range = range(4)) -> list[RunJob]:
    params = {"lr": 0.01, "epochs": 1, "collapse": False}
    return [RunJob(0, "tests.toy:CurveDetector", params, s, "fixed", store) for s in seeds]


def notes(wanted: list[RunJob], benchmark: BenchmarkSpec) -> list[str]:
    events = list[Event]()
    note_others(wanted, benchmark, events.append)
    assert all(isinstance(event, Note) for event in events)
    return [event.text for event in events if isinstance(event, Note)]


def test_runs_of_other_versions_are_told_in_one_line(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(tmp_path)
    # Nothing is done yet.
    assert notes(jobs(store), small_spec) == []
    for made_by, seeds in (("0.0.1", range(2)), ("0.0.2", range(2, 3))):
        monkeypatch.setattr("omasgan.training.evaluate.code_version", lambda v=made_by: v)
        LocalBackend().runs(jobs(store, seeds), small_spec, small_dataset, lambda event: None)
    # Three of four are done, and are not trained again.
    assert notes(jobs(store), small_spec) == [
        f"2 runs were made by version 0.0.1 with {OWN}, 1 run was made by version 0.0.2 with {OWN}"
        f" (this is {code_version()} with {OWN}); delete their folders to train them anew"
    ]
    # Other runs of the store are not wanted.
    assert notes(jobs(store, range(3, 5)), small_spec) == []
    monkeypatch.setattr("omasgan.experiments.versions.code_version", lambda: "0.0.1")
    (line,) = notes(jobs(store), small_spec)
    assert line.startswith(f"1 run was made by version 0.0.2 with {OWN} (this is 0.0.1 with ")
    monkeypatch.setattr("omasgan.experiments.versions.version", lambda name: "toy.py 2")
    (line,) = notes(jobs(store, range(2)), small_spec)
    assert line.startswith(f"2 runs were made by version 0.0.1 with {OWN} (this is 0.0.1 with ")


def test_a_run_that_is_made_anew_is_not_told(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr("omasgan.training.evaluate.code_version", lambda: "0.0.1")
    broken = replace(jobs(store)[0], detector="tests.toy:FailingDetector")
    broken = replace(broken, params=broken.params | {"lr": 0.5})
    LocalBackend().runs([broken, *jobs(store)], small_spec, small_dataset, lambda event: None)
    next(tmp_path.rglob("seed-2/fold-0/result.json")).write_bytes(b'{"torn')
    (line,) = notes([broken, *jobs(store)], small_spec)
    assert line.startswith("3 runs were made by version 0.0.1 ")


def test_a_sweep_tells_it_of_its_final_runs(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = Space.from_dict({"lr": {"low": 0.001, "high": 0.1}})
    spec = SweepSpec(small_spec, "tests.toy:CurveDetector", space, "proxy", 1, folds=(0,))
    for told in (False, True):
        events = list[Event]()
        sweep([spec], Store(tmp_path), LocalBackend(), small_dataset, on_event=events.append)
        texts = [event.text for event in events if isinstance(event, Note)]
        assert any(text.startswith("3 runs were made by version") for text in texts) == told
        monkeypatch.setattr("omasgan.experiments.versions.code_version", lambda: "1.0")
