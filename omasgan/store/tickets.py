"""One holder at a time where the file system has no locks: numbered tickets with a heartbeat.

A driver draws the ticket after the highest that it finds: a file that only one process can create
(``files.create``). The highest ticket holds the folder; its driver writes a beat into it again and
again, and at the end that it has left. A driver that comes later watches the highest ticket, and
draws the next number only if that one was left or its beat stands still. No clock is read, so
none that jumps or differs between machines can mislead it.

The highest ticket is never deleted: however slow a driver is, it cannot draw a number that another
one has drawn before. A driver that is stopped for longer than ``BEATS_MISSED`` beats (a suspended
laptop) is taken for dead.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from omasgan.errors import StoreError
from omasgan.store import files
from omasgan.store.journal import Row, parse_row, write_json

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

logger = logging.getLogger(__name__)

FOLDER = ".drivers"
"""Under the output's root: the tickets, by number."""

BEATS_MISSED = 3
"""A driver whose beat has stood still for so many beats is taken for dead."""

LOOKS = 3
"""How often a ticket is looked at in the time of one beat."""


@contextlib.contextmanager
def held(root: AnyPath, driver: Row, beat_seconds: float) -> Iterator[None]:
    """Hold ``root`` for ``driver``, which has host, pid and token, while the context lasts.

    Raises:
        StoreError: another driver holds it, or the tickets cannot be read or written.
    """
    ticket = _draw(root, driver, beat_seconds)
    with _beating(ticket, driver, beat_seconds):
        _retire_earlier(root, ticket)
        yield


def refusal(root: AnyPath, holder: Row | None) -> StoreError:
    """Return the error for a folder that ``holder`` holds; None if its ticket is being written."""
    holder = holder or {}
    host, pid = holder.get("host", "unknown"), holder.get("pid", "unknown")
    return StoreError(
        f"output folder '{root}' is in use by a driver on host {host}, process {pid}; wait for "
        "it, end it, or give another --out"
    )


def _draw(root: AnyPath, driver: Row, beat_seconds: float) -> AnyPath:
    """Return the ticket with which ``driver`` holds the folder."""
    earlier = _tickets(root)
    if earlier:
        _wait_for_silence(root, earlier[-1], beat_seconds)
    number = int(earlier[-1].stem) + 1 if earlier else 0
    ticket = root / FOLDER / f"{number:08d}.json"
    if not _create(root, ticket, driver, beat_seconds):
        raise refusal(root, parse_row(files.read(ticket)))
    return ticket


def _retire_earlier(root: AnyPath, ticket: AnyPath) -> None:
    """Delete the tickets below this one.

    Raises:
        StoreError: there is a higher one: a number is free again once its ticket was deleted.
    """
    *earlier, highest = _tickets(root)
    if highest != ticket:
        raise refusal(root, parse_row(files.read(highest)))
    for old in earlier:
        files.delete(old)


def _create(root: AnyPath, ticket: AnyPath, driver: Row, beat_seconds: float) -> bool:
    """Create the ticket; False if another driver has done so."""
    content = json.dumps(driver).encode()
    if files.can_create(root):
        return files.create(ticket, content)
    logger.warning(
        "'%s' cannot create an object only if there is none; of two drivers that start at the "
        "same moment both may work on it",
        root,
    )
    if files.exists(ticket):
        return False
    files.write_atomic(ticket, content)
    # Of two that come at once the one that wrote last stays.
    time.sleep(beat_seconds / 5)
    return files.read(ticket) == content


def _wait_for_silence(root: AnyPath, ticket: AnyPath, beat_seconds: float) -> None:
    """Return once nobody holds the ticket, or there is a higher one.

    Raises:
        StoreError: its beat goes on.
    """
    before = files.read(ticket)
    for _ in range(LOOKS * BEATS_MISSED):
        if before is None or _was_left(before):
            return
        time.sleep(beat_seconds / LOOKS)
        now = files.read(ticket)
        if now not in (None, before) and not _was_left(now):
            raise refusal(root, parse_row(now))
        before = now


def _was_left(content: bytes | None) -> bool:
    return "left" in (parse_row(content) or {})


@contextlib.contextmanager
def _beating(ticket: AnyPath, driver: Row, beat_seconds: float) -> Iterator[None]:
    """Write a beat into the ticket from time to time, and at the end that the driver has left."""
    left = threading.Event()

    def beat() -> None:
        number = 0
        while not left.wait(beat_seconds):
            number += 1
            # A beat that a busy server lost is made up for by the next.
            with contextlib.suppress(StoreError):
                write_json(ticket, driver | {"beat": number})

    thread = threading.Thread(target=beat, name="driver lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
        # Without it the next driver waits until the beat has stood still for long enough.
        with contextlib.suppress(StoreError):
            write_json(ticket, driver | {"left": True})


def _tickets(root: AnyPath) -> list[AnyPath]:
    """Return all tickets, the highest last."""
    return files.find(root / FOLDER, "*.json")
