"""Results on disk. A run is done when its ``result.json`` is there, and that is written last.

Layout under the root: ``<benchmark>/<detector>/<selection>/<params_id>/seed-<s>/fold-<k>/`` for
runs and ``<benchmark>/<detector>/<selection>/studies/<study>/`` for studies. Every file is put in
place atomically, so that a crash leaves either the old file or the new one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omasgan.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
"""One flat record: a result, an epoch, a trial."""

DONE = frozenset({"ok", "diverged"})
"""Outcomes that training again with the same seed would only repeat."""


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
    """The results under one folder."""

    def __init__(self, root: Path, create: bool = True) -> None:
        """Open ``root``; nothing is written before the first result.

        Raises:
            StoreError: ``root`` cannot be written, or ``create`` is False and it is not there.
        """
        self.root = Path(root).absolute()
        if not create and not self.root.is_dir():
            raise StoreError(f"no folder '{root}'; give the --out folder of a run or a sweep")
        if create:
            _check_writable(self.root)

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

    def run_dir(self, key: RunKey) -> Path:
        """The folder of a run, which may not exist yet."""
        return self.root / key.path

    def study_dir(self, benchmark: str, detector: str, selection: str, study: str) -> Path:
        """The folder of a study, which may not exist yet."""
        return self.root / benchmark / _folder(detector) / selection / "studies" / study

    def studies(self) -> list[Path]:
        """The folders of all studies, sorted."""
        return sorted(path.parent for path in self.root.glob("*/*/*/studies/*/study.json"))

    def read_result(self, key: RunKey) -> Row | None:
        """The row of a run, or None if it was never finished."""
        path = self.run_dir(key) / "result.json"
        return read_json(path) if path.exists() else None

    def is_done(self, key: RunKey) -> bool:
        """Whether the run has ended in a way that training again would repeat."""
        row = self.read_result(key)
        return row is not None and row["outcome"] in DONE

    def write_run(self, key: RunKey, scores: pd.DataFrame | None, row: Mapping[str, Any]) -> None:
        """Store a finished run: the scores first, the row that says "done" last."""
        folder = self.run_dir(key)
        if scores is not None:
            buffer = BytesIO()
            scores.to_parquet(buffer, index=False)
            write_atomic(folder / "scores.parquet", buffer.getvalue())
        write_json(folder / "result.json", row)

    def results(self, benchmark: str = "*") -> list[Row]:
        """The rows of all finished runs (or of one benchmark's), sorted by their path."""
        found = self.root.glob(f"{benchmark}/*/*/*/seed-*/fold-*/result.json")
        return [read_json(path) for path in sorted(found)]

    def scores(self, key: RunKey) -> pd.DataFrame:
        """A run's scores: ``sample_id``, ``class``, ``label``, ``score`` and one column a stage.

        Raises:
            StoreError: the run has no readable scores.
        """
        import pandas as pd

        path = self.run_dir(key) / "scores.parquet"
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read '{path}': {_first_line(error)}") from error

    def append_epochs(self, key: RunKey, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add epochs to the run's log."""
        append_rows(self.run_dir(key) / "epochs.jsonl", rows)

    def read_epochs(self, key: RunKey) -> list[Row]:
        """The run's epochs in order; none if there is no log."""
        return read_rows(self.run_dir(key) / "epochs.jsonl")

    def drop_epochs(self, key: RunKey, start: int) -> None:
        """Forget the epochs from ``start`` on: a resumed training is about to repeat them."""
        keep_rows(self.run_dir(key) / "epochs.jsonl", lambda row: row["epoch"] < start)


def claim_identity(path: Path, identity: Mapping[str, Any], *, what: str, remedy: str) -> None:
    """Write ``identity`` to ``path``, or refuse if another one stands there.

    Raises:
        StoreError: ``what`` was made with another identity; the line shows the difference.
    """
    from omasgan.config import difference

    new = json.loads(_to_json(identity))
    if not path.exists():
        write_json(path, new)
        return
    old = read_json(path)
    if old != new:
        raise StoreError(f"{what} in '{path.parent}' differs: {difference(old, new)}; {remedy}")


def write_atomic(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that a crash leaves the old file or the new one.

    Raises:
        StoreError: the folder cannot be made or written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write '{path}': {_first_line(error)}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as JSON, atomically; numbers that are not finite become null."""
    write_atomic(path, _to_json(value, indent=1).encode())


def read_json(path: Path) -> Row:
    """The object in a JSON file.

    Raises:
        StoreError: it cannot be read or is damaged.
    """
    try:
        value: Row = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read '{path}': {_first_line(error)}; delete it") from error
    return value


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append ``rows`` to a file of JSON lines, flushed before this returns.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            # A line torn by a crash must not swallow the next one.
            if file.tell() and not _ends_line(path):
                file.write(b"\n")
            file.writelines(_to_json(row).encode() + b"\n" for row in rows)
    except OSError as error:
        raise StoreError(f"cannot write '{path}': {_first_line(error)}") from error


def read_rows(path: Path) -> list[Row]:
    """The rows of a file of JSON lines, without a torn one; [] if there is no file."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def keep_rows(path: Path, keep: Callable[[Row], bool]) -> None:
    """Rewrite a file of JSON lines with the rows for which ``keep`` holds."""
    rows = read_rows(path)
    kept = [row for row in rows if keep(row)]
    if len(kept) < len(rows):
        write_atomic(path, b"".join(_to_json(row).encode() + b"\n" for row in kept))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Save a detector's state as one safetensors file without pickle, atomically.

    Leaves are tensors, numpy arrays, numbers, strings, bools and None, in nested dicts (with str
    or int keys), lists and tuples. The structure stands as JSON in the file's metadata.

    Raises:
        StoreError: the file cannot be written.
        TypeError: a leaf is something else.
    """
    from safetensors.torch import save

    tensors: dict[str, Any] = {}
    tree = _flatten(dict(state), tensors)
    write_atomic(path, save(tensors, metadata={"tree": json.dumps(tree)}))


def load_state(path: Path) -> dict[str, Any]:
    """The state that ``save_state`` wrote; tensors are on the CPU.

    Raises:
        StoreError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state: dict[str, Any] = _unflatten(json.loads(file.metadata()["tree"]), tensors)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"checkpoint '{path}' is damaged: {_first_line(error)}; delete it to start anew"
        ) from error
    return state


def _flatten(value: Any, tensors: dict[str, Any]) -> Any:
    """``value`` as JSON, with its arrays moved to ``tensors``."""
    import numpy as np
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        if not all(isinstance(key, int | str) for key in value):
            raise TypeError(f"a state's keys must be str or int, got {list(value)[:5]}")
        return {"dict": [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_flatten(item, tensors) for item in value]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    name = str(len(tensors))
    if isinstance(value, torch.Tensor):
        # Cloned because safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.array(value, order="C"))
        return {"array": name}
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _unflatten(tree: Any, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in content}
    if kind == "list":
        return [_unflatten(item, tensors) for item in content]
    if kind == "tuple":
        return tuple(_unflatten(item, tensors) for item in content)
    tensor = tensors[content]
    return tensor.numpy() if kind == "array" else tensor


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


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _check_writable(root: Path) -> None:
    nearest = root
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise StoreError(f"'{root}' cannot be the output folder: '{nearest}' is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StoreError(f"'{root}' cannot be the output folder: '{nearest}' is not writable")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
