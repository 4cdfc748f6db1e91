"""One driver at a time on an output folder.

In a folder the lock is the operating system's: it ends with the process, however that ends. On an
object store, and on file systems without locks, a driver holds a ticket (``store.tickets``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from omasgan.errors import StoreError
from omasgan.store import files, tickets
from omasgan.store.journal import parse_row, write_json

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

BEAT_SECONDS = 5.0
"""How often the holder of a ticket shows that it lives."""

LOCK, HOLDER = ".driver.lock", ".driver.json"
"""In a folder: the file that is locked, and the one that names its holder."""

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How a file system says that it has no locks."""


@contextlib.contextmanager
def driver_lock(root: AnyPath, *, beat_seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Hold ``root`` as its only driver while the context lasts.

    Raises:
        StoreError: another driver holds it; the line names its host and process id.
    """
    driver = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
    lock = _system_lock(root) if isinstance(root, Path) else None
    if lock is None:
        with tickets.held(root, driver, beat_seconds):
            yield
    else:
        with lock:
            write_json(root / HOLDER, driver)
            yield


def _system_lock(root: Path) -> contextlib.AbstractContextManager[Any] | None:
    """Lock the folder and return what unlocks it; None if the file system has no locks.

    Raises:
        StoreError: another driver holds it, or the folder cannot be written.
    """
    files.make_folder(root)
    try:
        return FileLock(root / LOCK, fallback_to_soft=False).acquire(blocking=False)
    except Timeout as error:
        raise tickets.refusal(root, parse_row(files.read(root / HOLDER))) from error
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return None
        raise StoreError(f"cannot lock '{root}': {error}") from error
