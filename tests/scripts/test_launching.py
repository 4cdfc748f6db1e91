"""Sweeps on two nodes: by address, as a submitted job, with data that only the driver has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from omasgan.report.results.inputs import read_study
from omasgan.store.results import Store
from tests.official_files import mnist_like
from tests.scripts.shell import ROOT, VENV, call, exports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PORT = 6510


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of drivers; nodes know the toys, but no folder with data."""
    folder = tmp_path_factory.mktemp("launching") / "cluster"
    bare = {name: value for name, value in os.environ.items() if name != "OMASGAN_DATA"}
    nodes = bare | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = call("local-cluster", "start", folder, "--port", PORT, "--dashboard", env=nodes)
    assert started.returncode == 0, started.stderr
    yield nodes | exports("local-cluster", folder)
    assert call("local-cluster", "stop", folder).returncode == 0


def sweep(folder: Path, *arguments: object) -> list[str]:
    """A sweep of two trials that wait for each other: as a node has one CPU, both must work."""
    meeting = folder / "meeting"
    meeting.mkdir()
    space = folder / "space.toml"
    space.write_text(f'place = "{meeting}"\nn = 2\nlr = {{ low = 0.01, high = 0.1 }}\n')
    options = ["--trials", 2, "--folds", 0, "--selection", "proxy", "--space", space]
    options += ["--tracking-uri", "none", "--out", folder / "out", *arguments]
    return [str(VENV / "omasgan"), "sweep", *map(str, options)]


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(folder: Path) -> None:
    """Both trials have met, and the winner was tested."""
    store = Store(folder / "out")
    assert {row["outcome"] for row in store.results()} == {"ok"}
    (study,) = store.studies()
    assert [trial.outcome for trial in read_study(study).ended] == ["ok", "ok"]


def test_a_sweep_by_address_uses_both_nodes(cluster: dict[str, str], tmp_path: Path) -> None:
    command = sweep(tmp_path, "--address", cluster["RAY_ADDRESS"])
    run([*command, "digits-loo", "tests.toy:MeetingDetector", "--max-train", "100"], cluster)
    check(tmp_path)


def test_a_sweep_as_a_submitted_job_uses_both_nodes(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    command = sweep(tmp_path, "--address", "auto")
    command += ["digits-loo", "tests.toy:MeetingDetector", "--max-train", "100"]
    submit = [str(VENV / "ray"), "job", "submit", "--address", f"http://127.0.0.1:{PORT + 2}"]
    output = run([*submit, "--", "omasgan", *command[1:]], cluster)
    assert "succeeded" in output
    check(tmp_path)


def test_workers_get_the_data_from_the_driver(cluster: dict[str, str], tmp_path: Path) -> None:
    mnist_like(tmp_path / "data", "MNIST", n=200)
    command = sweep(tmp_path, "--address", "auto")
    driver = cluster | {"OMASGAN_DATA": str(tmp_path / "data")}
    run([*command, "mnist-loo", "tests.toy:MeetingDetector"], driver)
    check(tmp_path)
