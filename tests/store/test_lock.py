"""One driver at a time, whatever becomes of the other."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.errors import StoreError
from omasgan.store import files, lock, tickets
from omasgan.store.files import AnyPath, find, open_root
from omasgan.store.journal import read_json, write_json
from omasgan.store.lock import HOLDER, LOCK, driver_lock

SCRIPT = """
import sys, time
from pathlib import Path
from omasgan.store.lock import driver_lock
with driver_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_driver_is_refused_with_the_first_ones_host_and_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "new")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        message = f"host {socket.gethostname()}, process {holder.pid}; wait for it"
        with pytest.raises(StoreError, match=message), driver_lock(tmp_path / "new"):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with driver_lock(tmp_path / "new"):
        assert read_json(tmp_path / "new" / HOLDER)["pid"] == os.getpid()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {LOCK, HOLDER}


def test_the_lock_ends_with_its_context(tmp_path: Path) -> None:
    for _ in range(2):
        with driver_lock(tmp_path):
            pass


BEAT = 0.1


@pytest.fixture
def without_system_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)


@pytest.fixture(params=["folder", "memory", "s3"])
def by_ticket(request: pytest.FixtureRequest, tmp_path: Path) -> AnyPath:
    """A root where a driver holds a ticket."""
    if request.param == "folder":
        request.getfixturevalue("without_system_locks")
        return tmp_path / "new"
    if request.param == "memory":
        return open_root(f"memory://{uuid.uuid4().hex}/out")
    remote: AnyPath = request.getfixturevalue("remote")
    return remote


def test_a_beat_that_goes_on_refuses_and_a_ticket_that_was_left_does_not(
    by_ticket: AnyPath,
) -> None:
    message = f"in use by a driver on host {socket.gethostname()}, process {os.getpid()}; wait"
    for _ in range(2):
        started = time.monotonic()
        with driver_lock(by_ticket, beat_seconds=BEAT):
            with (
                pytest.raises(StoreError, match=message),
                driver_lock(by_ticket, beat_seconds=BEAT),
            ):
                pass
            assert len(find(by_ticket, f"{tickets.FOLDER}/*")) == 1
    assert time.monotonic() - started < 10


def test_a_beat_that_stands_still_is_a_dead_drivers(by_ticket: AnyPath) -> None:
    dead = {"host": "gone", "pid": 1, "token": "t", "beat": 7}
    write_json(by_ticket / tickets.FOLDER / "00000004.json", dead)
    started = time.monotonic()
    with driver_lock(by_ticket, beat_seconds=BEAT):
        assert time.monotonic() - started > 0.9 * tickets.BEATS_MISSED * BEAT
        names = [path.name for path in find(by_ticket, f"{tickets.FOLDER}/*")]
        assert names == ["00000005.json"], "no number is drawn twice"


def test_a_file_system_that_refuses_the_lock_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    with pytest.raises(StoreError, match=r"cannot lock '.*': .*Input/output"):
        driver_lock(tmp_path).__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot create the folder '.*/file/out'"):
        driver_lock(tmp_path / "file/out").__enter__()


class Turns:
    """Lets two drivers work on a store one operation at a time, in a given order."""

    def __init__(self, order: list[int]) -> None:
        self._order = order
        self._working = {0, 1}
        self._changed = threading.Condition()
        self._mine = threading.local()

    @contextlib.contextmanager
    def driving(self, number: int) -> Iterator[None]:
        """Make this thread the driver ``number`` while it takes the lock."""
        self._mine.number = number
        try:
            yield
        finally:
            with self._changed:
                self._working.discard(number)
                self._changed.notify_all()
            del self._mine.number

    def apart(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        """Return an operation that a driver does in its turn, and anybody else at any time."""

        def do(*args: Any) -> Any:
            number = getattr(self._mine, "number", None)
            if number is None:
                return operation(*args)
            with self._changed:
                self._changed.wait_for(lambda: self._is_turn_of(number))
                result = operation(*args)
                if self._order:
                    self._order.pop(0)
                self._changed.notify_all()
                return result

        return do

    def _is_turn_of(self, number: int) -> bool:
        while self._order and self._order[0] not in self._working:
            self._order.pop(0)
        return not self._order or self._order[0] == number


def drive_two(root: AnyPath, order: list[int]) -> list[int]:
    """The drivers that held ``root`` when two were slow at every step, in this order of steps."""
    turns, held = Turns(order), []
    ended = [threading.Event(), threading.Event()]

    def drive(number: int) -> None:
        with contextlib.suppress(StoreError), contextlib.ExitStack() as stack:
            with turns.driving(number):
                stack.enter_context(driver_lock(root, beat_seconds=BEAT))
            held.append(number)
            ended[number].set()
            ended[1 - number].wait(60)
        ended[number].set()

    with pytest.MonkeyPatch.context() as patch:
        # None of them is dead, however busy this machine is.
        patch.setattr(tickets, "BEATS_MISSED", 300)
        for name in ("find", "read", "create", "delete", "can_create", "exists", "write_atomic"):
            patch.setattr(files, name, turns.apart(getattr(files, name)))
        threads = [threading.Thread(target=drive, args=[number]) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return held


orders = st.lists(st.integers(0, 1), max_size=12)


@pytest.mark.parametrize("has_earlier", [False, True])
@given(order=orders)
def test_of_two_slow_drivers_exactly_one_passes(has_earlier: bool, order: list[int]) -> None:
    root = open_root(f"memory://{uuid.uuid4().hex}/out")
    if has_earlier:
        write_json(root / tickets.FOLDER / "00000007.json", {"left": True})
    assert len(drive_two(root, order)) == 1


@pytest.mark.parametrize("has_earlier", [False, True])
@settings(max_examples=8)
@given(order=orders)
def test_of_two_slow_drivers_exactly_one_passes_on_s3(
    bucket: str, has_earlier: bool, order: list[int]
) -> None:
    root = open_root(f"{bucket}/{uuid.uuid4().hex}")
    if has_earlier:
        write_json(root / tickets.FOLDER / "00000007.json", {"left": True})
    assert len(drive_two(root, order)) == 1


def test_a_store_without_conditional_puts_is_locked_and_said_to_be_less_safe(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = open_root(f"memory://{uuid.uuid4().hex}/out")
    overwrite = root.fs.pipe_file
    monkeypatch.setattr(
        type(root.fs), "pipe_file", lambda fs, path, value, **options: overwrite(path, value)
    )
    assert not files.can_create(root)
    with (
        caplog.at_level(logging.WARNING),
        driver_lock(root, beat_seconds=BEAT),
        pytest.raises(StoreError, match=f"process {os.getpid()}"),
        driver_lock(root, beat_seconds=BEAT),
    ):
        pass
    assert "of two drivers that start at the same moment both may work on it" in caplog.text
