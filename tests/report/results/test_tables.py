from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.report.results import tables
from omasgan.report.results.inputs import Benchmark, read_benchmark, read_study
from omasgan.store.results import Store
from tests.results import (
    N_FOLDS,
    SPEC,
    STAGES,
    add_run,
    add_study,
    claimed,
    objective,
    trial_params,
)

BENCHMARK = Benchmark("toy-loo-v1", SPEC.identity(), N_FOLDS)


def row(fold: int, seed: int, auroc: float | None, detector: str = "knn", **more: object) -> dict:
    return {
        "benchmark": "toy-loo-v1",
        "detector": detector,
        "selection": "fixed",
        "params": {"k": 1},
        "params_id": "abc",
        "seed": seed,
        "fold": fold,
        "auroc": auroc,
        "seconds": 1.0,
        "peak_memory_mb": 300.0 + fold,
        "outcome": "diverged" if auroc is None else "ok",
    } | more


def test_seeds_are_averaged_before_folds() -> None:
    frame = tables.runs([row(0, 0, 0.4), row(0, 1, 0.6), row(1, 0, 0.9)])
    (line,) = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert line["auroc"] == pytest.approx(0.7)
    assert line["sd"] == pytest.approx(0.2 * 2**0.5)
    assert (line["worst"], line["worst fold"]) == (0.5, 0)
    assert (line["seconds"], line["peak MB"]) == (1.0, 301.0)
    assert line["interval"] == "-", "one seed alone in fold 1"
    assert (line["folds"], line["seeds"], line["runs"]) == ("2/3", "2/2", "3/6")


def test_runs_without_a_metric_are_counted_and_not_averaged() -> None:
    frame = tables.runs([row(0, 0, 0.8), row(1, 0, None)])
    (line,) = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert (line["auroc"], line["failed"], line["runs"]) == (0.8, 1, "1/6")


def test_a_detector_that_never_ended_well_keeps_its_line() -> None:
    frame = tables.runs([row(0, 0, None)])
    (line,) = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert pd.isna(line["auroc"])
    assert line["failed"] == 1
    assert tables.fold_means(frame) == {}


def test_best_mean_stands_first() -> None:
    frame = tables.runs([row(0, 0, 0.6, "a"), row(0, 0, 0.9, "b"), row(0, 0, 0.7, "c")])
    assert list(tables.comparison(frame, BENCHMARK)["detector"]) == ["b", "c", "a"]
    assert list(tables.by_fold(frame)["entry"]) == ["b · fixed", "c · fixed", "a · fixed"]


def test_params_are_named_by_what_sets_them_apart() -> None:
    rows = [
        row(0, 0, 0.6, params_id="abc") | {"params": {"k": 1, "metric": "l2"}},
        row(0, 0, 0.7, params_id="def") | {"params": {"k": 5, "metric": "l2"}},
    ]
    frame = tables.runs(rows)
    assert set(frame["entry"]) == {"knn · fixed · k=1", "knn · fixed · k=5"}
    lines = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert [line["params"] for line in lines] == ["k=5", "k=1"]


def test_controls_are_told_from_the_method_whatever_else_differs() -> None:
    own = {"a": 1, "b": 1, "c": 1, "negatives": "boundary"}
    ways = (own, own | {"negatives": "noise"}, {"a": 2, "b": 2, "c": 2, "negatives": "boundary"})
    rows = [
        row(0, 0, 0.6, "omasgan", params=p, params_id=f"id{i}xxxxx") for i, p in enumerate(ways)
    ]
    assert list(tables.runs(rows[:2])["variant"]) == ["negatives=boundary", "negatives=noise"]
    assert set(tables.runs(rows)["variant"]) == {
        "id0xxx, negatives=boundary",
        "id1xxx, negatives=noise",
        "id2xxx, negatives=boundary",
    }


def test_the_interval_stands_beside_the_mean() -> None:
    rows = [row(k, s, 0.8 + 0.01 * s) for k in range(2) for s in range(3)]
    (line,) = tables.comparison(tables.runs(rows), BENCHMARK).to_dict("records")
    low, high = map(float, line["interval"].split("-"))
    assert 0.8 <= low < line["auroc"] < high <= 0.82


