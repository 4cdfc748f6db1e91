"""Saved views: MLflow's page that shows the best results first, with no click."""

from __future__ import annotations

import json
import re
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
from tests.results import SPEC, add_run, add_study, claimed, trial_params
from tests.tracking.test_ui import MAIN, free_port


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for fold in (1, 10, 2):
        name = f"digit {fold}"
        add_run(store, "knn", {"k": 1}, fold=fold, shift=2.0, fold_name=name)
        add_run(store, "pca", {}, fold=fold, shift=0.5, fold_name=name)
    return store


def test_folds_stand_in_their_order_behind_the_worst() -> None:
    view = views.results(["digit 1", "digit 10"])
    names = ("AUROC", "AUROC worst fold", "AUROC digit 1", "AUROC digit 10", "seconds")
    assert view.columns == tuple(f"metrics.`{name}`" for name in names)
    assert view.state()["orderByAsc"] is False


def test_trials_that_share_stages_stand_with_their_groups() -> None:
    shared = {"metrics.`spared seconds`", "tags.`omasgan.group`"}
    assert shared <= set(views.trials(["mu"], share_stages=True).columns)
    assert not shared & set(views.trials(["mu"], share_stages=False).columns)


@pytest.mark.usefixtures("mlflow_database")
def test_every_benchmark_has_a_page(store: Store) -> None:
    tracker = Tracker(None, store)
    tracker.sync()
    ((title, page),) = tracker.pages("http://127.0.0.1:5000/").items()
    benchmark, _, what = title.partition(", ")
    assert what == "the best first"
    client = Mlflow.open(tracker.uri, store.root).client
    experiment = client.get_experiment_by_name(benchmark)
    parts = urllib.parse.urlsplit(page)
    assert parts.netloc == "127.0.0.1:5000"
    route, _, query = parts.fragment.partition("?")
    assert route == f"/experiments/{experiment.experiment_id}/runs"
    key = urllib.parse.parse_qs(query)["viewStateShareKey"][0]
    state = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
    assert state["orderByKey"] == "metrics.`AUROC`"
    assert "metrics.`AUROC digit 10`" in state["selectedColumns"]
    runs = client.search_runs([experiment.experiment_id], state["searchFilter"])
    assert {run.data.tags["omasgan.detector"] for run in runs} == {"knn", "pca"}


@pytest.mark.usefixtures("mlflow_database")
def test_a_sweep_has_two_pages_and_its_winners_stand_in_none(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold in range(2):
        add_study(store, fold=fold)
        add_run(store, params=trial_params(2), selection="nested", fold=fold)
    tracker = Tracker(None, store)
    tracker.sync()
    titles = [title.partition(", ")[2] for title in tracker.pages("http://127.0.0.1:5000/")]
    assert titles == ["the best first", "trials by objective"]
    client = Mlflow.open(tracker.uri, store.root).client
    tags = client.get_experiment_by_name(SPEC.id).tags
    found = {}
    for key in ("results", "trials"):
        state = json.loads(tags[f"mlflow.sharedViewState.{key}"])
        experiments = [client.get_experiment_by_name(SPEC.id).experiment_id]
        runs = client.search_runs(
            experiments, state["searchFilter"], order_by=[f"{state['orderByKey']} DESC"]
        )
        found[key] = [run.info.run_name for run in runs]
    assert found["results"] == ["omasgan nested"]
    assert sorted(found["trials"]) == sorted(
        f"fold-{fold} trial {number}" for fold in range(2) for number in (0, 2)
    )
    assert found["trials"][0].endswith("trial 2"), "the best objective first"
    assert {"params.`mu`", "params.`form`"} <= set(state["selectedColumns"])


@pytest.mark.usefixtures("mlflow_database")
def test_the_example_in_python_finds_the_best_first(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    Tracker(None, store).sync()
    page = Path(__file__).parents[2] / "docs" / "mlflow.md"
    (example,) = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    example = example.replace("out/demo", str(store.root)).replace("digits-loo-v1", SPEC.id)
    try:
        exec(compile(example, "mlflow.md", "exec"), {})
    finally:
        mlflow.set_tracking_uri("")
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "params.detector"
    assert [line.split()[1] for line in lines] == ["knn", "pca"]


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
    assert {"AUROC", "AUROC digit 1"} <= set(lines)


def table(browser: Any) -> list[str]:
    """The lines of the page; none as long as it has no rows."""
    lines = browser.find_element("tag name", "body").text.splitlines()
    return lines if any(line.startswith("knn") for line in lines) else []
