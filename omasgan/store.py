"""Results in a folder or on an object store. A run is done when its ``result.json`` is there.

Layout under the root: ``<benchmark>/<detector>/<selection>/<params_id>/seed-<s>/fold-<k>/`` for
runs and ``<benchmark>/<detector>/<selection>/studies/<study>/`` for studies. Every file is put in
place atomically, ``result.json`` after all others of its run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol
from zipfile import BadZipFile

from omasgan.errors import DamagedError, StoreError
from omasgan.files import (
    AnyPath,
    append_lines,
    check_writable,
    find,
    first_line,
    is_folder,
    read,
    read_all,
    write_atomic,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Row = dict[str, Any]
"""One flat record: a result, an epoch, a trial."""

DONE = frozenset({"ok", "diverged"})
"""Outcomes that training again with the same seed would only repeat."""

AGAIN = "delete it and run the same command again, which makes it anew"
REMEDIES = {
    "study.json": "delete it and run the same sweep again: its trials are kept",
    "trial.json": "run the same sweep again: it is written anew from the log",
    "comparison.json": "delete it and run the same compare again: its runs are kept",
    "tracking.json": "delete it: MLflow is then sent this store once more",
}
"""What to do about a damaged file by its name, where it is not ``AGAIN``."""


class _Identified(Protocol):
    @property
    def id(self) -> str: ...

    def identity(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class RunKey:
    """What makes a run the same run."""

    benchmark: str
    detector: str
    selection: str
    params_id: str
    seed: int
    fold: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> RunKey:
        """The key of a stored row."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})

    @property
    def path(self) -> str:
        """Where the run lies, relative to the store's root.

        >>> RunKey("digits-loo-v1", "knn", "fixed", "0a1b2c3d4e5f", 0, 3).path
        'digits-loo-v1/knn/fixed/0a1b2c3d4e5f/seed-0/fold-3'
        """
        group = f"{self.benchmark}/{_folder(self.detector)}/{self.selection}/{self.params_id}"
        return f"{group}/seed-{self.seed}/fold-{self.fold}"


def params_id(params: Mapping[str, Any]) -> str:
    """Twelve hex digits that stand for ``params``, whatever their order."""
    from omasgan.config import digest

    return digest(dict(params))[:12]


