from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError, StoreError
from omasgan.experiments.compare import CONTROLS, YARDSTICKS, CompareSpec, compare, fixed_entries
from omasgan.progress import Event
from omasgan.store.journal import read_json
from omasgan.store.results import Store

CURVE = "tests.toy:CurveDetector"
SLOW = "tests.toy:SlowDetector"


@pytest.fixture
def spec(small_spec: BenchmarkSpec) -> CompareSpec:
    return CompareSpec(small_spec, (CURVE,), {CURVE: {"lr": 0.01}}, seeds=(0, 1))


def status(store: Store, spec: CompareSpec) -> str:
    return str(read_json(store.root / spec.benchmark.id / "comparison.json")["status"])


def test_every_detector_runs_on_every_fold_and_seed_beside_the_yardsticks(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store, events = Store(tmp_path), list[Event]()
    rows = compare(spec, store, LocalBackend(), small_dataset, on_event=events.append)
    runs = {(row["detector"], row["fold"], row["seed"]) for row in rows}
    assert runs == {(d, f, s) for d in (*YARDSTICKS, CURVE) for f in (0, 1) for s in (0, 1)}
    assert {row["selection"] for row in rows} == {"fixed"}
    assert [row["detector"] for row in rows[-4:]] == [CURVE] * 4
    assert {row["params"]["lr"] for row in rows[-4:]} == {0.01}
    told = [event.text for event in events if event.kind == "comparison"]
    assert told == ["running"] * (1 + len(YARDSTICKS) + 1) + ["complete"]
    assert {event.benchmark for event in events if event.kind == "run"} == {spec.benchmark.id}


def test_an_added_detector_is_the_only_one_trained(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    compare(spec, store, LocalBackend(), small_dataset)
    events = list[Event]()
    wider = replace(spec, detectors=(CURVE, SLOW))
    rows = compare(wider, store, LocalBackend(), small_dataset, on_event=events.append)
    trained = {event.text.split(",")[0] for event in events if event.kind == "epoch"}
    assert trained == {SLOW}
    assert {row["detector"] for row in rows} == {*YARDSTICKS, CURVE, SLOW}
    entries = read_json(tmp_path / spec.benchmark.id / "comparison.json")["entries"]
    assert sorted(entry["detector"] for entry in entries) == sorted([*YARDSTICKS, CURVE, SLOW])


def test_an_interrupted_comparison_goes_on_when_asked_to(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)

    def stop(event: Event) -> None:
        if event.kind == "run" and event.row and event.row["detector"] == CURVE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(spec, store, LocalBackend(), small_dataset, on_event=stop)
    done = len(store.results())
    assert status(store, spec) == "running"
    with pytest.raises(StoreError, match="has not ended; go on with --resume"):
        compare(spec, store, LocalBackend(), small_dataset)
    resumed = replace(spec, resume=True)
    rows = compare(resumed, store, LocalBackend(), small_dataset)
    assert status(store, spec) == "complete"
    assert done < len(store.results()) == len(rows)


def test_tuning_gives_every_detector_the_same_number_of_trials_under_each_rule(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    tuned = replace(
        spec, detectors=("knn",), params={}, n_trials=2, rules=("proxy", "oracle"), folds=(0,)
    )
    rows = compare(tuned, store, LocalBackend(), small_dataset)
    assert {row["selection"] for row in rows} == {"fixed", "proxy", "oracle"}
    trials = [len(list(study.glob("trials/*/trial.json"))) for study in store.studies()]
    assert trials == [2] * 2 * len(YARDSTICKS)
    assert {row["seed"] for row in rows} == {0, 1}
    entries = read_json(tmp_path / spec.benchmark.id / "comparison.json")["entries"]
    assert {"detector": "knn", "selection": "oracle", "params_id": None} in entries


def test_controls_differ_from_omasgan_in_the_negatives_alone(small_spec: BenchmarkSpec) -> None:
    given = {"omasgan": {"gan_steps": 7}}
    spec = CompareSpec(small_spec, ("omasgan",), given, controls=True)
    found = [entry.params for entry in fixed_entries(spec) if entry.detector == "omasgan"]
    method, *controls = (dict(params or {}) for params in found)
    assert method["gan_steps"] == 7
    assert [params["negatives"] for params in controls] == list(CONTROLS)
    assert all({**params, "negatives": method["negatives"]} == method for params in controls)


def test_what_cannot_be_carried_out_is_refused_before_anything_is_written(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    bad = {
        "unknown detector 'knnn'": {"detectors": ("knnn",)},
        "unknown parameter": {"params": {CURVE: {"no_such": 1}}},
        "no search space is shipped": {"n_trials": 2},
    }
    for message, change in bad.items():
        with pytest.raises(ConfigError, match=message):
            compare(replace(spec, **change), Store(tmp_path / "x"), LocalBackend(), small_dataset)
    assert not (tmp_path / "x").exists()
