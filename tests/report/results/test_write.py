from __future__ import annotations

import html
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console, Group

from omasgan.errors import StoreError
from omasgan.report.results.write import ReportFiles, for_terminal, write_report
from omasgan.store.results import Store, params_id
from tests.report.page.html import read_page
from tests.report.store import fill
from tests.results import SPACE, SPEC, trial_params


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return fill(tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def files(store: Store) -> ReportFiles:
    return write_report(store)


@pytest.fixture(scope="module")
def summary(files: ReportFiles) -> str:
    return (files.folder / "summary.md").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_stands_alone(files: ReportFiles) -> None:
    page = read_page(files.page.read_text(encoding="utf-8"))
    assert page.wrong == []
    assert page.headings["h1"] == ["omasgan report"]
    assert page.headings["h2"] == ["Contents", SPEC.id]
    assert page.links <= page.ids
    assert "default-src 'none'" in page.policy
    assert len(page.pictures) == 14, (
        "boxes, time, search, samples, training, and of three entries ROC, precision, histogram"
    )
    assert all(len(text) > 20 for text in page.pictures)


def test_the_page_links_each_number_to_its_command(store: Store, files: ReportFiles) -> None:
    page = read_page(files.page.read_text(encoding="utf-8"))
    knn, (space,) = params_id({"k": 1}), [p.stem for p in (files.folder / "spaces").iterdir()]
    run = f"omasgan run toy-loo knn --folds 0,1 --seeds 0 --params report/params/{knn}.toml"
    sweep = (
        "omasgan sweep toy-loo omasgan --trials 6 --folds 0 --selection nested --inner 2 "
        f"--sampler TPESampler --pruner NopPruner --seed 0 --space report/spaces/{space}.toml"
    )
    assert page.text[page.commands["toy-loo-v1-auroc-by-fold", "knn · fixed"]] == run
    assert page.text[page.commands["toy-loo-v1-auroc-by-fold", "omasgan · nested"]] == sweep
    assert page.text[page.commands["toy-loo-v1-detectors", "knn"]] == run
    assert page.text[page.commands["toy-loo-v1-studies", "omasgan · nested · fold-0"]] == sweep
    params = tomllib.loads((files.folder / "params" / f"{knn}.toml").read_text())
    assert params == {"k": 1}
    text = (files.folder / "spaces" / f"{space}.toml").read_text()
    assert tomllib.loads(text) == SPACE.to_dict()


def test_the_page_says_what_a_reader_has_to_know(files: ReportFiles) -> None:
    page = files.page.read_text(encoding="utf-8")
    for words in (
        "ab" * 32,
        "Last result: 2026-01-02 03:04 UTC.",
        "The rule oracle looks at the test anomalies",
        "Not all entries have the same folds",
    ):
        assert words in page, words
    assert "<b>" not in page
    assert 'n = "<b>"' in html.unescape(page)


def test_params_files_hold_what_toml_can(files: ReportFiles) -> None:
    name = params_id(trial_params(2))
    params = tomllib.loads((files.folder / "params" / f"{name}.toml").read_text())
    assert params == trial_params(2)


def test_every_run_is_in_the_csv(store: Store, files: ReportFiles) -> None:
    runs = pd.read_csv(files.folder / "runs.csv")
    assert len(runs) == len(store.results())
    assert {"params", "data_sha256", "auroc", "auroc.j", "selection"} <= set(runs.columns)


def test_the_summary_holds_the_same_tables(files: ReportFiles, summary: str) -> None:
    page = read_page(files.page.read_text(encoding="utf-8"))
    tables = [title for title in page.headings["h3"] if f"### {title}\n" in summary]
    for title in ("Detectors", "AUROC by fold", "AUROC by stage", "Studies", "Winners"):
        assert title in tables
    assert {"Optimism ledger", "Geometry card", "How these numbers were made"} <= set(tables)
    assert "| knn | fixed |" in summary
    assert "| 2/3 | 1/2 | 2/6 |" in summary


def test_failures_have_a_cause_and_a_remedy(summary: str) -> None:
    assert "### Failures and their causes" in summary
    assert "| run | gmm · fixed | diverged | 1 | unknown | fold 0, seed 0 | a lower" in summary
    assert "| trial | omasgan · nested · fold-0 | out-of-memory | 1 |" in summary


def test_the_files_of_a_benchmark_are_there(files: ReportFiles) -> None:
    names = files.of[SPEC.id]
    assert len(set(names)) == len(names)
    for name in (
        "index.html",
        "tables/toy-loo-v1-detectors.md",
        "tables/toy-loo-v1-optimism-ledger.tex",
    ):
        assert name in names, name
    assert not any(name.startswith("figures/") for name in names), "the page has them"
    beginnings = {".html": b"<!doctype html>", ".tex": b"% omasgan"}
    for name in names:
        content = (files.folder / name).read_bytes()
        assert content.startswith(beginnings.get(Path(name).suffix, b"")), name


CHILD = """
import sys
from pathlib import Path
from omasgan.report.results.write import write_report
from tests.report.store import fill
write_report(fill(Path(sys.argv[1])), page_only=True)
"""


def test_the_same_results_give_the_same_bytes(files: ReportFiles, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    root = tmp_path / "another" / "folder"
    subprocess.run([sys.executable, "-c", CHILD, str(root)], check=True, env=environment)
    (page,) = (root / "report").iterdir()
    assert page.read_bytes() == files.page.read_bytes(), "figures' files: see test_drawing"


def test_a_terminal_shows_the_tables(store: Store, files: ReportFiles) -> None:
    console = Console(width=120, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    for line in for_terminal(store):
        console.print(line)
    shown = console.export_text()
    for words in ("2 detectors were compared", "Winner of omasgan (nested): trial 2 on fold-0"):
        assert words in shown
    *answer, table = files.said
    assert isinstance(table, Group) and str(table.renderables[0]) == "toy-loo-v1: AUROC by fold"
    assert len(answer) == 5, "nothing follows the table, and nothing else comes before it"


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no results"):
        write_report(Store(tmp_path))
    assert not (tmp_path / "report").exists()
