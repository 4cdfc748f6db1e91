"""Serve the MLflow UI over a store's own database, on this machine only, until interrupted."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omasgan.errors import BackendError, StoreError

if TYPE_CHECKING:
    from omasgan.store.results import Store

HOST = "127.0.0.1"
START_SECONDS = 120.0


def serve(store: Store, port: int, on_ready: Callable[[str, Mapping[str, str]], None]) -> None:
    """Serve until interrupted; ``on_ready`` gets the address once the server answers, and by
    benchmark that of the page with its best results first.

    A store without a database of its own is mirrored into a new one first; a store on an object
    store into a temporary one.

    Raises:
        StoreError: the store holds nothing to show.
        BackendError: the port is taken, or the server does not start.
    """
    from omasgan.tracking.tracker import DATABASE, Tracker, default_uri

    if not store.results() and not store.studies():
        raise StoreError(f"'{store.root}' holds no results; give the --out folder of a sweep")
    _check_free(port)
    with _local_folder(store) as folder:
        uri = default_uri(folder)
        tracker, address = Tracker(uri, store), f"http://{HOST}:{port}"
        if not (folder / DATABASE).exists():
            tracker.sync()
        pages = tracker.pages(address)
        _serve(folder, uri, port, lambda: on_ready(address, pages))


@contextlib.contextmanager
def _local_folder(store: Store) -> Iterator[Path]:
    """Yield the folder of the database."""
    if isinstance(store.root, Path):
        yield store.root
    else:
        with tempfile.TemporaryDirectory(prefix="omasgan-ui-") as folder:
            yield Path(folder)


def _serve(folder: Path, uri: str, port: int, on_ready: Callable[[], None]) -> None:
    log = folder / "mlflow-ui.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            _command(folder, uri, port),
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # SIGTERM must end the server as well, as Ctrl-C does.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _wait_until_ready(server, f"http://{HOST}:{port}", log)
        on_ready()
        server.wait()
        raise BackendError(f"the MLflow server has ended by itself: {_last_line(log)}")
    finally:
        signal.signal(signal.SIGTERM, previous)
        _stop(server)


def _command(folder: Path, uri: str, port: int) -> list[str]:
    options = {
        "--backend-store-uri": uri,
        "--default-artifact-root": str(folder / "mlartifacts"),
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
    }
    return [sys.executable, "-m", "mlflow", "server", *itertools.chain(*options.items())]


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BackendError(f"port {port} is taken; give another --port") from error


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        if _answers(address):
            return
        time.sleep(0.2)
    raise BackendError(f"the MLflow server did not start: {_last_line(log)}")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2):
            return True
    # While nobody listens there, a socket can be connected with itself, and reads what it wrote.
    except (OSError, http.client.HTTPException):
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and the workers it has started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, sign)
            server.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
