"""A user's own data set: a folder of images by class, arrays, or a table.

- A folder has one folder a class, with PNG and JPEG files in it or below; or ``train`` and
  ``test``, each with the folders of the classes.
- An ``.npz`` has ``X`` (uint8 images ``(n, c, h, w)``, ``(n, h, w)`` or ``(n, h, w, c)``, or
  floats ``(n, d)`` in [-1, 1]) and ``y`` (classes, numbers or texts); or ``X_train``, ``y_train``,
  ``X_test`` and ``y_test``. A folder with ``.npy`` files of these names is the same.
- A ``.csv`` or ``.parquet`` has columns of numbers and one of classes; or a folder has two of
  them, ``train`` and ``test``.
- A folder that ``hugging_face`` reads has a column of images, or of numbers in all others, beside
  that of the classes.

Where the data have no test split, ``splits`` makes one. Images become squares: of their own side
if all have the same one and networks can halve it, else every image is resampled, bilinearly, to
the side that ``_side`` chooses. They are grey if all files are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.config import TABLES, is_data_file, is_table
from omasgan.data import hugging_face, sample_files, splits, tables
from omasgan.data.sample_files import ImageFile
from omasgan.data.splits import MIN_SAMPLES, Divided, Labelled
from omasgan.data.tables import Table
from omasgan.errors import DataError, unreadable

SIDES = (16, 32, 48, 64)
"""What images of other sizes are resampled to: the smallest that shrinks none, or the last."""

DARKEST = 16
"""Of 255: where images of 16 bits are no lighter than this, 12 bits or fewer are used."""

MAX_SIDE = 128
"""Images of one size up to here keep it."""


def check(path: Path) -> None:
    """See that there are data, without reading them.

    Raises:
        DataError: there is no such folder or file.
    """
    forms = "a folder of images by class, an .npz, a .csv or .parquet, or a Hugging Face data set"
    if not path.exists():
        raise DataError(f"no data at '{path}'; give {forms}")
    if not path.is_dir() and not is_data_file(path):
        raise DataError(f"'{path}' is none of what can be read: {forms}")


def read(path: Path, label: str | None = None, normal: str | None = None) -> Divided:
    """Read the train and test samples at ``path``.

    Args:
        path: of the data.
        label: the column of classes, where there are columns; see ``tables.read``.
        normal: the only class that is ever normal; see ``splits.divided``.

    Raises:
        DataError: there are none, a file is damaged, a class has too few samples, or a test
            sample is among the training samples.
    """
    check(path)
    saved = hugging_face.parts(path)
    if saved and hugging_face.image_column(saved[0]) is not None:
        return _split(path, _read_saved(saved, label), normal)
    parts = saved or _tables_at(path)
    if parts:
        return _read_tables(path, parts, label, normal)
    if label is not None:
        raise DataError(f"'{path}' is no table and has no column {label!r}; leave out the label")
    return _split(path, _read_arrays(path) if _is_arrays(path) else _read_folder(path), normal)


def read_normals(path: Path) -> NDArray[Any] | Table:
    """Read samples without classes: all images in a folder and below it, ``X`` of an ``.npz``,
    images in a column, or a table.

    Raises:
        DataError: there are too few, or a file is damaged.
    """
    check(path)
    saved = hugging_face.only_part(path) if hugging_face.is_saved(path) else None
    if is_table(path) or (saved and hugging_face.image_column(saved) is None):
        table = tables.read_normals(saved or path)
        _check_enough(path, len(table.X))
        return table
    if _is_arrays(path):
        X = _square(_samples(path, _arrays(path), "X"))
    else:
        files = hugging_face.images(saved) if saved else sample_files.images_in(path)
        X = _images(files, _shape(files)) if files else np.empty(0)
    _check_enough(path, len(X))
    return X


def _check_enough(path: Path, n: int) -> None:
    if n < MIN_SAMPLES:
        raise DataError(f"'{path}' holds {n} samples; at least {MIN_SAMPLES} are needed")


def _split(path: Path, parts: list[Labelled], normal: str | None) -> Divided:
    """Return the user's own split, or one that is made here where there is none."""
    if len(parts) == 1:
        return splits.divided(str(path), parts[0], normal)
    train, test = parts
    splits.check_leaks(str(path), train[0], test[0])
    return Divided(train, test)


def _tables_at(path: Path) -> list[Path]:
    """Return the table at ``path``, or the two in this folder; [] if there are none."""
    if not path.is_dir():
        return [path] if is_table(path) else []
    names = ([f"train{end}", f"test{end}"] for end in TABLES)
    found = ([path / name for name in pair] for pair in names)
    return next((pair for pair in found if all(file.is_file() for file in pair)), [])


