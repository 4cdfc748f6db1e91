from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from subprocess import PIPE

import pytest

from omasgan.errors import BackendError, StoreError
from omasgan.store.results import RunKey, Store
from omasgan.tracking.ui import _answers, serve

KEY = RunKey("digits-loo-v1", "knn", "fixed", "0a1b2c3d4e5f", 0, 3)
MAIN = "import sys; from omasgan.cli import main; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_socket_that_is_connected_with_itself_is_no_server() -> None:
    """It reads its own request, as if a server had begun its answer with that."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=echo, args=[listening])
        thread.start()
        assert not _answers(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def echo(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.sendall(connection.recv(1000))


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no results"):
        serve(Store(tmp_path), 5000, print)


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_run(KEY, None, {"outcome": "ok"})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BackendError, match=f"port {port} is taken; give another --port"):
            serve(store, port, print)


@pytest.mark.slow
def test_the_ui_answers_until_it_is_interrupted(tmp_path: Path) -> None:
    small = ["--folds", "0", "--seeds", "0", "--tracking-uri", "none", "--out", str(tmp_path)]
    subprocess.run(
        [sys.executable, "-c", MAIN, "run", "digits-loo", "pca", *small], check=True, stdout=PIPE
    )
    port = str(free_port())
    command = [sys.executable, "-c", MAIN, "ui", str(tmp_path), "--port", port]
    with subprocess.Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{port}"
        assert address in process.stdout.readline()
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)
