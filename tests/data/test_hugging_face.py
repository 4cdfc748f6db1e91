"""Data sets that Hugging Face's ``datasets`` has saved on disk; it need not be installed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from omasgan.config import load_benchmark
from omasgan.data import datasets, own, protocols, sample_files, tables
from omasgan.errors import DataError

RNG = np.random.default_rng(0)

NAMES = ["bolt", "nut"]
CLASSES = {"names": NAMES, "_type": "ClassLabel"}
IMAGES = {"_type": "Image"}
NUMBERS = {"dtype": "float64", "_type": "Value"}
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def images(n: int, *shape: int) -> pa.Array:
    pixels = RNG.integers(0, 256, (n, *shape), dtype=np.uint8)
    return pa.array([{"bytes": png(x), "path": None} for x in pixels], STRUCT)


def split(folder: Path, features: Mapping[str, Any], *shards: Sequence[Any]) -> Path:
    """Write what ``Dataset.save_to_disk`` writes: the columns of each shard go into a file."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(shards):05}.arrow" for i in range(len(shards))]
    for name, columns in zip(names, shards, strict=True):
        table = pa.table(dict(zip(features, map(pa.array, columns), strict=True)))
        with pa.ipc.new_stream(str(folder / name), table.schema) as stream:
            stream.write_table(table, max_chunksize=4)
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": None}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def parts(folder: Path, **splits: Sequence[Sequence[Any]]) -> Path:
    """A ``DatasetDict`` of images and classes."""
    for name, shards in splits.items():
        split(folder / name, {"image": IMAGES, "kind": CLASSES}, *shards)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


def table(folder: Path, **columns: Any) -> Path:
    """A table of numbers beside a column of classes."""
    features = dict.fromkeys(columns, NUMBERS) | {"label": CLASSES}
    return split(folder, features, [*columns.values(), [0, 1] * 10])


def test_images_and_their_classes(tmp_path: Path) -> None:
    folder = split(
        tmp_path / "My parts",
        {"kind": CLASSES, "image": IMAGES},
        [[0, 1] * 5, images(10, 8, 8)],
        [[0, 1] * 5, images(10, 8, 8)],
    )
    dataset = datasets.load(str(folder))
    assert (dataset.name, dataset.class_names) == ("my-parts", ("bolt", "nut"))
    assert dataset.train.X.shape == (16, 1, 8, 8)
    assert np.bincount(dataset.test.classes).tolist() == [2, 2]
    read = np.asarray(Image.open(io.BytesIO(own.hugging_face.images(folder)[0].content)))
    assert (own.read_normals(folder)[0, 0] == read).all()
    spec = load_benchmark(str(folder), normal="nut")
    (fold,) = protocols.folds(spec, protocols.load_data(spec))
    assert fold.normal_classes == (1,)


def test_train_and_test_are_the_split_and_others_are_left_out(tmp_path: Path) -> None:
    shards = {name: [[images(n, 8, 8), [0] * n]] for name, n in (("train", 6), ("validation", 5))}
    dataset = datasets.load(
        str(parts(tmp_path / "x", **shards, test=[[images(4, 8, 8), [1] * 4]]))
    )
    assert (len(dataset.train.X), len(dataset.test.X)) == (6, 4)
    assert dataset.test.classes.tolist() == [1] * 4
    only = parts(tmp_path / "y", train=[[images(20, 8, 8), [0, 1] * 10]])
    assert len(datasets.load(str(only)).train.X) == 16


def test_one_colour_image_makes_all_of_them_colour_and_square(tmp_path: Path) -> None:
    shards = [[images(8, 12, 8), [0, 1] * 4], [images(2, 8, 8, 3), [0, 1]]]
    assert own.read_normals(parts(tmp_path / "x", train=shards)).shape == (10, 3, 16, 16)


def test_a_table_is_scaled_and_scored_by_its_columns(tmp_path: Path) -> None:
    folder = table(tmp_path / "x", a=np.arange(20.0), b=RNG.normal(size=20))
    dataset = datasets.load(str(folder))
    assert (dataset.columns, dataset.train.X.shape) == (("a", "b"), (16, 2))
    assert dataset.class_names == ("bolt", "nut")
    (samples,) = tables.samples([folder], ["b"])
    assert (samples.many, samples.X.shape) == (True, (20, 1))
    with pytest.raises(DataError, match=r"column 'label' of .* looks like one of classes"):
        own.read_normals(folder)


