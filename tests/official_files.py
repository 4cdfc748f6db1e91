"""Small data sets written in the official file formats, where torchvision looks for them."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray


def idx(path: Path, array: NDArray[np.uint8]) -> None:
    """The idx format of MNIST and its kin: big-endian header, then the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = np.array([0x800 + array.ndim, *array.shape], dtype=">u4")
    path.write_bytes(header.tobytes() + array.tobytes())


def mnist_like(
    root: Path, folder: str, *, n: int = 20, n_classes: int = 10, first: int = 0
) -> dict[str, NDArray[np.uint8]]:
    """Train and test files of ``n`` images each, with every class; gives the images."""
    draw = np.random.default_rng(0)
    letters = folder == "EMNIST"
    prefixes = ("emnist-letters-train", "emnist-letters-test") if letters else ("train", "t10k")
    images = {}
    for prefix in prefixes:
        images[prefix] = draw.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % n_classes + first).astype(np.uint8)
        idx(root / folder / "raw" / f"{prefix}-images-idx3-ubyte", images[prefix])
        idx(root / folder / "raw" / f"{prefix}-labels-idx1-ubyte", labels)
    return images


def svhn(root: Path, monkeypatch: pytest.MonkeyPatch, n: int = 20) -> NDArray[np.uint8]:
    """SVHN's two MATLAB files, 0 written as 10; torchvision is told their MD5."""
    import torchvision.datasets

    draw = np.random.default_rng(0)
    X = draw.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    known = {}
    for split in ("train", "test"):
        path = root / f"{split}_32x32.mat"
        y = np.where(np.arange(n) % 10 == 0, 10, np.arange(n) % 10).astype(np.uint8)
        scipy.io.savemat(path, {"X": X, "y": y[:, None]})
        known[split] = ["", path.name, _md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", known)
    return X


def cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, n: int = 10) -> NDArray[np.uint8]:
    """CIFAR-10's pickled batches; torchvision is told their MD5. Gives the last batch's rows."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"):
        _batch(folder / name, draw.integers(0, 256, (n, 3072), dtype=np.uint8))
    rows = draw.integers(0, 256, (n, 3072), dtype=np.uint8)
    _batch(folder / "test_batch", rows)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    train = [[f"data_batch_{i}", _md5(folder / f"data_batch_{i}")] for i in range(1, 6)]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": _md5(folder / "batches.meta")}
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", _md5(folder / "test_batch")]])
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return rows


def _batch(path: Path, rows: NDArray[np.uint8]) -> None:
    path.write_bytes(pickle.dumps({"data": rows, "labels": [i % 10 for i in range(len(rows))]}))


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
