"""One driver at a time, whatever becomes of the other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from omasgan.errors import StoreError
from omasgan.store import lock
from omasgan.store.files import open_root
from omasgan.store.journal import write_json
from omasgan.store.lock import NAME, driver_lock

HOLDER = """
import sys, time
from pathlib import Path
from omasgan.store.lock import driver_lock
with driver_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_driver_is_refused_with_the_first_ones_host_and_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "new")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        told = f"host {socket.gethostname()}, process {holder.pid}; wait for it"
        with pytest.raises(StoreError, match=told), driver_lock(tmp_path / "new"):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with driver_lock(tmp_path / "new"):
        assert (tmp_path / "new" / NAME).exists()


def test_the_lock_ends_with_its_context(tmp_path: Path) -> None:
    for _ in range(2):
        with driver_lock(tmp_path):
            pass


@pytest.fixture
def without_system_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_by_system", lambda root, me: None)


@pytest.mark.usefixtures("without_system_locks")
def test_a_beat_that_goes_on_refuses_and_one_that_stands_still_does_not(tmp_path: Path) -> None:
    with (
        driver_lock(tmp_path, beat_seconds=0.1),
        pytest.raises(StoreError, match=f"process {os.getpid()}"),
        driver_lock(tmp_path, beat_seconds=0.1),
    ):
        pass
    assert not (tmp_path / NAME).exists()
    dead = {"host": "gone", "pid": 1, "token": "t", "beat": 7}
    write_json(tmp_path / NAME, dead)
    started = time.monotonic()
    with driver_lock(tmp_path, beat_seconds=0.1):
        assert time.monotonic() - started > 0.25


@pytest.mark.usefixtures("without_system_locks")
def test_of_two_that_come_at_once_by_beat_one_stays(tmp_path: Path) -> None:
    held: list[int] = []
    refused: list[int] = []
    barrier = threading.Barrier(4)

    def drive(number: int) -> None:
        barrier.wait()
        try:
            with driver_lock(tmp_path, beat_seconds=0.5):
                held.append(number)
                time.sleep(1.5)
        except StoreError:
            refused.append(number)

    threads = [threading.Thread(target=drive, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 3)


def test_an_object_store_is_locked_by_beat() -> None:
    root = open_root("memory://bucket/lock")
    with (
        driver_lock(root, beat_seconds=0.1),
        pytest.raises(StoreError, match="in use by a driver on host"),
        driver_lock(root, beat_seconds=0.1),
    ):
        pass
    with driver_lock(root, beat_seconds=0.1):
        pass
