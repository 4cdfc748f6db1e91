"""A user's own data set: a folder of images by class, or arrays in an ``.npz``.

- A folder has one folder a class, with PNG and JPEG files in it or below; or ``train`` and
  ``test``, each with the folders of the classes.
- An ``.npz`` has ``X`` (uint8 images ``(n, c, h, w)``, ``(n, h, w)`` or ``(n, h, w, c)``, or
  floats ``(n, d)`` in [-1, 1]) and ``y`` (classes, numbers or texts); or ``X_train``, ``y_train``,
  ``X_test`` and ``y_test``.

Where the data have no test split, a fifth of each class becomes one, by a seed that is always the
same; equal samples stay on one side. Images become squares: of their own side if all have the
same one and networks can halve it, else every image is resampled, bilinearly, to the side that
``_side`` chooses. They are grey if all files are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.data import sample_files
from omasgan.errors import DataError

Labelled: TypeAlias = tuple[NDArray[Any], list[str]]
"""Samples and the name of each one's class."""

SIDES = (16, 32, 48, 64)
"""What images of other sizes are resampled to: the smallest that shrinks none, or the last."""

MAX_SIDE = 128
"""Images of one size up to here keep it."""

TEST_SHARE = 5
"""One sample of so many in each class is a test sample."""

MIN_SAMPLES = 3
"""Of a class: fewer cannot be divided into training, validation and test samples."""


def check(path: Path) -> None:
    """See that there are data, without reading them.

    Raises:
        DataError: there is no such folder or ``.npz`` file.
    """
    if not path.exists():
        raise DataError(f"no data at '{path}'; give a folder of images by class, or an .npz file")
    if not path.is_dir() and path.suffix != ".npz":
        raise DataError(f"'{path}' is neither a folder nor an .npz file")


def read(path: Path) -> tuple[Labelled, Labelled]:
    """Read the train and test samples at ``path``.

    Raises:
        DataError: there are none, a file is damaged, a class has too few samples, or a test
            sample is among the training samples.
    """
    check(path)
    splits = _read_folder(path) if path.is_dir() else _read_npz(path)
    if len(splits) == 1:
        return _divided(path, splits[0])
    _check_leaks(path, splits[0][0], splits[1][0])
    return splits[0], splits[1]


def read_normals(path: Path) -> NDArray[Any]:
    """Read samples without classes: all images in a folder and below it, or ``X`` of an ``.npz``.

    Raises:
        DataError: there are too few, or a file is damaged.
    """
    check(path)
    if path.is_dir():
        files = sample_files.images_in(path)
        X = _images(files, _shape(files)) if files else np.empty(0)
    else:
        X = _square(_samples(path, _arrays(path), "X"))
    if len(X) < MIN_SAMPLES:
        raise DataError(f"'{path}' holds {len(X)} samples; at least {MIN_SAMPLES} are needed")
    return X


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


def _shape(files: Sequence[Path]) -> tuple[int, int, int]:
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


def _images(files: Sequence[Path], shape: Sequence[int]) -> NDArray[np.uint8]:
    return np.concatenate([part.X for part in sample_files.read(files, shape, resize=True)])


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except Exception as error:  # a damaged archive has many ways to fail
        raise sample_files.unreadable(path, error) from error


def _read_npz(path: Path) -> list[Labelled]:
    arrays = _arrays(path)
    ends = ["_train", "_test"] if "X_train" in arrays else [""]
    splits = []
    for end in ends:
        X, y = _samples(path, arrays, f"X{end}"), arrays.get(f"y{end}")
        if y is None or y.shape != (len(X),):
            has = "no" if y is None else f"{y.shape}"
            raise DataError(
                f"'{path}' must have a class for each of its {len(X)} samples in y{end}, "
                f"of shape ({len(X)},), and has {has}"
            )
        splits.append((_square(X), [str(value) for value in y.tolist()]))
    return splits


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


def _divided(path: Path, labelled: Labelled) -> tuple[Labelled, Labelled]:
    """Divide samples into train and test, class by class; equal samples stay together."""
    X, classes = labelled
    is_test = np.zeros(len(X), dtype=bool)
    names = np.array(classes)
    # RandomState: its stream is frozen by numpy for good, that of Generator is not.
    draw = np.random.RandomState(20210)
    same = _groups(X)
    for name in sorted(set(classes)):
        rows = np.flatnonzero(names == name)
        if len(rows) < MIN_SAMPLES:
            raise DataError(
                f"class '{name}' of '{path}' has {len(rows)} samples; at least {MIN_SAMPLES} are "
                "needed, to train, to validate and to test"
            )
        chosen = draw.permutation(rows)[: max(1, round(len(rows) / TEST_SHARE))]
        is_test[rows] = np.isin(rows, chosen)
    # A group lies where its first sample lies.
    is_test = is_test[same]
    train, test = ((X[rows], names[rows].tolist()) for rows in (~is_test, is_test))
    return train, test


def _groups(X: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each sample the row of the first one that equals it."""
    flat = np.ascontiguousarray(X).reshape(len(X), -1)
    _, first, group = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[group.reshape(-1)], dtype=np.int64)


def _check_leaks(path: Path, train: NDArray[Any], test: NDArray[Any]) -> None:
    """Refuse test samples that are training samples as well: they would be known."""
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"'{path}' has training samples of shape {train.shape[1:]} and test samples of "
            f"{test.shape[1:]}; they must be the same"
        )
    known = {sample.tobytes() for sample in train}
    leaks = sum(sample.tobytes() in known for sample in test)
    if leaks:
        raise DataError(
            f"{leaks} of {len(test)} test samples of '{path}' are training samples as well; "
            "remove them from one of the two"
        )
