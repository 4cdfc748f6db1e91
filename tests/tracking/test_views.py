"""Saved views: MLflow's page that shows the best results first, with no click."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from omasgan.store.results import Store
from omasgan.tracking import views
from omasgan.tracking.client import Mlflow
from omasgan.tracking.tracker import Tracker
from tests.browser import opened
from tests.results import add_run
from tests.tracking.test_ui import MAIN, free_port


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for fold in (1, 10, 2):
        add_run(store, "knn", {"k": 1}, fold=fold, shift=2.0)
        add_run(store, "pca", {}, fold=fold, shift=0.5)
    return store


def test_folds_stand_in_their_order_behind_the_worst() -> None:
    view = views.results({10, 2, 1})
    assert view.columns == (
        *("auroc", "auroc_worst_fold"),
        *("auroc/fold-1", "auroc/fold-2", "auroc/fold-10", "seconds"),
    )
    assert view.state()["orderByAsc"] is False


@pytest.mark.usefixtures("mlflow_database")
def test_every_benchmark_has_a_page(store: Store) -> None:
    tracker = Tracker(None, store)
    tracker.sync()
    ((benchmark, page),) = tracker.pages("http://127.0.0.1:5000/").items()
    client = Mlflow.open(tracker.uri, store.root).client
    experiment = client.get_experiment_by_name(benchmark)
    parts = urllib.parse.urlsplit(page)
    assert parts.netloc == "127.0.0.1:5000"
    route, _, query = parts.fragment.partition("?")
    assert route == f"/experiments/{experiment.experiment_id}/runs"
    key = urllib.parse.parse_qs(query)["viewStateShareKey"][0]
    state = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
    assert state["orderByKey"] == "metrics.`auroc`"
    assert "metrics.`auroc/fold-10`" in state["selectedColumns"]
    runs = client.search_runs([experiment.experiment_id], state["searchFilter"])
    assert {run.data.tags["omasgan.detector"] for run in runs} == {"knn", "pca"}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with opened(tmp_path / "profile", "--window-size=1500,900") as driver:
        yield driver


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("mlflow_database")
def test_the_page_shows_the_best_first_without_a_click(store: Store, browser: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    Tracker(None, store).sync()
    command = [sys.executable, "-c", MAIN, "ui", str(store.root), "--port", str(free_port())]
    with subprocess.Popen(command, stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            browser.get(process.stdout.readline().split()[-1])
            lines = WebDriverWait(browser, 60).until(table)
        finally:
            process.send_signal(signal.SIGINT)
    entries = [line.split()[0] for line in lines if line.startswith(("knn", "pca"))]
    assert entries == ["knn", "pca"]
    assert {"auroc", "auroc/fold-1"} <= set(lines)


def table(browser: Any) -> list[str]:
    """The lines of the page; none as long as it has no rows."""
    lines = browser.find_element("tag name", "body").text.splitlines()
    return lines if any(line.startswith("knn") for line in lines) else []
