"""The servers that the fault tests kill: nodes of a Ray cluster, MLflow, PostgreSQL."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.harness import ROOT
from tests.faults.processes import Process, running


class _Script:
    """What a script in ``scripts/`` has started in a folder."""

    name = ""

    def __init__(self, folder: Path, *options: str | int) -> None:
        self.folder = folder
        self._call("start", *options)
        lines = self._call("env").splitlines()
        exports = [shlex.split(line.removeprefix("export "))[0] for line in lines]
        self.environment = dict(export.split("=", 1) for export in exports)

    def stop(self) -> None:
        self._call("stop")

    def _call(self, verb: str, *arguments: str | int, before: tuple[str, ...] = ()) -> str:
        command = [*before, sys.executable, str(ROOT / "scripts" / self.name), verb]
        done = subprocess.run(
            [*command, str(self.folder), *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=150,
        )
        if verb == "start" and " not here" in done.stderr:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        return done.stdout


class Cluster(_Script):
    """Nodes of one CPU each."""

    name = "local-cluster"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, "--nodes", 2, "--cpus", 1, "--port", port)
        self.address = self.environment["RAY_ADDRESS"]

    def workers(self) -> list[int]:
        """The processes that have work of a job."""
        return sorted(process.pid for process in self.processes() if process.is_worker)

    def trainers(self) -> list[int]:
        """Those of them with a trial or a final run."""
        return sorted(process.pid for process in self.processes() if process.trains)

    def processes(self) -> list[Process]:
        sessions = set(self._leaders())
        return [process for process in running() if process.session in sessions]

    def kill_node(self) -> None:
        """SIGKILL of the raylet of the youngest node that lives."""
        lines = [line.split() for line in self._call("status").splitlines()]
        alive = [int(words[1]) for words in lines if words[0] == "node" and words[2] == "alive"]
        self._call("kill", max(alive))

    def add_node(self, *before: str) -> None:
        """One more node; ``before`` is a command that is given the node's as its arguments."""
        self._call("add", before=before)

    def _leaders(self) -> list[int]:
        held = json.loads((self.folder / "cluster.json").read_text())
        return [leader[0] for leader in held["leaders"]]


class Services(_Script):
    """PostgreSQL, and an MLflow server in front of it."""

    name = "services"

    def __init__(self, folder: Path, postgres_port: int, mlflow_port: int) -> None:
        ports = ("--postgres-port", postgres_port, "--mlflow-port", mlflow_port)
        super().__init__(folder, *ports)
        self.mlflow_port = mlflow_port
        self.tracking = self.environment["MLFLOW_TRACKING_URI"]
        self.storage = self.environment["OMASGAN_STORAGE"]

    def kill(self, service: str) -> None:
        """SIGKILL of all processes of ``postgres`` or ``mlflow``."""
        self._call("kill", service)

    def restart(self, service: str) -> None:
        """Return once it answers again."""
        self._call("restart", service)
