from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.report.results.inputs import read_study
from omasgan.store.results import Store
from tests.cli.calls import run, sweep


def test_sweep_searches_then_trains_the_winners_on_fresh_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path, "--trials", "2") == 0
    store = Store(tmp_path / "out")
    assert [folder.name for folder in store.studies()] == ["fold-0", "fold-1"]
    rows = store.results()
    assert {(row["fold"], row["seed"]) for row in rows} == {
        (f, s) for f in (0, 1) for s in range(3)
    }
    assert {row["selection"] for row in rows} == {"nested"}
    text = capsys.readouterr().out
    assert "fold-1: 2 of 2 trials, ok" in text and "runs: 6 of 6, ok" in text

    assert sweep(tmp_path, "--trials", "3", "--folds", "0") == 0
    assert len(read_study(store.studies()[0]).ended) == 3
    assert sweep(tmp_path, "--trials", "3", "--folds", "0", "--seed", "1") == 2
    assert "seed: 0 -> 1" in capsys.readouterr().err


def test_mlflow_shows_a_sweep_and_the_runs(
    tmp_path: Path, mlflow_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{mlflow_database}"
    assert sweep(tmp_path, "--trials", "2", "--folds", "0", "--tracking-uri", uri) == 0
    assert run(tmp_path / "out", "--folds", "0", "--tracking-uri", uri) == 0
    import mlflow

    client = mlflow.MlflowClient(uri)
    (experiment,) = (e for e in client.search_experiments() if e.name.startswith("digits-loo"))
    shown = client.search_runs([experiment.experiment_id])
    assert {r.info.status for r in shown} == {"FINISHED"}
    # A sweep, its study, two trials and winner, and what was run without a search.
    assert len(shown) == 6
    (whole,) = (r for r in shown if r.data.tags["omasgan.key"].endswith("/sweep"))
    (report,) = client.list_artifacts(whole.info.run_id, "report")
    assert report.path == "report/index.html"
    assert "winner.toml" in capsys.readouterr().out
    winner = next((tmp_path / "out").glob("*/*/nested/studies/fold-0/winner.toml"))
    assert run(tmp_path / "again", "--folds", "0", "--seeds", "0", "--params", winner) == 0


def test_hours_end_a_sweep_and_each_study_has_a_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path, "--trials", "50", "--hours", "1e-9") == 0
    store = Store(tmp_path / "out")
    assert [len(read_study(folder).ended) for folder in store.studies()] == [1, 1]
    assert len(store.results()) == 6
    assert "ends with 1 of 50 trials: its 1e-09 hours are over" in capsys.readouterr().out
    assert sweep(tmp_path, "--trials", "2") == 0, "it goes on"
    assert [len(read_study(folder).ended) for folder in store.studies()] == [2, 2]

    assert sweep(tmp_path, "--trials", "2", "--hours", "0") == 2
    assert "hours must be above 0 and finite, got 0.0" in capsys.readouterr().err


def test_the_winners_may_be_tested_on_other_seeds(tmp_path: Path) -> None:
    assert sweep(tmp_path, "--trials", "1", "--folds", "0", "--seeds", "7,8") == 0
    assert {row["seed"] for row in Store(tmp_path / "out").results()} == {7, 8}


def test_the_storage_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMASGAN_STORAGE", f"sqlite:///{tmp_path}/elsewhere.db")
    assert sweep(tmp_path, "--trials", "1", "--folds", "0") == 0
    assert (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize(
    ("options", "states"),
    [
        ([], []),
        (["--keep-checkpoints"], ["task-0.safetensors", "task-1.safetensors"]),
        (["--keep-checkpoints", "--checkpoint-budget", "1B"], []),
    ],
    ids=["none", "all", "none within the budget"],
)
def test_checkpoints_stay_as_the_options_say(
    options: list[str], states: list[str], tmp_path: Path
) -> None:
    one = ["--trials", "1", "--folds", "0", "--checkpoint-seconds", "0"]
    assert sweep(tmp_path, *one, *options) == 0
    assert sorted(path.name for path in tmp_path.rglob("trials/0000/*.safetensors")) == states
