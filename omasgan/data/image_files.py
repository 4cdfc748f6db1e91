"""Image data sets in their official files, as torchvision lays them out and fetches them.

It reads them, too, but for the idx files of MNIST and its kin: they are a header and bytes, and
the import of torchvision takes seconds and 160 MB. Its many ways to say that a file is missing or
damaged become one line that names it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import DataError

Arrays: TypeAlias = tuple[NDArray[Any], NDArray[np.int64]]


@dataclass(frozen=True)
class Source:
    """A class of torchvision, the arguments of its two splits, and the files that it reads."""

    cls: str
    splits: tuple[dict[str, Any], dict[str, Any]]
    files: tuple[str, ...]
    class_names: tuple[str, ...]


def _idx_files(folder: str, train: str, test: str) -> tuple[str, ...]:
    kinds = ("images-idx3", "labels-idx1")
    return tuple(f"{folder}/raw/{s}-{kind}-ubyte" for s in (train, test) for kind in kinds)


_TRAIN_TEST = ({"train": True}, {"train": False})
_DIGITS = tuple("0123456789")
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_THINGS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")

SOURCES = {
    "mnist": Source("MNIST", _TRAIN_TEST, _idx_files("MNIST", "train", "t10k"), _DIGITS),
    "fashion-mnist": Source(
        "FashionMNIST", _TRAIN_TEST, _idx_files("FashionMNIST", "train", "t10k"), _CLOTHES
    ),
    "kmnist": Source("KMNIST", _TRAIN_TEST, _idx_files("KMNIST", "train", "t10k"), _KANA),
    "emnist-letters": Source(
        "EMNIST",
        ({"split": "letters", "train": True}, {"split": "letters", "train": False}),
        _idx_files("EMNIST", "emnist-letters-train", "emnist-letters-test"),
        _LETTERS,
    ),
    "cifar10": Source(
        "CIFAR10", _TRAIN_TEST, tuple(f"cifar-10-batches-py/{b}" for b in _BATCHES), _THINGS
    ),
    "svhn": Source(
        "SVHN",
        ({"split": "train"}, {"split": "test"}),
        ("train_32x32.mat", "test_32x32.mat"),
        _DIGITS,
    ),
}


def read(name: str, root: Path, download: bool) -> tuple[Arrays, Arrays]:
    """Read images ``(n, c, h, w)`` uint8 and classes ``(n,)`` int64 of the train and test splits.

    Raises:
        DataError: a file is missing or damaged, or cannot be downloaded.
    """
    source = SOURCES[name]
    if download:
        _download(name, source, root)
    check(name, root)
    train, test = (_split(name, source, root, i) for i in range(2))
    return train, test


def check(name: str, root: Path) -> None:
    """See that the files of a data set are there, without reading them.

    Raises:
        DataError: one is missing.
    """
    files = SOURCES[name].files
    missing = [file for file in files if not (root / file).is_file()]
    if missing:
        raise DataError(
            f"data set '{name}' is missing: no {missing[0]} in {root} "
            f"({len(missing)} of {len(files)} files); use --download, "
            "or put the files there (--data-root or OMASGAN_DATA names the folder)"
        )


def _download(name: str, source: Source, root: Path) -> None:
    import torchvision.datasets

    try:
        root.mkdir(parents=True, exist_ok=True)
        for arguments in source.splits:
            getattr(torchvision.datasets, source.cls)(root, download=True, **arguments)
    except (OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"data set '{name}' cannot be downloaded to {root}: {reason}") from error


def _split(name: str, source: Source, root: Path, index: int) -> Arrays:
    """Return the training split (``index`` 0) or the test split (1)."""
    if source.files[0].endswith("-ubyte"):
        images, labels = (_idx(name, root / f) for f in source.files[2 * index : 2 * index + 2])
        X, classes = images[:, None], labels.astype(np.int64)
    else:
        X, classes = _by_torchvision(name, source, root, source.splits[index])
    if source.cls == "EMNIST":
        # The official files hold the letters mirrored and turned, and count them from 1.
        X, classes = X.transpose(0, 1, 3, 2), classes - 1
    if len(X) != len(classes):
        raise _damage(name, root, f"{len(X)} images but {len(classes)} labels")
    last = len(source.class_names) - 1
    if len(X) == 0 or classes.min() < 0 or classes.max() > last:
        given = f"{classes.min()} to {classes.max()}" if len(X) else "none"
        raise _damage(name, root, f"labels must be 0 to {last}, got {given}")
    return np.ascontiguousarray(X), classes


def _by_torchvision(name: str, source: Source, root: Path, arguments: dict[str, Any]) -> Arrays:
    import torchvision.datasets

    try:
        raw = getattr(torchvision.datasets, source.cls)(root, download=False, **arguments)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        where = ", ".join(_damaged(source, root)) or root
        raise _damage(name, where, " ".join(str(error).split())) from error
    if source.cls == "CIFAR10":
        return np.asarray(raw.data).transpose(0, 3, 1, 2), np.asarray(raw.targets, dtype=np.int64)
    return np.asarray(raw.data), np.asarray(raw.labels, dtype=np.int64)


def _damage(name: str, where: object, reason: str) -> DataError:
    remedy = "remove it and use --download, or put a good copy there"
    return DataError(f"data set '{name}' is damaged: {where} ({reason}); {remedy}")


def _idx(name: str, path: Path) -> NDArray[np.uint8]:
    """Return the array of an idx file.

    Raises:
        DataError: it has not the magic number of its kind or the length that its header states,
            or cannot be read.
    """
    n_dims = 3 if "idx3" in path.name else 1
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damage(name, path, str(error)) from error
    start = 4 * (n_dims + 1)
    header = content[:start]
    numbers = np.frombuffer(header[: len(header) // 4 * 4], dtype=">u4").tolist()
    if len(numbers) <= n_dims or numbers[0] != 0x800 + n_dims:
        raise _damage(name, path, "no idx header")
    shape = numbers[1:]
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise _damage(name, path, f"{len(content)} bytes, must be {expected}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _damaged(source: Source, root: Path) -> list[str]:
    """Return the files whose MD5 is not the one that torchvision knows."""
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