def _read_tables(path: Path, files: list[Path], label: str | None, normal: str | None) -> Divided:
    read = [tables.read(file, label) for file in files]
    columns = read[0][0].columns
    parts: list[Labelled] = [
        (tables.reordered(file, table, columns).X, classes)
        for file, (table, classes) in zip(files, read, strict=True)
    ]
    tables.check_varying(path, Table(np.concatenate([X for X, _ in parts]), columns))
    return replace(_split(path, parts, normal), columns=columns)


def _read_saved(parts: Sequence[Path], label: str | None) -> list[Labelled]:
    """Read the splits of a Hugging Face data set of images."""
    by_split = [hugging_face.images(part) for part in parts]
    shape = _shape([image for images in by_split for image in images])
    return [
        (_images(images, shape), tables.classes(part, label))
        for part, images in zip(parts, by_split, strict=True)
    ]


def _read_folder(path: Path) -> list[Labelled]:
    roots = [path / "train", path / "test"]
    if not all(root.is_dir() for root in roots):
        roots = [path]
    by_split = [_by_class(root) for root in roots]
    shape = _shape([file for split in by_split for _, file in split])
    return [(_images([f for _, f in split], shape), [c for c, _ in split]) for split in by_split]


def _by_class(root: Path) -> list[tuple[str, Path]]:
    """Return the class and the file of each image below the folders of ``root``."""
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    if not folders:
        raise DataError(f"'{root}' has no folder for a class; it needs one with images for each")
    labelled = []
    for folder in folders:
        files = sample_files.images_in(folder)
        if not files:
            raise DataError(f"'{folder}' holds no .png, .jpg or .jpeg file")
        labelled += [(folder.name, file) for file in files]
    return labelled


def _shape(files: Sequence[ImageFile]) -> tuple[int, int, int]:
    """Return the shape ``(c, s, s)`` that the images in ``files`` are brought to."""
    shapes = {sample_files.image_shape(file) for file in files}
    side = _side({(h, w) for _, h, w in shapes})
    return max((c for c, _, _ in shapes), default=1), side, side


def _side(sizes: set[tuple[int, int]]) -> int:
    """Return the side of the squares that images of these ``(h, w)`` become.

    >>> _side({(28, 28)}), _side({(30, 30)}), _side({(20, 31), (28, 28)}), _side({(480, 640)})
    (28, 32, 32, 64)
    """
    longest = max(max(size) for size in sizes)
    if sizes == {(longest, longest)} and longest % 4 == 0 and longest <= MAX_SIDE:
        return longest
    return next((side for side in SIDES if side >= longest), SIDES[-1])


def _images(files: Sequence[ImageFile], shape: Sequence[int]) -> NDArray[np.uint8]:
    X = sample_files.stacked(files, shape, resize=True)
    if X.max() <= DARKEST and sample_files.is_deep(files[0]):
        raise DataError(
            f"'{files[0]}' and the others use less than a sixteenth of the 65536 grey levels of "
            "16 bits; stretch them, all by one factor"
        )
    return X


def _is_arrays(path: Path) -> bool:
    """Return whether ``path`` is an ``.npz``, or a folder with arrays of its names."""
    names = (path / f"X{end}.npy" for end in ("", "_train"))
    return path.is_file() or any(file.is_file() for file in names)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if path.is_file():
            with np.load(path) as arrays:
                return dict(arrays)
        files = sorted(path.glob("[Xy]*.npy"))
        # Mapped: the length that a header claims is checked against the file's.
        return {file.stem: np.load(file, mmap_mode="r") for file in files}
    except Exception as error:  # a damaged archive has many ways to fail
        raise unreadable(path, error) from error


def _read_arrays(path: Path) -> list[Labelled]:
    arrays = _arrays(path)
    ends = ["_train", "_test"] if "X_train" in arrays else [""]
    parts = []
    for end in ends:
        X, y = _samples(path, arrays, f"X{end}"), arrays.get(f"y{end}")
        if y is None or y.shape != (len(X),):
            has = "no" if y is None else f"{y.shape}"
            raise DataError(
                f"'{path}' must have a class for each of its {len(X)} samples in y{end}, "
                f"of shape ({len(X)},), and has {has}"
            )
        parts.append((_square(X), [str(value) for value in y.tolist()]))
    return parts


def _samples(path: Path, arrays: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Return images ``(n, c, h, w)`` or vectors ``(n, d)`` of an archive."""
    if name not in arrays:
        raise DataError(f"'{path}' has no array {name}, only {', '.join(arrays) or 'none'}")
    X = sample_files.values(path, arrays[name])
    if X.ndim == 2:
        if X.dtype == np.uint8:
            raise DataError(f"'{path}' must hold vectors as floats in [-1, 1], got uint8")
        return X
    X = sample_files.channels_first(path, X)
    if X.dtype != np.uint8:
        raise DataError(f"'{path}' must hold images as uint8, got {X.dtype}")
    return X


def _square(X: NDArray[Any]) -> NDArray[Any]:
    if X.ndim == 2:
        return X
    side = _side({X.shape[2:]})
    return X if X.shape[2:] == (side, side) else sample_files.resampled(X, side, side)
