from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.report.results import provenance, tables
from omasgan.report.results.inputs import Benchmark, read_study
from omasgan.report.results.runs import runs
from tests.report.results.rows import row
from tests.results import add_run, add_study, claimed, objective, trial_params


def test_params_are_named_by_what_sets_them_apart() -> None:
    rows = [
        row(0, 0, 0.6, params_id="abc") | {"params": {"k": 1, "metric": "l2"}},
        row(0, 0, 0.7, params_id="def") | {"params": {"k": 5, "metric": "l2"}},
    ]
    frame = runs(rows)
    assert set(frame["entry"]) == {"knn · fixed · k=1", "knn · fixed · k=5"}


def test_controls_are_recognised_whatever_else_differs() -> None:
    own = {"a": 1, "b": 1, "c": 1, "negatives": "boundary"}
    ways = (own, own | {"negatives": "noise"}, {"a": 2, "b": 2, "c": 2, "negatives": "boundary"})
    rows = [
        row(0, 0, 0.6, "omasgan", params=p, params_id=f"id{i}xxxxx") for i, p in enumerate(ways)
    ]
    assert list(runs(rows[:2])["variant"]) == ["negatives=boundary", "negatives=noise"]
    assert set(runs(rows)["variant"]) == {
        "id0xxx, negatives=boundary",
        "id1xxx, negatives=noise",
        "id2xxx, negatives=boundary",
    }


def test_runs_of_a_replaced_winner_are_not_current(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    study = read_study(add_study(store))
    for number in (0, 2):
        add_run(store, params=trial_params(number), selection="nested", shift=objective(number))
    frame = runs(store.results(), [study])
    assert study.winner is not None
    assert list(frame[frame["current"]]["params_id"]) == [study.winner["params_id"]]
    assert len(tables.settings(frame)) == 1


@pytest.mark.parametrize(
    ("devices", "entry"),
    [
        (("cpu", "cpu"), "knn · fixed"),
        (("cuda:0", "cuda:1"), "knn · fixed"),
        (("cuda:0", "cpu"), "knn · fixed · cpu+cuda"),
        (("mps", "cpu"), "knn · fixed · cpu+mps"),
    ],
)
def test_an_entry_names_the_classes_of_device_that_it_mixes(
    devices: tuple[str, str], entry: str
) -> None:
    frame = runs([row(fold, 0, 0.6, device=device) for fold, device in enumerate(devices)])
    assert set(frame["entry"]) == {entry}


def test_entries_on_different_devices_keep_their_names() -> None:
    frame = runs([row(0, 0, 0.6), row(0, 0, 0.7, "vae", device="cuda")])
    assert list(frame["entry"]) == ["knn · fixed", "vae · fixed"]
    assert list(frame["device_class"]) == ["cpu", "cuda"]


def test_a_replaced_winner_on_another_device_mixes_nothing(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    study = read_study(add_study(store))
    for number in (0, 2):
        add_run(store, params=trial_params(number), selection="nested")
    rows = store.results()
    old = next(r for r in rows if r["params"] == trial_params(0))
    old["device"] = "cuda"
    assert set(runs(rows, [study])["entry"]) == {"omasgan · nested"}


def test_a_run_whose_process_died_mixes_nothing() -> None:
    frame = runs([row(0, 0, 0.6), row(1, 0, None, device="auto", outcome="failed")])
    assert set(frame["entry"]) == {"knn · fixed"}
    assert list(provenance.notes(frame)) == []
    assert "device" not in tables.comparison(frame, Benchmark("toy-loo-v1", {}, 3))
