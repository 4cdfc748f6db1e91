"""One driver at a time on an output folder.

In a folder the lock is the operating system's: it ends with the process, however that ends. On an
object store, and on file systems without locks, a driver writes a beat; another one watches
whether the beat goes on. No clock is read, so none that jumps or differs can mislead it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from omasgan.errors import StoreError
from omasgan.store import files
from omasgan.store.journal import Row, read_json, write_json

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

BEAT_SECONDS = 5.0
BEATS_MISSED = 3
"""A driver whose beat has stood still for so many beats is taken for dead."""

NAME = ".driver.json"


@contextlib.contextmanager
def driver_lock(root: AnyPath, *, beat_seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Hold ``root`` as its only driver while the context lasts.

    Raises:
        StoreError: another driver holds it; the line names its host and process id.
    """
    me = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
    held = _by_system(root, me) if isinstance(root, Path) else None
    if held is not None:
        with held:
            yield
        return
    with _by_beat(root / NAME, me, beat_seconds):
        yield


def _by_system(root: Path, me: Row) -> IO[str] | None:
    """The locked file, to be closed by the caller; None where the file system has no locks."""
    root.mkdir(parents=True, exist_ok=True)
    file = (root / NAME).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise _refusal(root, _holder(root / NAME)) from None
    except OSError as error:
        file.close()
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return None
        raise StoreError(f"cannot lock '{root}': {error}") from error
    # Rewritten in place: another file put there would not be locked.
    file.truncate(0)
    file.write(json.dumps(me))
    file.flush()
    return file


def _holder(path: Path) -> Row:
    try:
        return read_json(path)
    except StoreError:
        # Its holder is about to write it.
        return {"host": "unknown", "pid": "unknown"}


@contextlib.contextmanager
def _by_beat(path: AnyPath, me: Row, beat_seconds: float) -> Iterator[None]:
    _wait_for_silence(path, beat_seconds)
    write_json(path, me | {"beat": 0})
    # Of two that come at once the one that wrote last stays.
    time.sleep(beat_seconds / 5)
    if (now := read_json(path))["token"] != me["token"]:
        raise _refusal(path.parent, now)
    left = threading.Event()

    def beat() -> None:
        number = 0
        while not left.wait(beat_seconds):
            number += 1
            # A beat that a busy server lost is made up for by the next.
            with contextlib.suppress(StoreError):
                write_json(path, me | {"beat": number})

    thread = threading.Thread(target=beat, name="driver lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
        files.delete(path)


def _wait_for_silence(path: AnyPath, beat_seconds: float) -> None:
    """Return once nobody holds the lock; refuse as soon as a beat is seen."""
    first = read_json(path) if files.exists(path) else None
    for _ in range(3 * BEATS_MISSED):
        if first is None:
            return
        time.sleep(beat_seconds / 3)
        now = read_json(path) if files.exists(path) else None
        if now is not None and now != first:
            raise _refusal(path.parent, now)
        first = now


def _refusal(root: AnyPath, holder: Row) -> StoreError:
    return StoreError(
        f"output folder '{root}' is in use by a driver on host {holder['host']}, process "
        f"{holder['pid']}; wait for it, end it, or give another --out"
    )
