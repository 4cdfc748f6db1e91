"""MLflow's client with what mirroring needs; the only file that imports mlflow."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from omasgan.errors import BackendError, without_secrets
from omasgan.store.files import AnyPath, read
from omasgan.store.results import store_id

Point: TypeAlias = tuple[str, float, int, int]
"""Metric, value, time (ms since 1970) and step."""

KIND = "kind"
"""The tag of every MLflow run that says what it shows."""
BATCH = {"metrics": 1000, "params": 100, "tags": 100}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Settings of MLflow where the user's environment has none: no telemetry, long retries, output."""


@dataclass
class Mlflow:
    """MLflow's client with what mirroring needs: MLflow runs by key, points in batches.

    ``artifacts`` is the folder of the experiments' artifacts, None where a server has its own;
    ``experiments`` are the ids by name that are known, ``shown`` the keys of all MLflow runs used.
    """

    client: Any
    store_id: str
    artifacts: AnyPath | None
    experiments: dict[str, str] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, uri: str, root: AnyPath) -> Mlflow:
        """Connect; a missing sqlite database is created, which takes seconds."""
        from mlflow import MlflowClient

        for name, level in (("mlflow", "WARNING"), ("alembic", "WARNING"), ("urllib3", "ERROR")):
            logging.getLogger(name).setLevel(level)
        _create_database(uri)
        return cls(MlflowClient(tracking_uri=uri), store_id(root), _artifacts(uri, root))

    def experiment(self, name: str) -> str:
        """Return the id of the experiment ``name``, created if there is none."""
        if name not in self.experiments:
            known = self.client.get_experiment_by_name(name)
            folder = None if self.artifacts is None else (self.artifacts / name).as_uri()
            self.experiments[name] = (
                known.experiment_id
                if known is not None
                else self.client.create_experiment(name, artifact_location=folder)
            )
        return self.experiments[name]

    def tag_experiment(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags of the experiment ``name``."""
        experiment = self.experiment(name)
        for key, value in tags.items():
            self.client.set_experiment_tag(experiment, key, value)

    def run(self, key: str, name: str, start: int, parent: Any = None, *, kind: str) -> Any:
        """Return the MLflow run of ``key``, created with ``start`` (ms) if there is none.

        ``kind`` is what views choose by: "result" for what is compared, "trial" for a trial.
        """
        self.shown.add(key)
        experiment = self.experiment(key.split("/")[0])
        query = f"tags.`omasgan.key` = '{key}' and tags.`omasgan.store` = '{self.store_id}'"
        runs = self.client.search_runs([experiment], query, max_results=1)
        if runs:
            return runs[0]
        tags = {"omasgan.key": key, "omasgan.store": self.store_id, f"omasgan.{KIND}": kind}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent.info.run_id
        return self.client.create_run(experiment, start_time=start, tags=tags, run_name=name)

    def send(
        self,
        run: Any,
        points: Sequence[Point] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Send points, params and tags in as few calls as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        parts = {
            "metrics": [Metric(legal(name), *rest) for name, *rest in points],
            "params": [Param(legal(k), as_text(v)) for k, v in (params or {}).items()],
            "tags": [RunTag(f"omasgan.{k}", as_text(v)) for k, v in (tags or {}).items()],
        }
        for kind, items in parts.items():
            for start in range(0, len(items), BATCH[kind]):
                chunk = {kind: items[start : start + BATCH[kind]]}
                self.client.log_batch(run.info.run_id, **chunk)

    def send_file(self, run: Any, path: AnyPath, folder: str | None = None) -> None:
        """Send a file, if it is there, into a folder of the MLflow run's artifacts."""
        content = read(path)
        if content is not None:
            self._send_contents(run, {path.name: content}, folder)

    def send_text(self, run: Any, name: str, text: str, folder: str | None = None) -> None:
        """Send a text as a file into a folder of the MLflow run's artifacts."""
        self._send_contents(run, {name: text.encode()}, folder)

    def describe(self, run: Any, text: str) -> None:
        """Set what MLflow shows as the description, in Markdown."""
        self.client.set_tag(run.info.run_id, "mlflow.note.content", text)

    def send_drawings(
        self, run: Any, drawings: Mapping[str, Any], folder: str | None = None
    ) -> None:
        """Send matplotlib figures, by file name, as PNG into a folder of the artifacts."""
        from omasgan.report.page.drawing import png

        contents = {name: png(figure) for name, figure in drawings.items()}
        self._send_contents(run, contents, folder)

    def _send_contents(self, run: Any, contents: Mapping[str, bytes], folder: str | None) -> None:
        with tempfile.TemporaryDirectory() as copies:
            for name, content in contents.items():
                (Path(copies) / name).write_bytes(content)
            self.client.log_artifacts(run.info.run_id, copies, folder)

    def set_status(self, run: Any, status: str, end: int | None = None) -> None:
        """Set the MLflow run's status and, unless it is RUNNING, its end in ms since 1970."""
        if status == run.info.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.info.run_id, status=status)
        else:
            self.client.set_terminated(run.info.run_id, status, end)


