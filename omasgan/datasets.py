"""Data sets as arrays: ``load(name)`` gives train and test samples, classes and a checksum.

Images are uint8 of shape ``(n, c, h, w)``; the 2-D sets are float32 of shape ``(n, 2)`` in
[-1, 1]. ``as_float`` brings both to float32 in [-1, 1].
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import ConfigError, DataError, unknown

# RandomState's streams are frozen by numpy for good, those of Generator are not; a data set must
# be the same array under every version of numpy.
_SEED = 20210


@dataclass(frozen=True, eq=False)
class Split:
    """Samples ``X`` (uint8 ``(n, c, h, w)`` or float32 ``(n, d)``) and their classes (int64)."""

    X: NDArray[Any]
    classes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Both splits, the class names, and the SHA-256 over all four arrays, shapes and dtypes."""

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    sha256: str


def names() -> list[str]:
    """Every data set that ``load`` knows.

    >>> "digits" in names()
    True
    """
    return sorted(["digits", *_ON_DISK, *_SYNTHETIC])


def load(name: str, *, root: Path | None = None, download: bool = False) -> Dataset:
    """The data set ``name``, with read-only arrays.

    Args:
        name: one of ``names()``.
        root: folder with the files, in torchvision's layout; see ``data_root``.
        download: fetch missing files into ``root`` first.

    Raises:
        ConfigError: there is no such data set.
        DataError: a file is missing or damaged.
    """
    if name in _ON_DISK:
        return _from_disk(name, data_root(root), download)
    if name in _SYNTHETIC:
        return _synthetic(name)
    if name == "digits":
        return _digits()
    raise unknown("data set", name, names())


def data_root(explicit: Path | None = None) -> Path:
    """Where the files are: ``explicit``, else ``OMASGAN_DATA``, else the user's cache."""
    if explicit is not None:
        return Path(explicit)
    if os.environ.get("OMASGAN_DATA"):
        return Path(os.environ["OMASGAN_DATA"])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "omasgan"


def join(normal: Dataset, anomalous: Dataset) -> Dataset:
    """One data set for out-of-dataset: trains on ``normal``, tests on the test splits of both.

    The classes of ``anomalous`` are shifted by the number of classes of ``normal``.

    Raises:
        ConfigError: the samples of the two differ in shape or dtype.
    """
    a, b = normal.test, anomalous.test
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
    return _dataset(f"{normal.name}+{anomalous.name}", normal.train, test, class_names)


