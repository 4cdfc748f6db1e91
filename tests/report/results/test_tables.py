from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from omasgan.report.results import tables
from omasgan.report.results.inputs import Benchmark, read_benchmark, read_study
from omasgan.report.results.runs import runs
from omasgan.store.journal import read_json, write_json
from omasgan.store.results import Store
from tests.report.results.rows import row
from tests.results import N_FOLDS, SPEC, STAGES, add_run, add_study, claimed, trial_params

BENCHMARK = Benchmark("toy-loo-v1", SPEC.identity(), N_FOLDS)


def test_an_entry_has_its_means_and_counts() -> None:
    frame = runs([row(0, 0, 0.4), row(0, 1, 0.6), row(1, 0, 0.9)])
    (line,) = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert line["auroc"] == pytest.approx(0.7)
    assert line["sd"] == pytest.approx(0.2 * 2**0.5)
    assert (line["worst"], line["worst fold"]) == (0.5, "fold 0")
    assert line["seconds"] == 1.0
    assert line["interval"] == "-", "fold 1 has only one seed"
    assert (line["folds"], line["seeds"], line["runs"]) == ("2/3", "2/2", "3/6")


def test_runs_without_a_metric_are_counted_and_not_averaged() -> None:
    frame = runs([row(0, 0, 0.8), row(1, 0, None)])
    (line,) = tables.comparison(frame, BENCHMARK).to_dict("records")
    assert (line["auroc"], line["failed"], line["runs"]) == (0.8, 1, "1/6")


def test_a_detector_whose_runs_all_failed_has_a_row() -> None:
    (line,) = tables.comparison(runs([row(0, 0, None)]), BENCHMARK).to_dict("records")
    assert pd.isna(line["auroc"])
    assert line["failed"] == 1


def test_the_best_mean_comes_first() -> None:
    frame = runs([row(0, 0, 0.6, "a"), row(0, 0, 0.9, "b"), row(0, 0, 0.7, "c")])
    assert list(tables.comparison(frame, BENCHMARK)["detector"]) == ["b", "c", "a"]
    assert list(tables.by_fold(frame)["entry"]) == ["b · fixed", "c · fixed", "a · fixed"]


def test_the_interval_contains_the_mean() -> None:
    rows = [row(k, s, 0.8 + 0.01 * s) for k in range(2) for s in range(3)]
    (line,) = tables.comparison(runs(rows), BENCHMARK).to_dict("records")
    low, high = map(float, line["interval"].split("-"))
    assert 0.8 <= low < line["auroc"] < high <= 0.82


def test_rules_are_never_mixed_and_params_apart() -> None:
    frame = runs(
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


def test_devices_are_a_column_where_they_differ() -> None:
    alike = [row(0, 0, 0.6), row(0, 0, 0.7, "vae")]
    assert "device" not in tables.comparison(runs(alike), BENCHMARK)
    mixed = [*alike, row(1, 0, 0.7, "vae", device="cuda:0")]
    table = tables.comparison(runs(mixed), BENCHMARK)
    assert dict(table["device"]) == {"vae · fixed · cpu+cuda": "cpu+cuda", "knn · fixed": "cpu"}


def test_code_versions_are_a_column_where_an_entry_has_several() -> None:
    rows = [row(0, 0, 0.6), row(0, 0, 0.7, "vae", code_version="0.2.0")]
    assert "code" not in tables.comparison(runs(rows), BENCHMARK), "each entry has one"
    rows.append(row(1, 0, 0.6, code_version="0.2.0"))
    table = tables.comparison(runs(rows), BENCHMARK)
    assert dict(table["code"]) == {"knn · fixed": "0.1.0, 0.2.0", "vae · fixed": "0.2.0"}
    rows.append(row(2, 0, 0.6, code_version="0.3.0"))
    assert tables.comparison(runs(rows), BENCHMARK)["code"]["knn · fixed"] == "3 versions"


def test_folds_are_in_numerical_order() -> None:
    frame = runs([row(k, 0, 0.5) for k in (10, 2, 0)])
    assert list(tables.by_fold(frame).columns) == ["entry", "auroc", "fold 0", "fold 2", "fold 10"]


def test_stages_come_from_the_same_runs(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold in range(2):
        add_run(store, stages=STAGES[::-1], fold=fold)
        add_run(store, "knn", {"k": 5}, fold=fold)
    stages = tables.stages(runs(store.results()))
    assert list(stages["stage"]) == list(STAGES)
    assert set(stages["entry"]) == {"omasgan · fixed"}
    expected = [r["auroc.j"] for r in store.results() if r["detector"] == "omasgan"]
    (j,) = stages[stages["stage"] == "j"].to_dict("records")
    assert [j["fold 0"], j["fold 1"]] == expected
    assert j["auroc"] == pytest.approx(sum(expected) / 2)


def test_a_study_has_its_trials_by_outcome(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored = [
        read_study(add_study(store)),
        read_study(add_study(store, fold=1, status="running", outcomes=("failed",))),
    ]
    table = tables.studies(stored)
    first, second = table.to_dict("records")
    assert [first[outcome] for outcome in tables.OUTCOMES] == [2, 1, 1, 1, 1]
    assert (first["trials"], first["best objective"], first["winner"]) == (6, 0.7, "trial 2")
    assert (second["status"], second["winner"]) == ("running", "none yet")
    assert pd.isna(second["best objective"])
    assert "note" not in table
    winners = tables.winners(stored)
    assert list(winners.columns) == ["parameter", "omasgan · nested · fold-0"]
    assert list(winners["parameter"]) == list(trial_params(2))


def test_a_study_that_was_lengthened_after_a_test_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folders = [add_study(store, fold=fold) for fold in range(3)]
    for folder, counts in zip(folders, ([4, 8], []), strict=False):
        path = folder / "winner.json"
        write_json(path, read_json(path) | {"lengthened_from": counts})
    table = tables.studies([read_study(folder) for folder in folders])
    assert list(table["note"]) == ["lengthened after a test at 4, 8 trials", "", ""]


def test_a_benchmark_counts_what_is_there(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store)
    benchmark = read_benchmark(store.root, SPEC.id, store.results())
    assert benchmark.counts(1, 1, 1) == {"folds": "1/3", "seeds": "1/2", "runs": "1/6"}
    unknown = read_benchmark(store.root, "other-v1", [])
    assert unknown.counts(1, 1, 1) == {"folds": "1/?", "seeds": "1/?", "runs": "1/?"}
