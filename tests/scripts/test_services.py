"""PostgreSQL and MLflow hold a sweep, survive a kill, keep their secret and leave nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omasgan.store.results import Store
from tests.scripts.shell import VENV, call, exports, listening_elsewhere

POSTGRES_PORT, MLFLOW_PORT = 54871, 54872
PORTS = ["--postgres-port", POSTGRES_PORT, "--mlflow-port", MLFLOW_PORT]


def test_wrong_input_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = call("services", "start", tmp_path / "new", "--mlflow-port", 80)
    assert done.returncode == 2
    assert done.stderr == "services: --mlflow-port must be in [1024, 65535], got 80\n"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("verb", [["env"], ["status"], ["kill", "mlflow"], ["stop"]])
def test_a_folder_without_services_is_refused(verb: list[str], tmp_path: Path) -> None:
    done = call("services", verb[0], tmp_path, *verb[1:])
    assert done.returncode == 2
    assert f"{tmp_path} has no services; start them with: " in done.stderr


@pytest.fixture
def services() -> Iterator[Path]:
    # PostgreSQL's own user must be able to enter it, as it can't enter pytest's folders.
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="services-"))
    folder.chmod(0o755)
    done = call("services", "start", folder, *PORTS, "--install", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder
    if (folder / "services.json").exists():
        assert call("services", "stop", folder).returncode == 0
    shutil.rmtree(folder)


def ask(environment: dict[str, str], database: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg2

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSFILE", environment["PGPASSFILE"])
        uri = environment["OMASGAN_STORAGE"].replace("+psycopg2", "")
        with psycopg2.connect(uri.removesuffix("optuna") + database) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return cursor.fetchall()


def processes_of(folder: Path) -> dict[int, str]:
    """Process ids and command lines of what was started in the folder."""
    lines = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in line or str(folder) in str((entry / "cwd").readlink()):
                lines[int(entry.name)] = line
        except OSError:
            continue
    return lines


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_with_both_servers(services: Path, tmp_path: Path) -> None:
    variables = exports("services", services)
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    command = [VENV / "omasgan", "sweep", "digits-loo", "pca", "--trials", "3", "--folds", "0"]
    command += ["--max-train", "200", "--backend", "local", "--out", tmp_path / "out"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr

    states = [("COMPLETE",)] * 3
    assert ask(variables, "optuna", "SELECT state::text FROM trials") == states
    # The sweep, its study, its trials and its winner.
    assert ask(variables, "mlflow", "SELECT status FROM runs") == [("FINISHED",)] * 6
    assert list((services / "artifacts").rglob("*.png"))
    assert {row["outcome"] for row in Store(tmp_path / "out").results()} == {"ok"}

    passfile = services / "pgpass"
    assert passfile.stat().st_mode & 0o777 == 0o600
    password = passfile.read_text().strip().rpartition(":")[2]
    running = processes_of(services)
    assert len(running) > 5
    assert password not in " ".join(running.values()) + done.stdout + done.stderr
    for file in [*services.glob("*.log"), *(tmp_path / "out").rglob("*.json*")]:
        assert password not in file.read_text()
    with pytest.raises(Exception, match="no password supplied"):
        ask(variables | {"PGPASSFILE": "/dev/null"}, "optuna", "SELECT 1")
    assert listening_elsewhere(set(running)) == []

    for service in ("postgres", "mlflow"):
        assert call("services", "kill", services, service).returncode == 0
        assert f"{service}  dead" in call("services", "status", services).stdout
        restarted = call("services", "restart", services, service)
        assert restarted.returncode == 0, restarted.stderr
    assert call("services", "status", services).stdout.count("alive") == 2
    assert ask(variables, "optuna", "SELECT state::text FROM trials") == states

    assert call("services", "stop", services).returncode == 0
    assert processes_of(services) == {}
