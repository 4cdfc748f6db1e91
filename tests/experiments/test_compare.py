from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError, StoreError
from omasgan.experiments.compare import (
    CONTROLS,
    YARDSTICKS,
    CompareSpec,
    check,
    compare,
    fixed_entries,
    sweep_specs,
)
from omasgan.progress import ComparisonChanged, EpochEnded, Event, RunEnded, TrialEnded
from omasgan.report.results.inputs import read_study
from omasgan.store.journal import read_json, write_json
from omasgan.store.results import Store

CURVE = "tests.toy:CurveDetector"
SLOW = "tests.toy:SlowDetector"


PARAMS: dict[str, dict[str, Any]] = {
    # A mixture that is given takes no time to choose.
    "gmm": {"mixture": 1, "floor": 0.1},
    "isolation-forest": {"trees": 5},
}


@pytest.fixture
def spec(small_spec: BenchmarkSpec) -> CompareSpec:
    return CompareSpec(small_spec, (CURVE,), {CURVE: {"lr": 0.01}, **PARAMS}, seeds=(0, 1))


def comparison(store: Store, spec: CompareSpec) -> dict[str, Any]:
    return read_json(store.root / spec.benchmark.id / "comparison.json")


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
    changes = [event.status for event in events if isinstance(event, ComparisonChanged)]
    assert changes == ["running"] * (1 + len(YARDSTICKS) + 1) + ["complete"]
    ended = [event.comparison for event in events if isinstance(event, RunEnded)]
    assert set(ended) == {spec.benchmark.id}


def test_no_yardstick_stands_beside_who_was_shown_anomalies(
    spec: CompareSpec, small_spec: BenchmarkSpec
) -> None:
    labelled = {
        n: small_spec.model_copy(update={"protocol": "semi-supervised", "labelled": n})
        for n in (0, 3)
    }
    shown = replace(spec, benchmark=labelled[3], detectors=("deep-sad",))
    assert shown.names == ["deep-sad"]
    check(shown)
    assert replace(shown, benchmark=labelled[0]).names == [*YARDSTICKS, "deep-sad"]
    with pytest.raises(ConfigError, match="takes no labelled anomalies"):
        check(replace(spec, benchmark=labelled[3]))


