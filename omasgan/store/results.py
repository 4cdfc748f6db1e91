"""Results in a folder or on an object store. A run is done when its ``result.json`` is there.

Layout under the root: ``<benchmark>/<detector>/<selection>/<params_id>/seed-<s>/fold-<k>/`` for
runs and ``<benchmark>/<detector>/<selection>/studies/<study>/`` for studies. Every file is written
atomically, ``result.json`` after all others of its run.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol
from zipfile import BadZipFile

from omasgan.data.fold_names import stored_name
from omasgan.data.selection import SENSITIVITY
from omasgan.detectors import folder_name
from omasgan.errors import DamagedError, StoreError
from omasgan.store.files import (
    AnyPath,
    check_writable,
    find,
    first_line,
    is_folder,
    read,
    read_all,
    write_atomic,
)
from omasgan.store.journal import (
    Row,
    append_rows,
    cause,
    claim_identity,
    find_json,
    keep_rows,
    parse_row,
    read_json,
    read_results,
    read_rows,
    write_json,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

DONE = frozenset({"ok", "diverged"})
"""Outcomes that another training with the same seed would only repeat."""


class _Identified(Protocol):
    @property
    def id(self) -> str: ...

    def identity(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class RunKey:
    """The identity of a run."""

    benchmark: str
    detector: str
    selection: str
    params_id: str
    seed: int
    fold: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> RunKey:
        """Return the key of a stored row."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})

    @property
    def path(self) -> str:
        """The run's folder, relative to the store's root.

        >>> RunKey("digits-loo-v1", "knn", "fixed", "0a1b2c3d4e5f", 0, 3).path
        'digits-loo-v1/knn/fixed/0a1b2c3d4e5f/seed-0/fold-3'
        """
        group = f"{self.benchmark}/{folder_name(self.detector)}/{self.selection}/{self.params_id}"
        return f"{group}/seed-{self.seed}/fold-{self.fold}"


def params_id(params: Mapping[str, Any]) -> str:
    """Return twelve hex digits that stand for ``params``, whatever their order."""
    from omasgan.config import digest

    return digest(dict(params))[:12]