def as_float(X: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as float32 in [-1, 1]: uint8 becomes ``x / 127.5 - 1``, float32 is returned as is.

    >>> as_float(np.array([0, 255], dtype=np.uint8)).tolist()
    [-1.0, 1.0]
    """
    if X.dtype == np.uint8:
        return X.astype(np.float32) / np.float32(127.5) - np.float32(1)
    if X.dtype == np.float32:
        return X
    raise DataError(f"samples must be uint8 or float32, got {X.dtype}")


def _dataset(name: str, train: Split, test: Split, class_names: tuple[str, ...]) -> Dataset:
    total = hashlib.sha256()
    for array in (train.X, train.classes, test.X, test.classes):
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
        array.flags.writeable = False
    return Dataset(name, train, test, class_names, total.hexdigest())


def _digits() -> Dataset:
    """scikit-learn's 1,797 digits, 8x8, 17 grey levels over uint8; a fifth of a class is test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    X = np.floor(bunch.images * (255 / 16) + 0.5).astype(np.uint8)[:, None]
    classes = bunch.target.astype(np.int64)
    draw = np.random.RandomState(_SEED)
    is_test = np.zeros(len(X), dtype=bool)
    for c in range(10):
        rows = draw.permutation(np.flatnonzero(classes == c))
        is_test[rows[: round(len(rows) / 5)]] = True
    train, test = (Split(X[rows], classes[rows]) for rows in (~is_test, is_test))
    return _dataset("digits", train, test, tuple("0123456789"))


@dataclass(frozen=True)
class _Source:
    """A class of torchvision, the arguments of its two splits, and the files that it reads."""

    cls: str
    splits: tuple[dict[str, Any], dict[str, Any]]
    files: tuple[str, ...]
    class_names: tuple[str, ...]


def _idx_files(folder: str, train: str, test: str) -> tuple[str, ...]:
    kinds = ("images-idx3", "labels-idx1")
    return tuple(f"{folder}/raw/{s}-{kind}-ubyte" for s in (train, test) for kind in kinds)


_TRAIN_TEST = ({"train": True}, {"train": False})
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_THINGS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")

_ON_DISK = {
    "mnist": _Source(
        "MNIST", _TRAIN_TEST, _idx_files("MNIST", "train", "t10k"), tuple("0123456789")
    ),
    "fashion-mnist": _Source(
        "FashionMNIST", _TRAIN_TEST, _idx_files("FashionMNIST", "train", "t10k"), _CLOTHES
    ),
    "kmnist": _Source("KMNIST", _TRAIN_TEST, _idx_files("KMNIST", "train", "t10k"), _KANA),
    "emnist-letters": _Source(
        "EMNIST",
        ({"split": "letters", "train": True}, {"split": "letters", "train": False}),
        _idx_files("EMNIST", "emnist-letters-train", "emnist-letters-test"),
        _LETTERS,
    ),
    "cifar10": _Source(
        "CIFAR10", _TRAIN_TEST, tuple(f"cifar-10-batches-py/{b}" for b in _BATCHES), _THINGS
    ),
    "svhn": _Source(
        "SVHN",
        ({"split": "train"}, {"split": "test"}),
        ("train_32x32.mat", "test_32x32.mat"),
        tuple("0123456789"),
    ),
}


def _from_disk(name: str, root: Path, download: bool) -> Dataset:
    source = _ON_DISK[name]
    if download:
        _download(name, source, root)
    missing = [file for file in source.files if not (root / file).is_file()]
    if missing:
        raise DataError(
            f"data set '{name}' is missing: no {missing[0]} in {root} "
            f"({len(missing)} of {len(source.files)} files); use --download, "
            "or put the files there (--data-root or OMASGAN_DATA names the folder)"
        )
    train, test = (_read(name, source, root, arguments) for arguments in source.splits)
    return _dataset(name, train, test, source.class_names)


def _download(name: str, source: _Source, root: Path) -> None:
    import torchvision.datasets

    try:
        root.mkdir(parents=True, exist_ok=True)
        for arguments in source.splits:
            getattr(torchvision.datasets, source.cls)(root, download=True, **arguments)
    except (OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"data set '{name}' cannot be downloaded to {root}: {reason}") from error


def _read(name: str, source: _Source, root: Path, arguments: dict[str, Any]) -> Split:
    import torchvision.datasets

    try:
        for file in source.files:
            _check_idx(name, root / file)
        raw = getattr(torchvision.datasets, source.cls)(root, download=False, **arguments)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        where = ", ".join(_damaged(source, root)) or root
        raise _damage(name, where, " ".join(str(error).split())) from error
    X = np.asarray(raw.data)
    classes = np.asarray(raw.labels if source.cls == "SVHN" else raw.targets, dtype=np.int64)
    if source.cls == "CIFAR10":
        X = X.transpose(0, 3, 1, 2)
    elif source.cls != "SVHN":
        X = X[:, None]
    if source.cls == "EMNIST":
        # The official files hold the letters mirrored and turned, and count them from 1.
        X, classes = X.transpose(0, 1, 3, 2), classes - 1
    if len(X) != len(classes):
        raise _damage(name, root, f"{len(X)} images but {len(classes)} labels")
    last = len(source.class_names) - 1
    if len(X) == 0 or classes.min() < 0 or classes.max() > last:
        given = f"{classes.min()} to {classes.max()}" if len(X) else "none"
        raise _damage(name, root, f"labels must be 0 to {last}, got {given}")
    return Split(np.ascontiguousarray(X), classes)


def _damage(name: str, where: object, reason: str) -> DataError:
    remedy = "remove it and use --download, or put a good copy there"
    return DataError(f"data set '{name}' is damaged: {where} ({reason}); {remedy}")


def _check_idx(name: str, path: Path) -> None:
    """An idx file must have the magic number of its kind and the length that its header states."""
    if not path.name.endswith("-ubyte"):
        return
    n_dims = 3 if "idx3" in path.name else 1
    with path.open("rb") as file:
        header = file.read(4 * (n_dims + 1))
    numbers = np.frombuffer(header[: len(header) // 4 * 4], dtype=">u4").tolist()
    if len(numbers) <= n_dims or numbers[0] != 0x800 + n_dims:
        raise _damage(name, path, "no idx header")
    expected = len(header) + math.prod(numbers[1:])
    if path.stat().st_size != expected:
        raise _damage(name, path, f"{path.stat().st_size} bytes, must be {expected}")


def _damaged(source: _Source, root: Path) -> list[str]:
    """The files whose MD5 is not the one that torchvision knows."""
    import torchvision.datasets

    cls = getattr(torchvision.datasets, source.cls)
    known: dict[str, str] = {}
    if source.cls == "CIFAR10":
        known = dict([*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])])
    elif source.cls == "SVHN":
        known = {file: md5 for _, file, md5 in cls.split_list.values()}
    paths = [root / file for file in source.files if Path(file).name in known]
    return [
        str(path)
        for path in paths
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != known[path.name]
    ]


_N_TRAIN, _N_TEST = 4096, 1024
_MARGIN = 0.1
"""A 2-D anomaly is at least this far from every normal sample."""


def _gaussian(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """One Gaussian at the origin, sd 0.15."""
    return draw.normal(0, 0.15, (n, 2))


def _two_gaussians(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """Two equal Gaussians at (-0.45, 0) and (0.45, 0), sd 0.1."""
    centres = np.repeat([[-0.45, 0.0], [0.45, 0.0]], [n // 2, n - n // 2], axis=0)
    return centres + draw.normal(0, 0.1, (n, 2))


def _ring(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """A circle of radius 0.6 around the origin, radial sd 0.04."""
    angle, radius = draw.uniform(0, 2 * np.pi, n), draw.normal(0.6, 0.04, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _student_t(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """The paper's two clusters: Student-t with 40 degrees of freedom in each coordinate.

    Centres 1.5 and 4 in both coordinates, scales 0.15 and 0.25, then ``(x - 2.75) / 2.75``. (The
    released script gives both clusters the parameters of the first.)
    """
    sizes = [n // 2, n - n // 2]
    centre, scale = np.repeat([1.5, 4.0], sizes), np.repeat([0.15, 0.25], sizes)
    x = centre[:, None] + scale[:, None] * draw.standard_t(40, (n, 2))
    return (x - 2.75) / 2.75


_SYNTHETIC: dict[str, Callable[[np.random.RandomState, int], NDArray[np.float64]]] = {
    "gaussian": _gaussian,
    "two-gaussians": _two_gaussians,
    "ring": _ring,
    "student-t": _student_t,
}


def _synthetic(name: str) -> Dataset:
    """4,096 train samples of class 0; in test 1,024 more and as many anomalies, class 1.

    The anomalies are uniform over [-1, 1]^2 outside a margin of 0.1 around the normal samples.
    """
    draw = np.random.RandomState(_SEED)
    train, normal = (_rounded(_SYNTHETIC[name](draw, n)) for n in (_N_TRAIN, _N_TEST))
    anomalies = _away_from(np.concatenate([train, normal]), draw, _N_TEST)
    test = Split(np.concatenate([normal, anomalies]), np.repeat([0, 1], _N_TEST).astype(np.int64))
    zeros = np.zeros(_N_TRAIN, dtype=np.int64)
    return _dataset(name, Split(train, zeros), test, ("data", "anomalies"))


def _rounded(x: NDArray[np.float64]) -> NDArray[np.float32]:
    # Four decimals hide the last bits of sin and cos, which differ between machines.
    return np.clip(x, -1, 1).round(4).astype(np.float32)


def _away_from(
    normal: NDArray[np.float32], draw: np.random.RandomState, n: int
) -> NDArray[np.float32]:
    from scipy.spatial import cKDTree

    tree = cKDTree(normal)
    found = np.empty((0, 2), dtype=np.float32)
    while len(found) < n:
        candidates = _rounded(draw.uniform(-1, 1, (4 * n, 2)))
        distance, _ = tree.query(candidates)
        found = np.concatenate([found, candidates[distance >= _MARGIN]])
    return found[:n]
