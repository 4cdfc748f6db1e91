from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from omasgan import cli
from omasgan.cli.options.execution import Execution
from omasgan.report.results.inputs import read_study
from omasgan.store.results import Store
from tests.cli.calls import MAIN, SMALL, SPACE, omasgan, run, sweep


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
    assert "fold-1: 2 of 2, ok" in text and "runs: 6 of 6, ok" in text

    assert sweep(tmp_path, "--trials", "3", "--folds", "0") == 0
    assert len(read_study(store.studies()[0]).ended) == 3
    assert sweep(tmp_path, "--trials", "3", "--folds", "0", "--seed", "1") == 2
    assert "seed: 0 -> 1" in capsys.readouterr().err


def test_the_same_command_goes_on_with_an_interrupted_sweep(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(f"{SPACE}seconds = 0.2\n")
    arguments = ["sweep", "digits-loo", "tests.toy:SlowDetector", *SMALL, "--trials", "3"]
    arguments += ["--backend", "local"]
    arguments += ["--selection", "proxy", "--folds", "0"]
    arguments += ["--space", str(tmp_path / "space.toml"), "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments], stdout=PIPE, stderr=PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert "1 of 3, ok" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert process.returncode == cli.INTERRUPTED
    assert "Traceback" not in error
    assert error.strip().endswith(f"to go on: {shlex.join(['omasgan', *arguments])}")

    assert omasgan(*arguments) == 0
    (study,) = Store(tmp_path / "out").studies()
    assert [trial.number for trial in read_study(study).ended] == [0, 1, 2]


def test_mlflow_shows_a_sweep_and_the_runs(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert sweep(tmp_path, "--trials", "2", "--folds", "0", "--tracking-uri", uri) == 0
    assert run(tmp_path / "out", "--folds", "0", "--tracking-uri", uri) == 0
    import mlflow

    client = mlflow.MlflowClient(uri)
    (experiment,) = (e for e in client.search_experiments() if e.name.startswith("digits-loo"))
    shown = client.search_runs([experiment.experiment_id])
    assert {r.info.status for r in shown} == {"FINISHED"}
    # A study, its two trials and its winner, and what was run without a search.
    assert len(shown) == 5


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


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_is_asked_for_as_the_options_say() -> None:
    with contextlib.closing(Execution(at_once=3, gpus_per_trial="0.25").open("cpu")) as backend:
        assert backend.capacity == 3
    with contextlib.closing(
        Execution(gpus_per_trial="0.5", cpus_per_trial=2).open("cpu")
    ) as backend:
        assert backend.capacity == 4
