"""Data sets that Hugging Face's ``datasets`` has saved on disk (``save_to_disk``).

Such a folder has the types of the columns in ``dataset_info.json``, the names of the files with
the rows in ``state.json``, and the rows in Arrow streams. A ``DatasetDict`` has one such folder a
split, and their names in ``dataset_dict.json``. pyarrow reads all of it, so that ``datasets`` need
not be installed. A folder may come from anyone: only files in it are read, nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from omasgan.errors import DataError, unreadable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

T = TypeVar("T")

STATE, INFO, DICT = "state.json", "dataset_info.json", "dataset_dict.json"


@dataclass(frozen=True, eq=False)
class Encoded:
    """A PNG or JPEG image in memory: where it comes from, and its bytes."""

    where: str
    content: bytes

    def __str__(self) -> str:
        return self.where


def is_saved(path: Path) -> bool:
    """Return whether ``path`` is such a folder."""
    return any((path / name).is_file() for name in (STATE, DICT))


def parts(path: Path) -> list[Path]:
    """Return the folder of the only split, or those of ``train`` and ``test``; [] if there is no
    such data set at ``path``. Other splits beside these two are left out.

    Raises:
        DataError: it has other splits, or a file is damaged.
    """
    if (path / STATE).is_file() or not is_saved(path):
        return [path] if is_saved(path) else []
    names = [_plain(path, str(name)) for name in _json(path / DICT, lambda held: held["splits"])]
    if len(names) == 1 or {"train", "test"} <= set(names):
        return [path / name for name in (names if len(names) == 1 else ("train", "test"))]
    raise DataError(
        f"'{path}' must have the splits train and test, or one, and has {', '.join(names)}; "
        "give the folder of one of them"
    )


def only_part(path: Path) -> Path:
    """Return the folder of the only split.

    Raises:
        DataError: there are two, or others.
    """
    found = parts(path)
    if len(found) > 1:
        names = " and ".join(part.name for part in found)
        raise DataError(f"'{path}' has the splits {names}; give the folder of one of them")
    return found[0]


def columns(path: Path) -> list[str]:
    """Return the names of the columns of a split.

    Raises:
        DataError: a file is missing or damaged.
    """
    return [*_features(path)]


def image_column(path: Path) -> str | None:
    """Return the name of a split's column of images, None if it has none.

    Raises:
        DataError: it has several, or a file is missing or damaged.
    """
    found = _of_type(path, "Image")
    if len(found) > 1:
        raise DataError(f"'{path}' has several columns of images, {', '.join(found)}; keep one")
    return found[0] if found else None


def class_columns(path: Path) -> list[str]:
    """Return the names of a split's columns of classes.

    Raises:
        DataError: a file is missing or damaged.
    """
    return _of_type(path, "ClassLabel")


def images(path: Path) -> list[Encoded]:
    """Return the images of a split.

    Raises:
        DataError: it has none, one is missing, or a file is missing or damaged.
    """
    name = image_column(path)
    if name is None:
        raise DataError(f"'{path}' has no column of images; it is a table")
    found = []
    for row, cell in enumerate(_rows(path, [name])[name].to_pylist()):
        content = (cell or {}).get("bytes")
        if content is None:
            raise DataError(
                f"'{path}', row {row} (counted from 0) holds no image in the column {name!r}; "
                "remove the row, or save the data set with the images in it"
            )
        found.append(Encoded(f"{path}, row {row}", content))
    return found


def frame(path: Path, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return these columns of a split (all with None), classes by their names.

    Raises:
        DataError: a file is missing or damaged.
    """
    features = _features(path)
    rows = _rows(path, list(features if names is None else names))
    found: pd.DataFrame = rows.to_pandas()
    for name in set(rows.column_names) & set(class_columns(path)):
        known = dict(enumerate(features[name].get("names") or []))
        found[name] = [known.get(code) for code in rows[name].to_pylist()]
    return found


def _of_type(path: Path, kind: str) -> list[str]:
    features = _features(path).items()
    return [name for name, of in features if isinstance(of, dict) and of.get("_type") == kind]


def _features(path: Path) -> dict[str, Any]:
    return _json(path / INFO, lambda info: dict(info["features"]))


def _rows(path: Path, names: Sequence[str]) -> pyarrow.Table:
    import pyarrow

    files = [path / _plain(path, name) for name in _json(path / STATE, _file_names)]
    try:
        return pyarrow.concat_tables([_stream(file).select(names) for file in files])
    except Exception as error:  # a damaged file has many ways to fail
        raise unreadable(path, error) from error


def _stream(file: Path) -> pyarrow.Table:
    import pyarrow

    # Mapped: columns that nobody asks for are never read.
    return pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all()


def _file_names(state: Any) -> list[str]:
    if state.get("_indices_data_files"):
        raise ValueError("an old version of datasets has saved it; save it anew")
    return [str(file["filename"]) for file in state["_data_files"]]


def _json(file: Path, read: Callable[[Any], T]) -> T:
    try:
        return read(json.loads(file.read_text()))
    except Exception as error:  # missing, no JSON, or without what is looked for
        raise unreadable(file, error) from error


def _plain(path: Path, name: str) -> str:
    """Return the name of something that lies in a folder.

    Raises:
        DataError: it leads elsewhere.
    """
    if Path(name).name != name or name == "..":
        raise DataError(f"'{path}' names {name!r}, which is not in it")
    return name
