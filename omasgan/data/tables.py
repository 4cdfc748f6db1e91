"""Tables in CSV and Parquet files, or those that ``hugging_face`` reads: columns of numbers, and
perhaps one of classes.

A file may come from anyone: whatever cannot be used is refused in one line that names column and
row. Rows are counted from 0, below the header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan.config import is_table
from omasgan.data import hugging_face
from omasgan.data.sample_files import Samples
from omasgan.errors import DataError, unreadable

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("class", "label", "target")
"""Names of the column of classes, in any case, where the user names none."""

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Table:
    """Values ``(n, d)``, float64 in the units of their columns, and the names of the columns."""

    X: NDArray[np.float64]
    columns: tuple[str, ...]


def read(path: Path, label: str | None = None) -> tuple[Table, list[str]]:
    """Read a table and the class of each of its rows.

    Args:
        path: of the file.
        label: the column of classes; by default the one whose name is among ``LABELS``, or else
            whose type is that of classes.

    Raises:
        DataError: the file is damaged, there is no such column, or a value is no number.
    """
    chosen = _label(path, columns(path), label)
    return _table(path, _frame(path).drop(columns=chosen)), _classes(path, chosen)


def classes(path: Path, label: str | None = None) -> list[str]:
    """Return the class of each row of a table, whatever its other columns hold; see ``read``."""
    return _classes(path, _label(path, columns(path), label))


def read_normals(path: Path) -> Table:
    """Read a table of normal samples, all of whose columns are numbers.

    Raises:
        DataError: the file is damaged, it has a column of classes, or a value is no number.
    """
    for name in _labels(path, columns(path)):
        raise DataError(
            f"column {name!r} of '{path}' looks like one of classes, and normal samples have "
            "none; remove it, or use omasgan run with --normal CLASS --save on the whole table"
        )
    return _table(path, _frame(path))


def samples(paths: Iterable[Path], names: Sequence[str]) -> list[Samples]:
    """Read the columns of these names from tables; others are left out.

    Raises:
        DataError: a file is no table or damaged, it lacks a column, or a value is no number.
    """
    return [Samples(path, _chosen(path, names).X, many=True) for path in paths]


def columns(path: Path) -> list[str]:
    """Return the names of a table's columns; its rows are not read.

    Raises:
        DataError: the file is missing or damaged, or a column has no name.
    """
    import pandas as pd
    import pyarrow.parquet

    if hugging_face.is_saved(path):
        return hugging_face.columns(path)
    try:
        if _is_parquet(path):
            names = [str(name) for name in pyarrow.parquet.read_schema(path).names]
        else:
            names = [str(name) for name in pd.read_csv(path, nrows=0, skipinitialspace=True)]
    except Exception as error:  # pandas and pyarrow have many ways to fail
        raise unreadable(path, error) from error
    for i, name in enumerate(names):
        if not name or name.startswith(("Unnamed: ", "__index_level_")):
            raise DataError(
                f"column {i} of '{path}' has no name, as an index that was written along; remove "
                "it (pandas writes none with index=False)"
            )
    return names


def reordered(path: Path, table: Table, names: tuple[str, ...]) -> Table:
    """Return a table with its columns in the order of ``names``.

    Raises:
        DataError: it has others.
    """
    strange = sorted(set(table.columns) ^ set(names))
    if strange:
        raise DataError(
            f"'{path}' must have the columns of the table beside it; only one of the two has "
            f"{_listed(strange)}"
        )
    return Table(table.X[:, [table.columns.index(name) for name in names]], names)


def check_varying(path: Path, table: Table) -> None:
    """Refuse columns that hold one value only.

    Raises:
        DataError: there is one.
    """
    constant = np.flatnonzero(table.X.min(axis=0) == table.X.max(axis=0))
    if len(constant):
        names = _listed([table.columns[i] for i in constant])
        raise DataError(
            f"'{path}' has the same value in all {len(table.X)} rows of {names}; such columns "
            "tell no row from another: remove them"
        )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _chosen(path: Path, names: Sequence[str]) -> Table:
    if not (is_table(path) or hugging_face.is_saved(path)):
        raise DataError(f"'{path}' is no .csv or .parquet file, and the detector knows tables")
    present = columns(path)
    for name in names:
        if name not in present:
            raise DataError(
                f"'{path}' has no column {name!r}, which the detector was trained on; it has "
                f"{_listed(present)}"
            )
    return _table(path, _frame(path)[list(names)])


def _label(path: Path, names: Sequence[str], label: str | None) -> str:
    """Return the name of the column of classes."""
    if label is not None:
        if label not in names:
            raise DataError(f"'{path}' has no column {label!r}, only {_listed(names)}")
        return label
    found = _labels(path, names)
    if len(found) == 1:
        return found[0]
    has = "several columns" if found else "no column"
    default = f"{', '.join(LABELS[:-1])} or {LABELS[-1]} by default"
    raise DataError(
        f"'{path}' has {has} of classes ({default}) among {_listed(found or names)}; name it with "
        '--label, or label = "..." in a TOML'
    )


def _labels(path: Path, names: Iterable[str]) -> list[str]:
    """Return the columns that look like those of classes."""
    named = [name for name in names if name.lower() in LABELS]
    if not named and hugging_face.is_saved(path):
        return hugging_face.class_columns(path)
    return named


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(repr(name) for name in names[:10]) + more


def _frame(path: Path, **options: Any) -> pd.DataFrame:
    """Return the rows of a file; ``options`` say how a CSV is read."""
    import pandas as pd

    if hugging_face.is_saved(path):
        frame = hugging_face.frame(path, options.get("usecols"))
    else:
        frame = _frame_of_file(path, options)
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"'{path}' has rows with more values than its header has names")
    if frame.empty:
        raise DataError(f"'{path}' holds no rows")
    return frame.rename(columns=str)


def _frame_of_file(path: Path, options: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    try:
        if _is_parquet(path):
            return pd.read_parquet(path).reset_index(drop=True)
        frame: pd.DataFrame = pd.read_csv(path, skipinitialspace=True, low_memory=False, **options)
    except Exception as error:  # pandas and pyarrow have many ways to fail
        raise unreadable(path, error) from error
    return frame


def _classes(path: Path, name: str) -> list[str]:
    # In a CSV classes are texts: 01 is not 1, and None may be the name of one.
    column = _frame(path, usecols=[name], dtype=str, na_filter=False)[name]
    whole = (int(v) if isinstance(v, float) and v.is_integer() else v for v in column.tolist())
    texts = [str(value).strip() for value in whole]
    missing = column.isna().to_numpy() | (np.array(texts) == "")
    if missing.any():
        raise _missing(path, name, missing)
    return texts


def _table(path: Path, frame: pd.DataFrame) -> Table:
    """Return the columns as numbers."""
    if frame.columns.empty:
        raise DataError(f"'{path}' has no column of numbers")
    X = np.stack([_numbers(path, str(name), frame[name]) for name in frame], axis=1)
    return Table(X, tuple(map(str, frame.columns)))


def _numbers(path: Path, name: str, column: pd.Series[Any]) -> NDArray[np.float64]:
    import pandas as pd

    missing = column.isna()
    if missing.any():
        raise _missing(path, name, missing.to_numpy())
    is_number = pd.api.types.is_numeric_dtype(column)
    numbers = pd.to_numeric(column if is_number else column.astype(str), errors="coerce")
    values = numbers.to_numpy(np.float64)
    bad = np.flatnonzero(~(np.abs(values) <= LARGEST))
    if len(bad):
        value, row = repr(column.tolist()[bad[0]])[:40], bad[0]
        wanted = f"finite, and at most {LARGEST:.1e}" if is_number else "numbers"
        raise DataError(
            f"column {name!r} of '{path}' holds {value} in row {row} (counted from 0); values "
            f"must be {wanted}: {'correct it' if is_number else 'encode or remove the column'}"
        )
    return values


def _missing(path: Path, name: str, missing: NDArray[np.bool_]) -> DataError:
    rows = np.flatnonzero(missing)
    return DataError(
        f"column {name!r} of '{path}' has no value in {len(rows)} of {len(missing)} rows, the "
        f"first is {rows[0]} (counted from 0); fill them in, or remove rows or column"
    )