class Store:
    """The results under one root, a folder or a place on an object store (``files.open_root``)."""

    def __init__(self, root: AnyPath, create: bool = True) -> None:
        """Open ``root``; nothing is kept there before the first result.

        Raises:
            StoreError: ``root`` cannot be written, or ``create`` is False and it is not there.
        """
        self.root: AnyPath = root.absolute()
        if not create and not is_folder(self.root):
            raise StoreError(f"no folder '{root}'; give the --out folder of a run or a sweep")
        if create:
            check_writable(self.root)

    def claim_benchmark(self, spec: _Identified, data_sha256: str) -> None:
        """Note what ``spec.id`` means in this store, or refuse if it meant something else.

        Raises:
            StoreError: results of another version of the benchmark or of its data lie here.
        """
        claim_identity(
            self.root / spec.id / "benchmark.json",
            {**spec.identity(), "data_sha256": data_sha256},
            what=f"benchmark '{spec.id}'",
            remedy="use another --out folder or give the benchmark a new version",
        )

    def run_dir(self, key: RunKey) -> AnyPath:
        """The folder of a run, which may not exist yet."""
        return self.root / key.path

    def study_dir(self, benchmark: str, detector: str, selection: str, study: str) -> AnyPath:
        """The folder of a study, which may not exist yet."""
        return self.root / benchmark / _folder(detector) / selection / "studies" / study

    def studies(self) -> list[AnyPath]:
        """The folders of all studies, sorted."""
        return [path.parent for path in find(self.root, "*/*/*/studies/*/study.json")]

    def read_result(self, key: RunKey) -> Row | None:
        """The row of a run, or None if it was never finished.

        Raises:
            DamagedError: the row cannot be understood.
        """
        return find_json(self.run_dir(key) / "result.json")

    def is_done(self, key: RunKey) -> bool:
        """Whether the run has ended in a way that training again would repeat.

        One whose row is damaged is not done; a warning is logged.
        """
        try:
            row = self.read_result(key)
        except DamagedError as error:
            path = self.run_dir(key) / "result.json"
            logger.warning("'%s' is damaged (%s); the run is made anew", path, cause(error))
            return False
        return row is not None and row.get("outcome") in DONE

    def write_run(self, key: RunKey, scores: pd.DataFrame | None, row: Mapping[str, Any]) -> Row:
        """Store a finished run, the scores first and the row that says "done" last; that row.

        It also holds the SHA-256 of the scores' file, if there is one.
        """
        folder, row = self.run_dir(key), dict(row)
        if scores is not None:
            buffer = BytesIO()
            scores.to_parquet(buffer, index=False)
            write_atomic(folder / "scores.parquet", buffer.getvalue())
            row["scores_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        write_json(folder / "result.json", row)
        return row

    def results(self, benchmark: str = "*") -> list[Row]:
        """The rows of all finished runs (or of one benchmark's), sorted by their path.

        Raises:
            DamagedError: a row cannot be understood.
        """
        return read_results(self.root, f"{benchmark}/*/*/*/seed-*/fold-*/result.json")

    def scores(self, key: RunKey) -> pd.DataFrame:
        """A run's scores: ``sample_id``, ``class``, ``label``, ``score`` and one column a stage.

        Raises:
            DamagedError: they are not those that its row was made with.
            StoreError: the run has no readable scores.
        """
        import pandas as pd

        folder = self.run_dir(key)
        path, content = folder / "scores.parquet", read(folder / "scores.parquet")
        if content is None:
            raise StoreError(f"cannot read '{path}': no such file; {_made_anew(folder)}")
        # The rows of older versions do not tell the checksum.
        known = (self.read_result(key) or {}).get("scores_sha256")
        if known not in (None, hashlib.sha256(content).hexdigest()):
            raise DamagedError(f"'{path}' is damaged: its SHA-256 differs; {_made_anew(folder)}")
        try:
            return pd.read_parquet(BytesIO(content))
        except (OSError, ValueError) as error:
            reason = f"cannot read '{path}': {first_line(error)}"
            raise DamagedError(f"{reason}; {_made_anew(folder)}") from error

    def pictures(self, key: RunKey) -> dict[str, NDArray[np.float32]]:
        """What a run's detector drew: rows of images ``(n, c, h, w)`` by name; none if nothing.

        Raises:
            DamagedError: the file is damaged.
        """
        import numpy as np

        folder = self.run_dir(key)
        content = read(folder / "pictures.npz")
        if content is None:
            return {}
        try:
            with np.load(BytesIO(content)) as arrays:
                return dict(arrays)
        except (OSError, ValueError, LookupError, EOFError, BadZipFile, zlib.error) as error:
            reason = f"cannot read '{folder / 'pictures.npz'}': {first_line(error)}"
            raise DamagedError(f"{reason}; {_made_anew(folder)}") from error

    def append_epochs(self, key: RunKey, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add epochs to the run's log."""
        append_rows(self.run_dir(key) / "epochs.jsonl", rows)

    def read_epochs(self, key: RunKey) -> list[Row]:
        """The run's epochs in order; none if there is no log."""
        return read_rows(self.run_dir(key) / "epochs.jsonl")

    def drop_epochs(self, key: RunKey, start: int) -> None:
        """Forget the epochs from ``start`` on: a resumed training is about to repeat them."""
        keep_rows(self.run_dir(key) / "epochs.jsonl", lambda row: row["epoch"] < start)


def store_id(root: AnyPath) -> str:
    """The store's own name in MLflow, which moves and copies with the folder."""
    path = root / "tracking.json"
    row = find_json(path)
    if row is None:
        row = {"store_id": uuid.uuid4().hex}
        write_json(path, row)
    return str(row["store_id"])


def claim_identity(path: AnyPath, identity: Mapping[str, Any], *, what: str, remedy: str) -> None:
    """Write ``identity`` to ``path``, or refuse if another one stands there.

    Raises:
        StoreError: ``what`` was made with another identity; the line shows the difference.
    """
    from omasgan.config import difference

    new = json.loads(_to_json(identity))
    old = find_json(path)
    if old is None:
        write_json(path, new)
    elif old != new:
        raise StoreError(f"{what} in '{path.parent}' differs: {difference(old, new)}; {remedy}")


def write_json(path: AnyPath, value: Mapping[str, Any]) -> None:
    """Write ``value`` as JSON, atomically; numbers that are not finite become null."""
    write_atomic(path, _to_json(value, indent=1).encode())


def read_json(path: AnyPath) -> Row:
    """The object in a JSON file.

    Raises:
        DamagedError: the file holds no such object; the line says what to do.
        StoreError: it is missing or cannot be read.
    """
    row = find_json(path)
    if row is None:
        raise StoreError(f"cannot read '{path}': no such file")
    return row


def find_json(path: AnyPath) -> Row | None:
    """The object in a JSON file, or None if there is no such file.

    Raises:
        DamagedError: the file holds no such object; the line says what to do.
        StoreError: it cannot be read.
    """
    content = read(path)
    return None if content is None else _parse(path, content)


def read_results(folder: AnyPath, pattern: str) -> list[Row]:
    """The objects in the JSON files that match ``pattern``, sorted by their path.

    Raises:
        DamagedError: a file holds no such object.
    """
    paths = find(folder, pattern)
    found = zip(paths, read_all(paths), strict=True)
    return [_parse(path, content) for path, content in found if content is not None]


def _parse(path: AnyPath, content: bytes) -> Row:
    try:
        value = json.loads(content)
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
    except (ValueError, RecursionError) as error:
        remedy = REMEDIES.get(path.name, AGAIN)
        raise DamagedError(f"cannot read '{path}': {first_line(error)}; {remedy}") from error
    return value


def append_rows(path: AnyPath, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append ``rows`` to a file of JSON lines; they are written when this returns.

    On an object store the cost grows with the file: give many rows at once.

    Raises:
        StoreError: the file cannot be written.
    """
    append_lines(path, _to_lines(rows))


def read_rows(path: AnyPath) -> list[Row]:
    """The rows of a file of JSON lines, without torn ones; [] if there is no file."""
    return _from_lines(read(path) or b"")


def keep_rows(path: AnyPath, keep: Callable[[Row], bool]) -> None:
    """Leave of a file of JSON lines the rows for which ``keep`` holds, and no torn lines."""
    lines = read(path) or b""
    kept = _to_lines(row for row in _from_lines(lines) if keep(row))
    if kept != lines:
        write_atomic(path, kept)


def _from_lines(lines: bytes) -> list[Row]:
    rows = []
    for line in lines.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def cause(error: Exception) -> str:
    """Why a file is damaged, without the remedy that the error itself tells."""
    return first_line(error.__cause__ or error)


def _made_anew(folder: AnyPath) -> str:
    return f"delete '{folder / 'result.json'}' and run the same command again"


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


def _folder(detector: str) -> str:
    """``package.module:Class`` as one folder name that every file system takes."""
    return detector.replace(":", ".")
