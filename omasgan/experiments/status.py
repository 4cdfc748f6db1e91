"""The status file of a set of trainings: what they are, and whether they are complete."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omasgan.config import difference
from omasgan.errors import StoreError
from omasgan.store.files import AnyPath
from omasgan.store.journal import Row, find_json, write_json


@contextlib.contextmanager
def recorded(
    path: AnyPath,
    identity: Row,
    what: str,
    describe: Callable[[Mapping[str, Any], Mapping[str, Any]], str] = difference,
) -> Iterator[None]:
    """Write ``identity`` to ``path``, as ``running`` within the context and ``complete`` after it.

    An interrupted set of the same identity goes on; a complete one may be followed by another.

    Args:
        path: the file.
        identity: what the trainings depend on, ready for JSON.
        what: what the error calls them.
        describe: what changed from one identity to another, in one line; empty if nothing did.

    Raises:
        StoreError: another set was interrupted there; the line says what differs.
    """
    stored = find_json(path)
    if stored is not None and stored.pop("status", None) != "complete":
        changes = describe(stored, identity)
        if changes:
            raise StoreError(
                f"{what} in '{path.parent}' was interrupted and differs: {changes}; finish it "
                "with the command that began it, or give another --out"
            )
    write_json(path, {**identity, "status": "running"})
    yield
    write_json(path, {**identity, "status": "complete"})
