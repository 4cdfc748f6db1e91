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

BATCH = {"metrics": 1000, "params": 100, "tags": 100}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow's own settings where the user has none: no telemetry, no long retries, no output."""


@dataclass
class Mlflow:
    """MLflow's client with what mirroring needs: MLflow runs by key, points in batches."""

    client: Any
    store_id: str
    artifacts: AnyPath | None
    experiments: dict[str, str] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, uri: str, root: AnyPath) -> Mlflow:
        """Connect; a sqlite database that is not there is made, which takes seconds."""
        from mlflow import MlflowClient

        for name, level in (("mlflow", "WARNING"), ("alembic", "WARNING"), ("urllib3", "ERROR")):
            logging.getLogger(name).setLevel(level)
        _make_database(uri)
        return cls(MlflowClient(tracking_uri=uri), store_id(root), _artifacts(uri, root))

    def experiment(self, name: str) -> str:
        """The id of the experiment ``name``, made if it is not there."""
        if name not in self.experiments:
            found = self.client.get_experiment_by_name(name)
            place = None if self.artifacts is None else (self.artifacts / name).as_uri()
            self.experiments[name] = (
                found.experiment_id
                if found is not None
                else self.client.create_experiment(name, artifact_location=place)
            )
        return self.experiments[name]

    def run(self, key: str, name: str, start: int, parent: Any = None) -> Any:
        """The MLflow run that shows ``key``, made if there is none; ``start`` is in ms."""
        self.shown.add(key)
        experiment = self.experiment(key.split("/")[0])
        query = f"tags.`omasgan.key` = '{key}' and tags.`omasgan.store` = '{self.store_id}'"
        found = self.client.search_runs([experiment], query, max_results=1)
        if found:
            return found[0]
        tags = {"omasgan.key": key, "omasgan.store": self.store_id}
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
        """Log everything in as few calls as MLflow allows."""
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

    def send_file(self, run: Any, path: AnyPath, place: str | None = None) -> None:
        """Log a file as an artifact in the folder ``place``, unless it is not there."""
        content = read(path)
        if content is None:
            return
        with tempfile.TemporaryDirectory() as made:
            copy = Path(made) / path.name
            copy.write_bytes(content)
            self.client.log_artifact(run.info.run_id, str(copy), place)

    def set_status(self, run: Any, status: str, end: int | None = None) -> None:
        """Set the status of the MLflow run, and when it ended (ms) unless it is RUNNING."""
        if status == run.info.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.info.run_id, status=status)
        else:
            self.client.set_terminated(run.info.run_id, status, end)


@contextlib.contextmanager
def as_backend_error(uri: str) -> Iterator[None]:
    """Whatever MLflow and what it stands on can raise becomes one line.

    Raises:
        BackendError: always, instead of those.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise _unusable(uri, error) from error


def as_text(value: object) -> str:
    """A string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def legal(name: str) -> str:
    """``name`` with only the characters that MLflow takes in metrics and params."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def _artifacts(uri: str, root: AnyPath) -> AnyPath | None:
    """Where a database's artifacts lie; a server keeps them itself.

    They lie beside the results. MLflow needs boto3 to put them on an object store, so that of a
    remote store they lie beside a database that is a local file.
    """
    parts = urlsplit(uri)
    if parts.scheme.startswith(("http", "databricks")):
        return None
    if not isinstance(root, Path) and parts.scheme.startswith("sqlite"):
        return Path(unquote(parts.path)[1:]).absolute().parent / "mlartifacts"
    return root / "mlartifacts"


def _lock_file(root: AnyPath) -> Path:
    """Of a remote store it lies in this machine's temporary folder, one for each user."""
    if isinstance(root, Path):
        return root / ".mlflow.lock"
    name = hashlib.sha256(f"{root} {os.getuid()}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"omasgan-{name}.lock"


@contextlib.contextmanager
def locked(root: AnyPath) -> Iterator[None]:
    """One mirror at a time: two would make the same MLflow run twice, or break a new database."""
    import fcntl

    with _lock_file(root).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_database(uri: str) -> None:
    """Make a sqlite database that is not there, so that it is there whole or not at all: one that
    a killed process has left half made could never be used again.
    """
    from mlflow import MlflowClient

    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as folder:
        made = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments()
        made.replace(path)


def prepare(uri: str) -> None:
    """Quieten MLflow before it is imported, and fail at once on a database that does not answer.

    Raises:
        BackendError: nobody listens at the database's address; MLflow would try for 100 s.
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