@contextlib.contextmanager
def as_backend_error(uri: str) -> Iterator[None]:
    """Turn what MLflow and its libraries raise into one line.

    Raises:
        BackendError: MLflow, its database or the network has raised an error.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise _unusable(uri, error) from error


def as_text(value: object) -> str:
    """Return a string as it is and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def legal(name: str) -> str:
    """Return ``name`` with "_" for each character that MLflow allows in no metric or param."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def _artifacts(uri: str, root: AnyPath) -> AnyPath | None:
    """Return the folder of the artifacts of a database, None for a server, which has its own.

    It lies beside the results. MLflow needs boto3 to write to an object store; so the artifacts
    of a store there go beside the database, if that is a local file.
    """
    parts = urlsplit(uri)
    if parts.scheme.startswith(("http", "databricks")):
        return None
    if not isinstance(root, Path) and parts.scheme.startswith("sqlite"):
        return Path(unquote(parts.path)[1:]).absolute().parent / "mlartifacts"
    return root / "mlartifacts"


def _lock_file(root: AnyPath) -> Path:
    """Return the lock: of a store on an object store, one for each user in the machine's tmp."""
    if isinstance(root, Path):
        return root / ".mlflow.lock"
    name = hashlib.sha256(f"{root} {os.getuid()}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"omasgan-{name}.lock"


@contextlib.contextmanager
def locked(root: AnyPath) -> Iterator[None]:
    """Let one mirror work at a time: two would create a run twice, or break a new database."""
    from filelock import FileLock

    with FileLock(_lock_file(root)):
        yield


def _create_database(uri: str) -> None:
    """Create a missing sqlite database beside its path and rename it once it is whole.

    The experiment that every new one has, ``Default``, would stand first in the UI, and be empty.
    MLflow could never open one that a killed process has left half-written.
    """
    from mlflow import MlflowClient

    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as folder:
        whole = Path(folder) / path.name
        client = MlflowClient(tracking_uri=f"sqlite:///{whole}")
        for empty in client.search_experiments():
            client.delete_experiment(empty.experiment_id)
        whole.replace(path)


def prepare(uri: str) -> None:
    """Quieten MLflow before its import, and see whether the database's address answers.

    Raises:
        BackendError: nobody listens at that address; MLflow would try for 100 s.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    parts = urlsplit(uri)
    port = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}.get(parts.scheme.split("+")[0])
    if port is None or parts.hostname is None:
        return
    try:
        socket.create_connection((parts.hostname, parts.port or port), timeout=5).close()
    except OSError as error:
        raise _unusable(uri, error) from error


def _unusable(uri: str, error: Exception) -> BackendError:
    reason = (str(error) or type(error).__name__).splitlines()[0][:200]
    return BackendError(without_secrets(f"MLflow at {uri} cannot be used: {reason}"))
