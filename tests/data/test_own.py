"""Data of the user's own: what is read from a folder or an archive, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from omasgan.config import load_benchmark
from omasgan.data import datasets, own, protocols
from omasgan.errors import ConfigError, DataError, OmasganError

RNG = np.random.default_rng(0)


def images(n: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


def folder(root: Path, *, n: int = 10, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    """Two classes of ``n`` images of noise, the second in a folder below its own."""
    for inside in ("good", "bad/more"):
        (root / inside).mkdir(parents=True)
        for i in range(n):
            channels = () if mode == "L" else (3,)
            Image.fromarray(images(1, *size, *channels)[0]).save(root / inside / f"{i}.png")
    return root


def test_a_folder_has_a_class_for_each_folder(tmp_path: Path) -> None:
    dataset = datasets.load(str(folder(tmp_path / "My parts")))
    assert (dataset.name, dataset.class_names) == ("my-parts", ("bad", "good"))
    assert dataset.train.X.shape == (16, 1, 8, 8)
    assert np.bincount(dataset.train.classes).tolist() == [8, 8]
    assert np.bincount(dataset.test.classes).tolist() == [2, 2]
    assert datasets.load(str(tmp_path / "My parts")).sha256 == dataset.sha256


def test_splits_of_the_user_s_are_kept(tmp_path: Path) -> None:
    folder(tmp_path / "train")
    folder(tmp_path / "test", n=3)
    dataset = datasets.load(str(tmp_path))
    assert (len(dataset.train.X), len(dataset.test.X)) == (20, 6)


@pytest.mark.parametrize(
    ("size", "side"), [((28, 28), 28), ((30, 30), 32), ((20, 31), 32), ((100, 60), 64)]
)
def test_images_become_squares_that_networks_can_halve(
    tmp_path: Path, size: tuple[int, int], side: int
) -> None:
    dataset = datasets.load(str(folder(tmp_path / "x", n=3, size=size)))
    assert dataset.train.X.shape[1:] == (1, side, side)


def test_one_colour_image_makes_all_of_them_colour(tmp_path: Path) -> None:
    folder(tmp_path / "x", n=4)
    Image.fromarray(images(1, 12, 8, 3)[0]).save(tmp_path / "x/good/colour.jpg")
    dataset = datasets.load(str(tmp_path / "x"))
    assert dataset.train.X.shape[1:] == (3, 16, 16)


@pytest.mark.parametrize(
    ("X", "shape"),
    [
        (images(40, 8, 8), (1, 8, 8)),
        (images(40, 8, 8, 3), (3, 8, 8)),
        (images(40, 1, 9, 8), (1, 16, 16)),
        (RNG.uniform(-1, 1, (40, 5)), (5,)),
    ],
    ids=["grey", "colour", "oblong", "vectors"],
)
def test_archives(tmp_path: Path, X: np.ndarray, shape: tuple[int, ...]) -> None:
    y = np.array(["even", "odd"] * 20)
    np.savez(tmp_path / "parts.npz", X=X, y=y)
    dataset = datasets.load(str(tmp_path / "parts.npz"))
    assert dataset.train.X.shape == (32, *shape)
    assert dataset.class_names == ("even", "odd")
    assert np.bincount(dataset.test.classes).tolist() == [4, 4]
    np.savez(tmp_path / "split.npz", X_train=X[:30], y_train=y[:30], X_test=X[30:], y_test=y[30:])
    split = datasets.load(str(tmp_path / "split.npz"))
    assert (len(split.train.X), len(split.test.X)) == (30, 10)


def test_arrays_in_files_of_their_own_are_an_archive(tmp_path: Path) -> None:
    X, y = images(40, 8, 8), np.array(["even", "odd"] * 20)
    np.savez(tmp_path / "parts.npz", X=X, y=y)
    for name, folder, rows in [
        ("", "parts", slice(40)),
        ("_train", "both", slice(30)),
        ("_test", "both", slice(30, 40)),
    ]:
        (tmp_path / folder).mkdir(exist_ok=True)
        np.save(tmp_path / folder / f"X{name}.npy", X[rows])
        np.save(tmp_path / folder / f"y{name}.npy", y[rows])
    archive = datasets.load(str(tmp_path / "parts.npz"))
    assert datasets.load(str(tmp_path / "parts")).sha256 == archive.sha256
    both = datasets.load(str(tmp_path / "both"))
    assert (len(both.train.X), len(both.test.X)) == (30, 10)
    assert own.read_normals(tmp_path / "parts").shape == (40, 1, 8, 8)


def test_images_of_sixteen_bits_that_use_few_of_them_are_refused(tmp_path: Path) -> None:
    for i in range(4):
        deep = RNG.integers(0, 4096, (8, 8)).astype(np.uint16)
        Image.fromarray(deep).save(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match="less than a sixteenth of the 65536 grey levels"):
        own.read_normals(tmp_path)
    Image.fromarray(np.full((8, 8), 60000, np.uint16)).save(tmp_path / "light.png")
    assert own.read_normals(tmp_path).max() == 233


def test_equal_samples_stay_on_one_side(tmp_path: Path) -> None:
    X = images(40, 8, 8)
    X[20:] = X[:20]
    np.savez(tmp_path / "x.npz", X=X, y=[0, 1] * 20)
    dataset = datasets.load(str(tmp_path / "x.npz"))
    known = {sample.tobytes() for sample in dataset.train.X}
    assert not any(sample.tobytes() in known for sample in dataset.test.X)
    assert len(dataset.test.X) > 0


def test_a_path_is_a_leave_one_out_benchmark(tmp_path: Path) -> None:
    root = folder(tmp_path / "My parts")
    spec = load_benchmark(str(root), max_train=10)
    assert (spec.id, spec.protocol) == ("my-parts-loo-v1-train10", "leave-one-out")
    protocols.check_files(spec)
    dataset = protocols.load_data(spec)
    assert [fold.index for fold in protocols.folds(spec, dataset)] == [0, 1]
    moved = root.rename(tmp_path / "elsewhere-My parts").parent / "elsewhere-My parts"
    assert load_benchmark(str(moved)).identity()["dataset"] == "elsewhere-my-parts"
    assert spec.identity()["dataset"] == "my-parts"


def leaking(root: Path) -> Path:
    folder(root / "train")
    folder(root / "test", n=3)
    known = (root / "train/good/0.png").read_bytes()
    (root / "test/bad/more/0.png").write_bytes(known)
    return root


def broken(root: Path) -> Path:
    folder(root)
    (root / "good" / "3.png").write_bytes(b"no image")
    return root


def without_images(root: Path) -> Path:
    folder(root)
    (root / "third").mkdir()
    return root


def npz(**arrays: Any) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        root.mkdir()
        np.savez(root / "x.npz", **arrays)
        return root / "x.npz"

    return make


def pickled(root: Path) -> Path:
    root.mkdir()
    np.save(root / "X.npy", images(9, 8, 8))
    np.save(root / "y.npy", np.array([{}] * 9), allow_pickle=True)
    return root


def no_archive(root: Path) -> Path:
    root.mkdir()
    (root / "x.npz").write_bytes(b"PK nothing")
    return root / "x.npz"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "none", "no data at '.*none'; give a folder of images by class"),
        (lambda root: (root.mkdir(), root)[1], "has no folder for a class"),
        (without_images, "third' holds no .png, .jpg or .jpeg file"),
        (broken, "3.png' is no PNG or JPEG image"),
        (lambda root: folder(root, n=2), "class 'bad' of .* has 2 samples; at least 3"),
        (leaking, "1 of 6 test samples of .* are training samples as well"),
        (no_archive, "x.npz' cannot be read"),
        (pickled, "cannot be read: Array can't be memory-mapped: Python objects"),
        (npz(X=images(9, 8, 8)), r"must have a class for each of its 9 samples in y, .* has no"),
        (npz(X=images(9, 8, 8), y=[1, 2]), r"has \(2,\)"),
        (npz(y=[1, 2]), "has no array X, only y"),
        (npz(X=np.full((9, 4), np.nan), y=[0] * 9), r"floats in \[-1, 1\], got nan"),
        (npz(X=np.full((9, 4), 3.0), y=[0] * 9), r"floats in \[-1, 1\], got 3 to 3"),
        (npz(X=np.zeros((9, 4, 4, 1)), y=[0] * 9), "must hold images as uint8, got float32"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        datasets.load(str(make(tmp_path / "data")))
    assert "\n" not in str(caught.value)


def test_one_class_is_no_benchmark(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=images(9, 8, 8), y=[0] * 9)
    spec = load_benchmark(str(tmp_path / "x.npz"))
    with pytest.raises(ConfigError, match="too few classes"):
        protocols.folds(spec, protocols.load_data(spec))


def test_normals_need_no_classes(tmp_path: Path) -> None:
    folder(tmp_path / "x", n=4, size=(10, 8))
    assert own.read_normals(tmp_path / "x").shape == (8, 1, 16, 16)
    np.savez(tmp_path / "x.npz", X=images(5, 8, 8))
    assert own.read_normals(tmp_path / "x.npz").shape == (5, 1, 8, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OmasganError, match="holds 0 samples; at least 3"):
        own.read_normals(tmp_path / "empty")