class Store:
    """The results under a root, a folder or a prefix on an object store (``files.open_root``)."""

    def __init__(self, root: AnyPath, create: bool = True) -> None:
        """Open ``root``; nothing is written there before the first result.

        Raises:
            StoreError: ``root`` cannot be written, or ``create`` is False and there is no root.
        """
        self.root: AnyPath = root.absolute()
        if not create and not is_folder(self.root):
            raise StoreError(f"no folder '{root}'; give the --out folder of a run or a sweep")
        if create:
            check_writable(self.root)

    def claim_benchmark(self, spec: _Identified, data_sha256: str) -> None:
        """Write down what ``spec.id`` means in this store, or refuse another meaning.

        Raises:
            StoreError: the store has results of another version of the benchmark or its data.
        """
        claim_identity(
            self.root / spec.id / "benchmark.json",
            {**spec.identity(), "data_sha256": data_sha256},
            what=f"benchmark '{spec.id}'",
            remedy="use another --out folder or give the benchmark a new version",
        )

    def run_dir(self, key: RunKey) -> AnyPath:
        """Return the folder of a run, which may not exist yet."""
        return self.root / key.path

    def study_dir(self, benchmark: str, detector: str, selection: str, study: str) -> AnyPath:
        """Return the folder of a study, which may not exist yet."""
        return self.root / benchmark / folder_name(detector) / selection / "studies" / study

    def studies(self) -> list[AnyPath]:
        """Return the folders of all studies, sorted."""
        return [path.parent for path in find(self.root, "*/*/*/studies/*/study.json")]

    def read_result(self, key: RunKey) -> Row | None:
        """Return the row of a run, or None if the run has not ended.

        Raises:
            DamagedError: the row cannot be parsed.
        """
        return find_json(self.run_dir(key) / "result.json")

    def is_done(self, key: RunKey) -> bool:
        """Return whether the run has ended in a way that another training would repeat.

        A run whose row is damaged is not done; a warning is logged.
        """
        try:
            row = self.read_result(key)
        except DamagedError as error:
            path = self.run_dir(key) / "result.json"
            logger.warning("'%s' is damaged (%s); the run is trained anew", path, cause(error))
            return False
        return row is not None and row.get("outcome") in DONE

    def read_done(self, keys: Sequence[RunKey]) -> list[Row | None]:
        """Return the row of each run that is done, None for each other one."""
        paths = [self.run_dir(key) / "result.json" for key in keys]
        rows = [parse_row(content) for content in read_all(paths)]
        return [row if row is not None and row.get("outcome") in DONE else None for row in rows]

    def write_run(self, key: RunKey, scores: pd.DataFrame | None, row: Mapping[str, Any]) -> Row:
        """Store a finished run, its scores first and last the row, whose presence means done.

        Returns the row as it is stored, with the SHA-256 of the scores' file if there is one.
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
        """Return the rows of all finished runs, or of one benchmark's, sorted by their path.

        Raises:
            DamagedError: a row cannot be parsed.
        """
        return read_results(self.root, f"{benchmark}/*/*/*/seed-*/fold-*/result.json")

    def folds(self, benchmark: str = "*") -> dict[str, dict[int, str]]:
        """Return by benchmark, of all or of one, the names of the folds with a finished run, by
        their numbers in order; one row of each fold is read. Sensitivity studies do not count:
        they are no results.
        """
        paths: dict[str, dict[int, AnyPath]] = {}
        for path in find(self.root, f"{benchmark}/*/*/*/seed-*/fold-*/result.json"):
            if path.parents[3].name == SENSITIVITY:
                continue
            fold = int(path.parent.name.removeprefix("fold-"))
            paths.setdefault(path.parents[5].name, {})[fold] = path
        return {
            name: {fold: stored_name(read_json(of[fold])) for fold in sorted(of)}
            for name, of in paths.items()
        }

    def scores(self, key: RunKey) -> pd.DataFrame:
        """Return a run's ``sample_id``, ``class``, ``label``, ``score`` and one column a stage.

        Raises:
            DamagedError: they are not the scores that its row was computed from.
            StoreError: the run has no readable scores.
        """
        import pandas as pd

        folder = self.run_dir(key)
        path, content = folder / "scores.parquet", read(folder / "scores.parquet")
        if content is None:
            raise StoreError(f"cannot read '{path}': no such file; {_remedy(folder)}")
        # The rows of older versions have no checksum.
        checksum = (self.read_result(key) or {}).get("scores_sha256")
        if checksum not in (None, hashlib.sha256(content).hexdigest()):
            raise DamagedError(f"'{path}' is damaged: its SHA-256 differs; {_remedy(folder)}")
        try:
            return pd.read_parquet(BytesIO(content))
        except (OSError, ValueError) as error:
            reason = f"cannot read '{path}': {first_line(error)}"
            raise DamagedError(f"{reason}; {_remedy(folder)}") from error

    def pictures(self, key: RunKey) -> dict[str, NDArray[np.float32]]:
        """Return the images that a run's detector has drawn, ``(n, c, h, w)`` by name.

        Raises:
            DamagedError: the file is damaged.
        """
        return self._arrays(key, "pictures.npz")

    def extremes(self, key: RunKey) -> dict[str, NDArray[Any]]:
        """Return ``sample_id`` and ``images`` of the test samples that a run scored lowest and
        highest; nothing where they are no images, or the run is of an earlier version.

        Raises:
            DamagedError: the file is damaged.
        """
        return self._arrays(key, "extremes.npz")

    def _arrays(self, key: RunKey, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays in a file of a run, none if it has no such file."""
        import numpy as np

        folder = self.run_dir(key)
        content = read(folder / name)
        if content is None:
            return {}
        try:
            with np.load(BytesIO(content)) as arrays:
                return dict(arrays)
        except (OSError, ValueError, LookupError, EOFError, BadZipFile, zlib.error) as error:
            reason = f"cannot read '{folder / name}': {first_line(error)}"
            raise DamagedError(f"{reason}; {_remedy(folder)}") from error

    def append_epochs(self, key: RunKey, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append epochs to the run's log."""
        append_rows(self.run_dir(key) / "epochs.jsonl", rows)

    def read_epochs(self, key: RunKey) -> list[Row]:
        """Return the run's epochs in order; [] if there is no log."""
        return read_rows(self.run_dir(key) / "epochs.jsonl")

    def drop_epochs(self, key: RunKey, start: int) -> None:
        """Delete the epochs from ``start`` on, which a resumed training is about to repeat."""
        keep_rows(self.run_dir(key) / "epochs.jsonl", lambda row: row["epoch"] < start)


def store_id(root: AnyPath) -> str:
    """Return the store's id in MLflow and databases, which moves and copies with the folder."""
    path = root / "tracking.json"
    row = find_json(path)
    if row is None:
        row = {"store_id": uuid.uuid4().hex}
        write_json(path, row)
    return str(row["store_id"])


def _remedy(folder: AnyPath) -> str:
    return f"delete '{folder / 'result.json'}' and run the same command again"
