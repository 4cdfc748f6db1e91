from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from omasgan.errors import StoreError
from omasgan.report import ReportFiles, terminal_tables, write_report
from omasgan.store import Store, params_id
from tests.results import SPEC, STAGES, add_run, add_study, claimed, trial_params


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = claimed(tmp_path_factory.mktemp("out"))
    for fold in range(2):
        add_run(store, "knn", {"k": 5}, fold=fold)
        add_run(store, "gmm", {"n": "<b>"}, fold=fold, outcome="ok" if fold else "diverged")
    add_study(store)
    add_run(
        store, params=trial_params(2), selection="nested", stages=STAGES, pictures=True, shift=2.0
    )
    add_run(store, params={"mu": 1.0}, selection="oracle", shift=3.0)
    return store


@pytest.fixture(scope="module")
def files(store: Store) -> ReportFiles:
    return write_report(store)


def test_the_page_stands_alone(files: ReportFiles) -> None:
    page = files.page.read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert sources
    assert all(s.startswith(("data:image/png;base64", "#")) for s in sources)
    assert page.count("<img") == len(files.figures)
    assert "<script" not in page
    assert "&lt;b&gt;" not in page, "params stand in files, not in the page"


def test_the_page_says_how_each_number_was_made(store: Store, files: ReportFiles) -> None:
    page = files.page.read_text(encoding="utf-8")
    knn = params_id({"k": 5})
    (space,) = (path.stem for path in (store.root / "report/spaces").glob("*.toml"))
    for words in (
        SPEC.id,
        "ab" * 32,
        f"omasgan run toy-loo knn --folds 0,1 --seeds 0 --params report/params/{knn}.toml",
        "omasgan sweep toy-loo omasgan --trials 6 --folds 0 --selection nested --inner 2 "
        f"--sampler TPESampler --pruner NopPruner --seed 0 --space report/spaces/{space}.toml",
        "0.1.0",
        "task1",
        "The rule oracle looks at the test anomalies",
        "Not all lines hold the same folds",
    ):
        assert words in page, words
    params = tomllib.loads((store.root / "report/params" / f"{knn}.toml").read_text())
    assert params == {"k": 5}
    text = (store.root / "report/spaces" / f"{space}.toml").read_text()
    assert tomllib.loads(text) == {"mu": {"low": 0.1, "high": 1.0, "when": {"form": "pixel"}}}


def test_params_files_hold_what_toml_can(store: Store, files: ReportFiles) -> None:
    name = params_id(trial_params(2))
    params = tomllib.loads((files.page.parent / "params" / f"{name}.toml").read_text())
    assert params == trial_params(2)


def test_every_run_is_in_the_csv(store: Store, files: ReportFiles) -> None:
    runs = pd.read_csv(files.runs)
    assert len(runs) == len(store.results())
    assert {"params", "data_sha256", "auroc", "auroc.j", "selection"} <= set(runs.columns)


def test_the_summary_holds_the_same_tables(files: ReportFiles) -> None:
    summary = files.summary.read_text(encoding="utf-8")
    tables = ("Detectors", "AUROC by fold", "AUROC by stage", "Studies", "Winners")
    for title in (*tables, "Optimism ledger", "How these numbers were made"):
        assert f"### {title}" in summary
    assert "| knn | fixed |" in summary
    assert "| 2/3 | 1/2 | 2/6 |" in summary


def test_figures_are_pictures(files: ReportFiles) -> None:
    names = {path.name for path in files.figures}
    for part in ("boxes", "search", "knn-fixed-roc", "omasgan-nested-fold-0-seed-0"):
        assert any(part in name for name in names), part
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files.figures)


def test_a_second_report_holds_the_same_numbers(store: Store, files: ReportFiles) -> None:
    before = files.runs.read_bytes()
    assert write_report(store).runs.read_bytes() == before


def test_a_terminal_shows_the_tables(store: Store, files: ReportFiles) -> None:
    console = Console(width=120, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    for table in terminal_tables(store):
        console.print(table)
    shown = console.export_text()
    for words in ("toy-loo-v1: Detectors", "nested", "combined", "out-of-memory", "trial 2"):
        assert words in shown
    assert len(files.tables) == 6


def test_a_comparison_is_ranked_and_tested(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold, seed in itertools.product(range(6), range(2)):
        place = {"fold": fold, "seed": seed, "n": 40}
        for kind in ("boundary", "early-generator"):
            add_run(store, params={"negatives": kind}, **place)
        add_run(store, "isolation-forest", {"k": 5}, shift=2.0, **place)
        add_run(store, selection="nested-shared", **place)
    files = write_report(store)
    assert any("average-ranks-on-6-folds" in path.name for path in files.figures)
    summary = files.summary.read_text(encoding="utf-8")
    for words in (
        "### Average rank and tests on 6 folds",
        "rules: fixed, nested-shared.",
        "| omasgan · fixed · negatives=early-generator |",
        "corrected for the 3 tests of this table, so that it can't be below 0.094",
    ):
        assert words in summary, words
    console = Console(width=200)
    detectors, _, ranks = files.tables[:3]
    assert console.measure(detectors).maximum <= 134
    assert console.measure(ranks).maximum <= 140


def test_a_study_without_results_is_reported(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_study(store, status="running", outcomes=("pruned", "ok"))
    assert "none yet" in write_report(store).summary.read_text()


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no results"):
        write_report(Store(tmp_path))
    assert not (tmp_path / "report").exists()
