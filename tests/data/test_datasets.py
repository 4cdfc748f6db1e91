"""Data sets: shapes, checksums, the official formats, and what damaged files say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from omasgan.data import datasets
from omasgan.errors import ConfigError, DataError
from tests import official_files

SYNTHETIC = ["gaussian", "two-gaussians", "ring", "student-t"]
SHA256 = {
    "digits": "0eab437ad070cb579584583f2c6d9a1227eb5ae124e607cb20f988541763575c",
    "mnist": "11de40ec28a7c150195b86fd3a818037e73f1e8d04ab1621d02836dbdf8a2d54",
    "cifar10": "e6216b9018fcebdb2fc8d67681111ecdcbcb1599320d6cfc1c4f6ff4b91839a8",
    "student-t": "707e97f0176bcce461c3d00bec11876b2f6c706d843c76f12cac8543325d9d89",
}


@pytest.fixture
def real_root() -> Path:
    root = os.environ.get("OMASGAN_DATA")
    if not root:
        pytest.skip("OMASGAN_DATA names no folder with real MNIST, Fashion-MNIST and CIFAR-10")
    return Path(root)


def test_digits() -> None:
    digits = datasets.load("digits")
    assert digits.train.X.shape == (1438, 1, 8, 8)
    assert digits.test.X.shape == (359, 1, 8, 8)
    assert digits.train.X.dtype == np.uint8
    assert (digits.train.X.min(), digits.train.X.max()) == (0, 255)
    assert digits.sha256 == SHA256["digits"]
    share = np.bincount(digits.test.classes) / np.bincount(digits.train.classes)
    assert share == pytest.approx(np.full(10, 0.25), abs=0.01)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic(name: str) -> None:
    points = datasets.load(name)
    assert points.train.X.shape == (4096, 2)
    assert points.train.X.dtype == np.float32
    assert points.test.X.shape == (2048, 2)
    assert np.abs(points.train.X).max() <= 1
    assert set(points.train.classes) == {0}
    assert np.bincount(points.test.classes).tolist() == [1024, 1024]
    assert points.sha256 == datasets.load(name).sha256 == SHA256.get(name, points.sha256)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_anomalies_keep_away_from_the_data(name: str) -> None:
    points = datasets.load(name)
    anomalies = points.test.X[points.test.classes == 1]
    apart = np.linalg.norm(anomalies[:, None] - points.train.X[None, ::4], axis=2)
    assert apart.min() >= 0.0999


def test_student_t_has_two_clusters() -> None:
    X = datasets.load("student-t").train.X
    low, high = X[X.sum(axis=1) < 0], X[X.sum(axis=1) > 0]
    assert len(low) == len(high) == 2048
    assert low.mean(axis=0) == pytest.approx([-0.4545, -0.4545], abs=0.01)
    assert high.mean(axis=0) == pytest.approx([0.4545, 0.4545], abs=0.01)


@pytest.mark.parametrize("name", ["digits", "ring"])
def test_arrays_are_read_only(name: str) -> None:
    loaded = datasets.load(name)
    for array in (loaded.train.X, loaded.train.classes, loaded.test.X, loaded.test.classes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        (
            "mnist",
            (60000, 1, 28, 28),
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        ),
        ("fashion-mnist", (60000, 1, 28, 28), [6000] * 10),
        ("cifar10", (50000, 3, 32, 32), [5000] * 10),
    ],
)
def test_real(real_root: Path, name: str, shape: tuple[int, ...], counts: list[int]) -> None:
    real = datasets.load(name, root=real_root)
    assert real.train.X.shape == shape
    assert len(real.test.X) == 10000
    assert np.bincount(real.train.classes).tolist() == counts
    assert real.train.X.flags.c_contiguous
    assert real.sha256 == SHA256.get(name, real.sha256)


def test_cifar10_channels_keep_their_order(real_root: Path) -> None:
    X = datasets.load("cifar10", root=real_root).train.X
    means = X.mean(axis=(0, 2, 3)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
)
def test_idx_files(tmp_path: Path, name: str, folder: str) -> None:
    images = official_files.mnist_like(tmp_path, folder)
    loaded = datasets.load(name, root=tmp_path)
    assert np.array_equal(loaded.train.X[:, 0], images["train"])
    assert np.array_equal(loaded.test.X[:, 0], images["t10k"])
    assert loaded.train.classes.tolist() == [*range(10), *range(10)]
    assert len(loaded.class_names) == 10


def test_emnist_letters_stand_upright_and_count_from_zero(tmp_path: Path) -> None:
    images = official_files.mnist_like(tmp_path, "EMNIST", n=26, n_classes=26, first=1)
    letters = datasets.load("emnist-letters", root=tmp_path)
    assert np.array_equal(letters.train.X[:, 0], images["emnist-letters-train"].transpose(0, 2, 1))
    assert letters.train.classes.tolist() == list(range(26))
    assert letters.class_names[0] == "a"


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = official_files.svhn(tmp_path, monkeypatch)
    houses = datasets.load("svhn", root=tmp_path)
    assert np.array_equal(houses.train.X, X.transpose(3, 2, 0, 1))
    assert houses.test.classes.tolist() == [*range(10), *range(10)]


def test_cifar10_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = official_files.cifar10(tmp_path, monkeypatch)
    loaded = datasets.load("cifar10", root=tmp_path)
    assert loaded.train.X.shape == (50, 3, 32, 32)
    assert np.array_equal(loaded.test.X, rows.reshape(10, 3, 32, 32))


@pytest.mark.parametrize(
    "name", ["mnist", "fashion-mnist", "kmnist", "emnist-letters", "cifar10", "svhn"]
)
def test_missing_files_say_which_where_and_how(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' is missing: no .* in {tmp_path} .*--download"):
        datasets.load(name, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _scramble(path: Path) -> None:
    path.write_bytes(b"<html>404</html>" + path.read_bytes()[16:])


@pytest.mark.parametrize("harm", [_cut, _empty, _scramble])
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("folder", ["KMNIST", "EMNIST"])
def test_damaged_idx_file_is_named(tmp_path: Path, folder: str, kind: str, harm) -> None:
    official_files.mnist_like(tmp_path, folder, first=int(folder == "EMNIST"))
    name, prefix = (
        ("kmnist", "t10k") if folder == "KMNIST" else ("emnist-letters", "emnist-letters-test")
    )
    path = tmp_path / folder / "raw" / f"{prefix}-{kind}-ubyte"
    harm(path)
    with pytest.raises(DataError, match=f"'{name}' is damaged: {path}") as caught:
        datasets.load(name, root=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("harm", [_cut, _empty, _scramble])
@pytest.mark.parametrize("name", ["svhn", "cifar10"])
def test_damaged_file_with_checksum_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, harm
) -> None:
    getattr(official_files, name)(tmp_path, monkeypatch)
    path = {
        "svhn": tmp_path / "test_32x32.mat",
        "cifar10": tmp_path / "cifar-10-batches-py" / "data_batch_3",
    }[name]
    harm(path)
    with pytest.raises(DataError, match=f"'{name}' is damaged: {path} ") as caught:
        datasets.load(name, root=tmp_path)
    assert "\n" not in str(caught.value)


def test_labels_must_fit_the_images_and_classes(tmp_path: Path) -> None:
    official_files.mnist_like(tmp_path, "KMNIST")
    labels = tmp_path / "KMNIST" / "raw" / "train-labels-idx1-ubyte"
    official_files.idx(labels, np.zeros(7, dtype=np.uint8))
    with pytest.raises(DataError, match="20 images but 7 labels"):
        datasets.load("kmnist", root=tmp_path)
    official_files.idx(labels, np.full(20, 11, dtype=np.uint8))
    with pytest.raises(DataError, match="labels must be 0 to 9, got 11 to 11"):
        datasets.load("kmnist", root=tmp_path)


def test_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import KMNIST

    monkeypatch.setattr(KMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match="'kmnist' cannot be downloaded to") as caught:
        datasets.load("kmnist", root=tmp_path, download=True)
    assert "\n" not in str(caught.value)


def test_download_into_a_file_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="cannot be downloaded"):
        datasets.load("mnist", root=blocked, download=True)


def test_changed_image_changes_the_checksum(tmp_path: Path) -> None:
    images = official_files.mnist_like(tmp_path, "KMNIST")
    before = datasets.load("kmnist", root=tmp_path).sha256
    images["train"][0, 0, 0] ^= 1
    official_files.idx(tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte", images["train"])
    assert datasets.load("kmnist", root=tmp_path).sha256 != before


def test_unknown_name_gives_the_closest() -> None:
    with pytest.raises(ConfigError, match="unknown data set 'mnst'; did you mean 'mnist'"):
        datasets.load("mnst")


def test_every_name_is_loadable_or_says_what_is_missing(tmp_path: Path) -> None:
    for name in datasets.names():
        try:
            assert datasets.load(name, root=tmp_path).name == name
        except DataError as error:
            assert re.search(f"'{name}' is missing", str(error))


def test_data_root_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("OMASGAN_DATA", raising=False)
    assert datasets.data_root() == tmp_path / "cache" / "omasgan"
    monkeypatch.setenv("OMASGAN_DATA", str(tmp_path / "data"))
    assert datasets.data_root() == tmp_path / "data"
    assert datasets.data_root(tmp_path) == tmp_path


def test_join_shifts_the_classes(tmp_path: Path) -> None:
    official_files.mnist_like(tmp_path, "MNIST")
    official_files.mnist_like(tmp_path, "EMNIST", n=26, n_classes=26, first=1)
    digits = datasets.load("mnist", root=tmp_path)
    letters = datasets.load("emnist-letters", root=tmp_path)
    both = datasets.join(digits, letters)
    assert both.train is digits.train
    assert len(both.test.X) == 20 + 26
    assert both.test.classes[20:].tolist() == list(range(10, 36))
    assert both.class_names[10] == "emnist-letters/a"
    assert both.sha256 not in (digits.sha256, letters.sha256)


def test_join_refuses_other_shapes() -> None:
    with pytest.raises(ConfigError, match="one shape and dtype"):
        datasets.join(datasets.load("digits"), datasets.load("ring"))


def test_as_float() -> None:
    X = np.arange(256, dtype=np.uint8)
    scaled = datasets.as_float(X)
    assert scaled.dtype == np.float32
    assert (scaled[0], scaled[-1]) == (-1, 1)
    assert datasets.as_float(scaled) is scaled
    with pytest.raises(DataError, match="uint8 or float32, got float64"):
        datasets.as_float(X.astype(np.float64))
