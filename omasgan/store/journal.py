"""Small files of facts: a status as one JSON object, a history as JSON lines.

Every file is written atomically; readers skip the torn lines of a history.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from omasgan.errors import DamagedError, StoreError
from omasgan.store.files import (
    AnyPath,
    append_lines,
    find,
    first_line,
    read,
    read_all,
    write_atomic,
)

Row = dict[str, Any]
"""One flat record: a result, an epoch."""

REMEDY = "delete it and run the same command again, which writes it anew"
REMEDIES = {
    "study.json": "delete it and run the same sweep again: its trials are kept",
    "comparison.json": "delete it and run the same compare again: its runs are kept",
    "tracking.json": "delete it: MLflow is then sent this store once more",
}
"""What to do about a damaged file, by its name; ``REMEDY`` about any other one."""


def claim_identity(path: AnyPath, identity: Mapping[str, Any], *, what: str, remedy: str) -> None:
    """Write ``identity`` to ``path``, or refuse if another one stands there.

    Raises:
        StoreError: ``what`` has another identity; the line shows the difference.
    """
    from omasgan.config import difference

    new = json.loads(_to_json(identity))
    old = find_json(path)
    if old is None:
        write_json(path, new)
    elif old != new:
        raise StoreError(f"{what} in '{path.parent}' differs: {difference(old, new)}; {remedy}")


def write_json(path: AnyPath, value: Mapping[str, Any]) -> None:
    """Write ``value`` as JSON, atomically; numbers that aren't finite become null."""
    write_atomic(path, _to_json(value, indent=1).encode())


def read_json(path: AnyPath) -> Row:
    """Return the object in a JSON file.

    Raises:
        DamagedError: the file holds no JSON object; the line says what to do.
        StoreError: it is missing or cannot be read.
    """
    row = find_json(path)
    if row is None:
        raise StoreError(f"cannot read '{path}': no such file")
    return row


def find_json(path: AnyPath) -> Row | None:
    """Return the object in a JSON file, or None if there is no such file.

    Raises:
        DamagedError: the file holds no JSON object; the line says what to do.
        StoreError: it cannot be read.
    """
    content = read(path)
    return None if content is None else _parse(path, content)


def read_results(folder: AnyPath, pattern: str) -> list[Row]:
    """Return the objects in the JSON files that match ``pattern``, sorted by their path.

    Raises:
        DamagedError: a file holds no JSON object.
    """
    paths = find(folder, pattern)
    contents = zip(paths, read_all(paths), strict=True)
    return [_parse(path, content) for path, content in contents if content is not None]


def _parse(path: AnyPath, content: bytes) -> Row:
    try:
        value = json.loads(content)
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
    except (ValueError, RecursionError) as error:
        remedy = REMEDIES.get(path.name, REMEDY)
        raise DamagedError(f"cannot read '{path}': {first_line(error)}; {remedy}") from error
    return value


def parse_row(content: bytes | None) -> Row | None:
    """Return the JSON object that ``content`` is; None if it is none."""
    try:
        row = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def append_rows(path: AnyPath, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append ``rows`` to a file of JSON lines; they are written when this returns.

    On an object store the cost grows with the file: give many rows at once.

    Raises:
        StoreError: the file cannot be written.
    """
    append_lines(path, _to_lines(rows))


def read_rows(path: AnyPath) -> list[Row]:
    """Return the rows of a file of JSON lines, without torn ones; [] if there is no file."""
    return _from_lines(read(path) or b"")


def keep_rows(path: AnyPath, keep: Callable[[Row], bool]) -> None:
    """Drop from a file of JSON lines the rows for which ``keep`` is False, and all torn lines."""
    old = read(path) or b""
    new = _to_lines(row for row in _from_lines(old) if keep(row))
    if new != old:
        write_atomic(path, new)


def _from_lines(lines: bytes) -> list[Row]:
    rows = (parse_row(line) for line in lines.split(b"\n"))
    return [row for row in rows if row is not None]


def cause(error: Exception) -> str:
    """Return why a file is damaged, without the remedy that the error's own message adds."""
    return first_line(error.__cause__ or error)


def _to_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(_to_json(row).encode() + b"\n" for row in rows)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """``value`` with numpy scalars as numbers and not-finite numbers as None."""
    import numpy as np

    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