def test_an_added_detector_is_the_only_one_trained(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    compare(spec, store, LocalBackend(), small_dataset)
    events = list[Event]()
    wider = replace(spec, detectors=(CURVE, SLOW))
    rows = compare(wider, store, LocalBackend(), small_dataset, on_event=events.append)
    trained = {event.text.split(",")[0] for event in events if isinstance(event, EpochEnded)}
    assert trained == {SLOW}
    assert {row["detector"] for row in rows} == {*YARDSTICKS, CURVE, SLOW}
    entries = comparison(store, spec)["entries"]
    assert sorted(entry["detector"] for entry in entries) == sorted([*YARDSTICKS, CURVE, SLOW])


def test_an_interrupted_comparison_goes_on(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)

    def stop(event: Event) -> None:
        if isinstance(event, RunEnded) and event.row["detector"] == CURVE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(spec, store, LocalBackend(), small_dataset, on_event=stop)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert comparison(store, spec)["status"] == "running"
    rows = compare(spec, store, LocalBackend(), small_dataset)
    assert comparison(store, spec)["status"] == "complete"
    assert len(done) < len(store.results()) == len(rows)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def tuned(spec: CompareSpec, **changes: Any) -> CompareSpec:
    """Yardsticks alone, each swept with one trial."""
    one = {"n_trials": 1, "folds": (0,), "seeds": (0,)}
    options = {"detectors": ("knn",), "params": PARAMS, **one}
    return replace(spec, **(options | changes))


def test_tuning_gives_every_detector_the_same_number_of_trials_under_each_rule(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    wanted = tuned(spec, rules=("proxy", "oracle"), n_trials=2)
    rows = compare(wanted, store, LocalBackend(), small_dataset)
    assert {row["selection"] for row in rows} == {"fixed", "proxy", "oracle"}
    trials = [len(read_study(study).ended) for study in store.studies()]
    assert trials == [2] * 2 * len(YARDSTICKS)
    assert {row["seed"] for row in rows} == {0}
    entries = comparison(store, spec)["entries"]
    assert {"detector": "knn", "selection": "oracle", "params_id": None} in entries


def test_hours_are_those_of_every_sweep(spec: CompareSpec) -> None:
    assert {sweep.hours for sweep in sweep_specs(tuned(spec, hours=2.0))} == {2.0}


def test_tuning_shares_stages_where_a_detector_has_any(spec: CompareSpec) -> None:
    wanted = tuned(spec, detectors=("omasgan", "vae"), n_trials=8, share_stages=4)
    check(wanted)
    shared = {each.detector: each.share_stages for each in sweep_specs(wanted)}
    assert shared == {**dict.fromkeys(YARDSTICKS), "omasgan": 4, "vae": None}
    with pytest.raises(ConfigError, match=r"trials of knn, lof, .* cannot share stages"):
        check(tuned(spec, share_stages=4))


def test_every_winner_is_frozen_before_the_first_run(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store, events = Store(tmp_path), list[Event]()
    compare(tuned(spec), store, LocalBackend(), small_dataset, on_event=events.append)
    kinds = [type(event) for event in events if isinstance(event, TrialEnded | RunEnded)]
    n_trials, n_runs = len(YARDSTICKS), 2 * len(YARDSTICKS)
    assert kinds == [TrialEnded] * n_trials + [RunEnded] * n_runs


def test_another_study_is_refused_before_anything_is_run_or_written(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    compare(tuned(spec), store, LocalBackend(), small_dataset)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match=r"study 'fold-0' .* is another one: inner: 2 -> 1"):
        compare(tuned(spec, inner=1, folds=(0, 1)), store, LocalBackend(), small_dataset)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_study_without_a_winner_is_told_once_all_else_is_done(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, X: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr("omasgan.detectors.pca.PCA.stage_scores", broken)
    store = Store(tmp_path)
    with pytest.raises(ConfigError, match=r"no trial of study 'fold-0' of pca ended ok \(1 fail"):
        compare(tuned(spec), store, LocalBackend(), small_dataset)
    assert comparison(store, spec)["status"] == "running"
    swept = {row["detector"] for row in store.results() if row["selection"] == "nested"}
    assert swept == set(YARDSTICKS) - {"pca"}


def test_controls_differ_from_omasgan_in_the_negatives_alone(small_spec: BenchmarkSpec) -> None:
    params = {"omasgan": {"gan_steps": 7}}
    spec = CompareSpec(small_spec, ("omasgan",), params, controls=True)
    entries = [entry.params for entry in fixed_entries(spec) if entry.detector == "omasgan"]
    method, *controls = (dict(params or {}) for params in entries)
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
        "unknown selection rule 'nestd'": {
            "detectors": (),
            "params": {},
            "n_trials": 2,
            "rules": ("nestd",),
        },
    }
    for message, change in bad.items():
        with pytest.raises(ConfigError, match=message):
            compare(replace(spec, **change), Store(tmp_path / "x"), LocalBackend(), small_dataset)
        if "rules" not in change:
            with pytest.raises(ConfigError, match=message):
                check(replace(spec, **change))
    assert not (tmp_path / "x").exists()


def test_runs_of_another_version_of_the_code_are_told(
    spec: CompareSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    compare(spec, store, LocalBackend(), small_dataset)
    changed = [path for path in sorted(tmp_path.rglob("result.json")) if "knn" in str(path)]
    for path, version in zip(changed, ("0.0.1", "0.0.1", "0.0.2", "0.0.2"), strict=True):
        write_json(path, read_json(path) | {"code_version": version})
    events = list[Event]()
    compare(spec, store, LocalBackend(), small_dataset, on_event=events.append)
    (first, *_) = [event for event in events if hasattr(event, "text")]
    assert "2 runs were made by version 0.0.1, 2 runs were made by version 0.0.2" in first.text