def test_a_column_of_classes_can_be_named(tmp_path: Path) -> None:
    features = {"image": IMAGES, "kind": CLASSES, "colour": CLASSES | {"names": ["red", "blue"]}}
    folder = split(tmp_path / "x", features, [images(20, 8, 8), [0, 1] * 10, [0] * 10 + [1] * 10])
    with pytest.raises(DataError, match=r"has several columns of classes .*'kind', 'colour'"):
        datasets.load(str(folder))
    assert datasets.load(str(folder), label="colour").class_names == ("blue", "red")


def test_images_are_scored_by_their_rows(tmp_path: Path) -> None:
    folder = parts(tmp_path / "x", new=[[images(5, 8, 8), [0] * 5]])
    (samples,) = sample_files.read([folder], (1, 8, 8))
    assert (samples.many, samples.file, samples.X.shape) == (True, folder, (5, 1, 8, 8))
    with pytest.raises(
        DataError, match="row 0' has 8x8 pixels, the detector was trained on 16x16"
    ):
        sample_files.read([folder], (1, 16, 16))


def broken(root: Path) -> Path:
    folder = split(root, {"image": IMAGES}, [images(4, 8, 8)])
    (folder / "data-00000-of-00001.arrow").write_bytes(b"no stream")
    return folder


def elsewhere(root: Path) -> Path:
    folder = split(root, {"image": IMAGES}, [images(4, 8, 8)])
    files = [{"filename": "../state.json"}]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    return folder


def of_an_old_version(root: Path) -> Path:
    folder = split(root, {"image": IMAGES}, [images(4, 8, 8)])
    state = json.loads((folder / "state.json").read_text())
    indices = [{"filename": "indices.arrow"}]
    (folder / "state.json").write_text(json.dumps(state | {"_indices_data_files": indices}))
    return folder


def without_features(root: Path) -> Path:
    folder = split(root, {"image": IMAGES}, [images(4, 8, 8)])
    (folder / "dataset_info.json").write_text("{}")
    return folder


def with_cells(root: Path, *cells: Any) -> Path:
    column = pa.array([*cells, *images(4, 8, 8).to_pylist()], STRUCT)
    n = len(column)
    return split(
        root, {"image": IMAGES, "label": CLASSES}, [column, [0, 1] * (n // 2) + [0] * (n % 2)]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken, "data' cannot be read"),
        (elsewhere, "names '../state.json', which is not in it"),
        (of_an_old_version, "state.json' cannot be read: an old version of datasets has saved it"),
        (without_features, "dataset_info.json' cannot be read: 'features'"),
        (
            lambda root: with_cells(root, {"bytes": None, "path": "/etc/passwd"}),
            r"row 0 \(counted from 0\) holds no image in the column 'image'",
        ),
        (lambda root: with_cells(root, None), r"row 0 .* holds no image"),
        (
            lambda root: with_cells(root, {"bytes": b"no image", "path": None}),
            "row 0' is no PNG or JPEG image",
        ),
        (
            lambda root: split(root, {"a": IMAGES, "b": IMAGES}, [images(4, 8, 8)] * 2),
            "several columns of images, a, b; keep one",
        ),
        (
            lambda root: split(
                root, {"image": IMAGES, "label": CLASSES}, [images(4, 8, 8), [0, 1, -1, 0]]
            ),
            "column 'label' of .* has no value in 1 of 4 rows, the first is 2",
        ),
        (
            lambda root: parts(root, train=[[images(4, 8, 8), [0] * 4]], dev=[]),
            "must have the splits train and test, or one, and has train, dev",
        ),
        (
            lambda root: table(root, a=[None, *range(19)]),
            "column 'a' of .* has no value in 1 of 20 rows",
        ),
        (lambda root: table(root, a=[[1.0, 2.0]] * 20), "column 'a' of .* encode or remove"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, make: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        datasets.load(str(make(tmp_path / "data")))
    assert "\n" not in str(caught.value)


def test_normals_are_those_of_one_split(tmp_path: Path) -> None:
    shards = {name: [[images(5, 8, 8), [0] * 5]] for name in ("train", "test")}
    folder = parts(tmp_path / "x", **shards)
    with pytest.raises(DataError, match="has the splits train and test; give the folder of one"):
        own.read_normals(folder)
    assert len(own.read_normals(folder / "train")) == 5