def test_rules_are_never_mixed_and_params_apart() -> None:
    frame = tables.runs(
        [
            row(0, 0, 0.6),
            row(0, 0, 0.7, params_id="def"),
            row(0, 0, 0.8, selection="nested"),
            row(1, 0, 0.8, selection="nested", params_id="def"),
        ]
    )
    assert set(frame["entry"]) == {"knn · fixed · abc", "knn · fixed · def", "knn · nested"}
    lines = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert [(line["selection"], line["params"]) for line in lines] == [
        ("nested", "abc def"),
        ("fixed", "def"),
        ("fixed", "abc"),
    ]


def test_folds_stand_in_numerical_order() -> None:
    frame = tables.runs([row(k, 0, 0.5) for k in (10, 2, 0)])
    assert list(tables.by_fold(frame).columns) == ["entry", "auroc", "fold 0", "fold 2", "fold 10"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_the_mean_is_within_the_folds_and_worst_is_their_minimum(values: list[float]) -> None:
    frame = tables.runs([row(k, 0, value) for k, value in enumerate(values)])
    (line,) = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert line["worst"] == min(values)
    assert min(values) - 1e-12 <= line["auroc"] <= max(values) + 1e-12
    means = tables.means([row(k, 0, value) for k, value in enumerate(values)])
    assert means["auroc"] == line["auroc"]
    assert means["auroc_worst_fold"] == line["worst"]


def test_stages_come_from_the_same_runs(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold in range(2):
        add_run(store, stages=STAGES[::-1], fold=fold)
        add_run(store, "knn", {"k": 5}, fold=fold)
    frame = tables.runs(store.results())
    stages = tables.stages(frame)
    assert list(stages["stage"]) == list(STAGES)
    assert set(stages["entry"]) == {"omasgan · fixed"}
    expected = [r["auroc.j"] for r in store.results() if r["detector"] == "omasgan"]
    (j,) = stages[stages["stage"] == "j"].to_dict("records")
    assert [j["fold 0"], j["fold 1"]] == expected
    assert j["auroc"] == pytest.approx(sum(expected) / 2)


def test_a_study_tells_its_trials_by_outcome(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = [
        read_study(add_study(store)),
        read_study(add_study(store, fold=1, status="running", outcomes=("failed",))),
    ]
    first, second = tables.studies(found).to_dict("records")
    assert [first[outcome] for outcome in tables.OUTCOMES] == [2, 1, 1, 1, 1]
    assert (first["trials"], first["best objective"], first["winner"]) == (6, 0.7, "trial 2")
    assert (second["status"], second["winner"]) == ("running", "none yet")
    assert pd.isna(second["best objective"])
    winners = tables.winners(found)
    assert list(winners.columns) == ["parameter", "omasgan · nested · fold-0"]
    assert list(winners["parameter"]) == list(trial_params(2))


def test_runs_of_a_replaced_winner_count_no_more(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    study = read_study(add_study(store))
    for number in (0, 2):
        add_run(store, params=trial_params(number), selection="nested", shift=objective(number))
    frame = tables.runs(store.results(), [study])
    assert study.winner is not None
    assert list(frame[frame["current"]]["params_id"]) == [study.winner["params_id"]]
    assert len(tables.settings(frame)) == 1


def test_the_benchmark_tells_how_much_there_should_be(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store)
    benchmark = read_benchmark(store.root, SPEC.id, store.results())
    assert benchmark.held(1, 1, 1) == {"folds": "1/3", "seeds": "1/2", "runs": "1/6"}
    unknown = read_benchmark(store.root, "other-v1", [])
    assert unknown.held(1, 1, 1) == {"folds": "1/?", "seeds": "1/?", "runs": "1/?"}


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("auroc", 0.12345, "0.123"),
        ("worst fold", 3.0, "3"),
        ("average rank", 2.345, "2.35"),
        ("difference", 0.02, "+0.020"),
        ("p Holm", 0.0001, "<0.001"),
        ("p Holm", 0.0313, "0.031"),
        ("peak MB", 512.4, "512"),
        ("seconds", 12.34, "12.3"),
        ("auroc", float("nan"), "-"),
        ("winner", None, "-"),
        ("trials", 7, "7"),
    ],
)
def test_cells_read_well(column: str, value: object, text: str) -> None:
    assert tables.shown(column, value) == text
