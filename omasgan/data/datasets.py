"""Data sets as arrays: ``load(name)`` gives train and test samples, classes and a checksum.

Images are uint8 of shape ``(n, c, h, w)``; the 2-D sets are float32 of shape ``(n, 2)`` in
[-1, 1]. ``as_float`` brings both to float32 in [-1, 1]. Tables are float64 of shape ``(n, d)`` in
the units of their columns; each fold scales them by its own training samples (``scaling``).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.config import data_name, is_data_path
from omasgan.data import image_files, own, shifts, synthetic, tabular
from omasgan.data.splits import Divided
from omasgan.errors import ConfigError, DataError, unknown

DIGITS = "datasets/data/digits.csv.gz"
"""A file of scikit-learn's: 64 pixels and a class a line."""


@dataclass(frozen=True, eq=False)
class Split:
    """Samples ``X`` (uint8 ``(n, c, h, w)``, float32 or float64 ``(n, d)``) and their classes
    (int64).
    """

    X: NDArray[Any]
    classes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Both splits, the class names, the SHA-256 over all four arrays, shapes and dtypes, and the
    names of a table's columns.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    sha256: str
    columns: tuple[str, ...] = ()


def names() -> list[str]:
    """Return the name of every data set that ``load`` knows.

    >>> "digits" in names()
    True
    """
    return sorted(["digits", *image_files.SOURCES, *synthetic.SETS, *tabular.SETS])


def load(
    name: str,
    *,
    root: Path | None = None,
    download: bool = False,
    label: str | None = None,
    normal: str | None = None,
) -> Dataset:
    """Load the data set ``name``, with read-only arrays.

    Args:
        name: one of ``names()``, or the path of data that ``own`` reads.
        root: folder with the files, in torchvision's layout; see ``data_root``.
        download: fetch missing files into ``root`` first.
        label: the column of classes of a table at a path.
        normal: the only class that is ever normal: where the split into train and test is made
            here, all samples of the others are test samples.

    Raises:
        ConfigError: there is no such data set.
        DataError: a file is missing or damaged.
    """
    if name in image_files.SOURCES:
        train, test = image_files.read(name, data_root(root), download)
        class_names = image_files.SOURCES[name].class_names
        return _dataset(name, Split(*train), Split(*test), class_names)
    if name in synthetic.SETS:
        train, test = synthetic.points(name)
        return _dataset(name, Split(*train), Split(*test), synthetic.CLASS_NAMES)
    if name == "digits":
        return _digits()
    if name in tabular.SETS:
        return _named(name, tabular.read(name, data_root(root), normal))
    if is_data_path(name):
        return _named(data_name(Path(name)), own.read(Path(name), label, normal))
    raise unknown("data set", name, names())


def check_files(name: str, *, root: Path | None = None) -> None:
    """See that the files of the data set ``name``, if it has any, are there.

    Raises:
        ConfigError: there is no such data set.
        DataError: a file is missing.
    """
    if is_data_path(name):
        own.check(Path(name))
        return
    if name not in names():
        raise unknown("data set", name, names())
    if name in image_files.SOURCES:
        image_files.check(name, data_root(root))
    if name in tabular.SETS:
        tabular.check(name, data_root(root))


def data_root(explicit: Path | None = None) -> Path:
    """Return the files' folder: ``explicit``, else ``OMASGAN_DATA``, else the user's cache."""
    if explicit is not None:
        return Path(explicit)
    if os.environ.get("OMASGAN_DATA"):
        return Path(os.environ["OMASGAN_DATA"])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "omasgan"


def join(normal: Dataset, anomalous: Dataset) -> Dataset:
    """Join two data sets for out-of-dataset: train on ``normal``, test on the test splits of both.

    The classes of ``anomalous`` are shifted by the number of classes of ``normal``.

    Raises:
        ConfigError: the samples of the two differ in shape or dtype, or their columns in names.
    """
    a, b = normal.test, anomalous.test
    if normal.columns != anomalous.columns:
        raise ConfigError(
            f"'{normal.name}' and '{anomalous.name}' must have the same columns in the same order"
        )
    if a.X.shape[1:] != b.X.shape[1:] or a.X.dtype != b.X.dtype:
        raise ConfigError(
            f"samples of '{normal.name}' and '{anomalous.name}' must have one shape and dtype, "
            f"got {a.X.shape[1:]} {a.X.dtype} and {b.X.shape[1:]} {b.X.dtype}"
        )
    test = Split(
        np.concatenate([a.X, b.X]),
        np.concatenate([a.classes, b.classes + len(normal.class_names)]),
    )
    class_names = (*normal.class_names, *(f"{anomalous.name}/{c}" for c in anomalous.class_names))
    name = f"{normal.name}+{anomalous.name}"
    return _dataset(name, normal.train, test, class_names, normal.columns)


def join_shifts(normal: Dataset, name: str) -> Dataset:
    """Join a data set with the anomalies of ``shifts.SETS`` that are made from it.

    Raises:
        ConfigError: the samples are no uint8 images.
    """
    X, kinds = shifts.anomalies(name, normal.train.X, normal.test.X)
    names = tuple(shifts.SETS[name])
    return join(normal, Dataset(name, normal.train, Split(X, kinds), names, ""))


def as_float(X: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples as float32 in [-1, 1]: uint8 becomes ``x / 127.5 - 1``, float32 stays.

    >>> as_float(np.array([0, 255], dtype=np.uint8)).tolist()
    [-1.0, 1.0]
    """
    if X.dtype == np.uint8:
        return X.astype(np.float32) / np.float32(127.5) - np.float32(1)
    if X.dtype == np.float32:
        return X
    raise DataError(f"samples must be uint8 or float32, got {X.dtype}")


def _dataset(
    name: str,
    train: Split,
    test: Split,
    class_names: tuple[str, ...],
    columns: tuple[str, ...] = (),
) -> Dataset:
    total = hashlib.sha256()
    for array in (train.X, train.classes, test.X, test.classes):
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
        array.flags.writeable = False
    return Dataset(name, train, test, class_names, total.hexdigest(), columns)


def _named(name: str, read: Divided) -> Dataset:
    """Return what was read with the names of classes as numbers."""
    (X_train, train), (X_test, test) = read.train, read.test
    class_names = tuple(sorted({*train, *test}))
    number = {name: i for i, name in enumerate(class_names)}
    y_train, y_test = (
        np.array([number[c] for c in classes], np.int64) for classes in (train, test)
    )
    splits = Split(X_train, y_train), Split(X_test, y_test)
    return _dataset(name, *splits, class_names, read.columns)


def _digits() -> Dataset:
    """Return scikit-learn's 1,797 digits, 8x8, 17 grey levels over uint8; a fifth of a class is
    test.
    """
    # Its ``load_digits`` would do, but scikit-learn takes a second to import.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("the digits are scikit-learn's, which is missing; install scikit-learn")
    rows = np.loadtxt(Path(package.origin).parent / DIGITS, delimiter=",")
    X = np.floor(rows[:, :64] * (255 / 16) + 0.5).astype(np.uint8).reshape(-1, 1, 8, 8)
    classes = rows[:, 64].astype(np.int64)
    # Its streams are frozen by numpy for good, those of Generator are not.
    draw = np.random.RandomState(20210)
    is_test = np.zeros(len(X), dtype=bool)
    for c in range(10):
        rows = draw.permutation(np.flatnonzero(classes == c))
        is_test[rows[: round(len(rows) / 5)]] = True
    train, test = (Split(X[rows], classes[rows]) for rows in (~is_test, is_test))
    return _dataset("digits", train, test, tuple("0123456789"))
