"""Tables: what is read from CSV and Parquet, what is refused, and how a fold scales them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.data import datasets, own, protocols, selection, splits, tables
from omasgan.data.scaling import Scaling, scaled
from omasgan.errors import ConfigError, DataError, OmasganError


def cells(n: int = 40) -> pd.DataFrame:
    """``n`` rows in different units, every fourth of class 1, far from the others in ``size``."""
    draw = np.random.default_rng(0)
    anomalous = np.arange(n) % 4 == 0
    frame = pd.DataFrame({"size": draw.uniform(1000, 2000, n), "share": draw.uniform(0, 0.01, n)})
    frame["size"] += 5000 * anomalous
    frame["Class"] = anomalous.astype(int)
    return frame


def written(path: Path, frame: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["cells.csv", "cells.parquet", "CELLS.CSV"])
def test_a_table_is_read_in_its_own_units(tmp_path: Path, name: str) -> None:
    table, classes = tables.read(written(tmp_path / name, cells()))
    assert table.columns == ("size", "share")
    np.testing.assert_array_equal(table.X, cells()[["size", "share"]])
    assert classes == ["1", "0", "0", "0"] * 10


def test_classes_are_as_they_are_written(tmp_path: Path) -> None:
    frame = cells(6).assign(Class=["None", "01", " a", "1.0", "nan", "NA"])
    assert tables.read(written(tmp_path / "x.csv", frame))[1] == [
        *("None", "01", "a"),
        *("1.0", "nan", "NA"),
    ]
    frame = cells(6).assign(Class=[0.0, 1.0, 0.0, 1.0, 2.0, 0.5])
    assert tables.read(written(tmp_path / "x.parquet", frame))[1] == [
        "0",
        "1",
        "0",
        "1",
        "2",
        "0.5",
    ]


def test_the_column_of_classes_may_be_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", cells().rename(columns={"Class": "kind"}))
    assert tables.read(path, "kind")[0].columns == ("size", "share")
    spec = load_benchmark(str(path), label="kind")
    assert protocols.load_data(spec).class_names == ("0", "1")


def test_truth_values_are_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", cells(4).assign(big=[True, False, True, True]))
    assert tables.read(path)[0].X[:, 2].tolist() == [1, 0, 1, 1]


def changed(column: str, row: int, value: Any) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        frame = cells().astype({column: object})
        frame.loc[row, column] = value
        return written(root / "x.csv", frame)

    return make


def of(**columns: Any) -> Callable[[Path], Path]:
    return lambda root: written(root / "x.csv", cells().assign(**columns))


def content(data: bytes, name: str = "x.csv") -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        root.mkdir()
        (root / name).write_bytes(data)
        return root / name

    return make


def split(train: pd.DataFrame, test: pd.DataFrame) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        written(root / "train.csv", train)
        written(root / "test.csv", test)
        return root

    return make


REFUSED = {
    "missing": (changed("size", 17, None), r"'size' of .* no value in 1 of 40 rows, .* is 17 "),
    "infinite": (changed("size", 17, np.inf), "'size' of .* holds inf in row 17 .*finite"),
    "too large": (changed("share", 3, 1e39), "'share' of .* holds 1e.39 in row 3 .*at most 3.4e"),
    "text": (of(city="Rome"), "'city' of .* holds 'Rome' in row 0 .*encode or remove"),
    "a mark": (changed("size", 5, "?"), r"'size' of .* holds '\?' in row 5"),
    "dates": (of(day="2026-11-26"), "'day' of .* holds '2026-11-26' in row 0"),
    "constant": (of(one=1, two=2.5), "the same value in all 40 rows of 'one', 'two'"),
    "without a class": (changed("Class", 2, ""), "'Class' of .* no value in 1 of 40 rows"),
    "an index": (
        lambda root: (written(root / "x.csv", cells()), cells().to_csv(root / "x.csv"))[0],
        "column 0 of .* has no name, as an index",
    ),
    "two columns of classes": (of(label=1), "several columns of classes .* 'Class', 'label'"),
    "no column of classes": (
        lambda root: written(root / "x.csv", cells().drop(columns="Class")),
        "no column of classes .*'size', 'share'; name it with --label",
    ),
    "classes alone": (
        lambda root: written(root / "x.csv", cells()[["Class"]]),
        "no column of num",
    ),
    "a class of two": (of(Class=[*[0] * 38, 1, 1]), "class '1' of .* has 2 samples; at least 3"),
    "nothing": (content(b""), "cannot be read: No columns"),
    "a header": (content(b"a,class\n"), "holds no rows"),
    "ragged rows": (content(b"a,class\n1,x\n1,2,y\n"), "cannot be read: .* line 3, saw 3"),
    "a short header": (content(b"a,class\n1,2,y\n"), "more values than its header has names"),
    "semicolons": (content(b"a;class\n1;y\n"), "no column of classes .* among 'a;class'"),
    "bytes": (content(bytes(range(128, 256))), "cannot be read: 'utf-8'"),
    "no parquet": (content(b"PAR1 or not", "x.parquet"), "x.parquet' cannot be read: Parquet"),
    "leaks": (
        split(cells()[:30], cells()[28:]),
        "2 of 12 test samples of .* the first is 0 .*remove them from one of the two",
    ),
    "other columns": (
        split(cells()[:30], cells()[30:].rename(columns={"size": "Size"})),
        "test.csv' must have the columns .* only one of the two has 'Size', 'size'",
    ),
}


@pytest.mark.parametrize("make, message", REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        datasets.load(str(make(tmp_path / "data")))
    assert "\n" not in str(caught.value)


def test_a_label_must_be_there_and_of_a_table(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", cells())
    with pytest.raises(DataError, match="no column 'Clas', only 'size', 'share', 'Class'"):
        datasets.load(str(path), label="Clas")
    np.savez(tmp_path / "x.npz", X=np.zeros((9, 4)), y=[0, 1, 2] * 3)
    with pytest.raises(DataError, match="is no table and has no column 'Class'"):
        datasets.load(str(tmp_path / "x.npz"), label="Class")


def test_one_class_is_no_benchmark(tmp_path: Path) -> None:
    spec = load_benchmark(str(written(tmp_path / "x.csv", cells().assign(Class="good"))))
    with pytest.raises(ConfigError, match="too few classes"):
        protocols.folds(spec, protocols.load_data(spec))


def test_a_split_of_the_user_s_is_kept_whatever_the_order_of_columns(tmp_path: Path) -> None:
    make = split(cells()[:30], cells()[30:][["Class", "share", "size"]])
    data = datasets.load(str(make(tmp_path / "x")))
    assert data.columns == ("size", "share")
    np.testing.assert_array_equal(data.test.X, cells()[30:][["size", "share"]])


def test_normal_rows_have_no_classes(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", cells().drop(columns="Class").assign(errors=0))
    table = own.read_normals(path)
    assert isinstance(table, tables.Table) and table.X.shape == (40, 3)
    with pytest.raises(DataError, match=r"'Class' of .* looks like one of classes"):
        own.read_normals(written(tmp_path / "y.csv", cells()))
    with pytest.raises(DataError, match="holds 2 samples; at least 3"):
        own.read_normals(written(tmp_path / "z.csv", cells(2).drop(columns="Class")))


def test_rows_are_scored_by_the_names_of_their_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", cells()[["Class", "share", "size"]])
    (read,) = tables.samples([path], ("size", "share"))
    np.testing.assert_array_equal(read.X, cells()[["size", "share"]])
    with pytest.raises(DataError, match="no column 'weight', which the detector was trained on"):
        tables.samples([path], ("size", "weight"))
    with pytest.raises(DataError, match=r"x.png' is no .csv or .parquet file"):
        tables.samples([tmp_path / "x.png"], ("size",))


# One normal class


def one_normal(path: Path) -> BenchmarkSpec:
    return load_benchmark(str(path), normal="0")


def test_with_one_normal_class_all_others_are_tested(tmp_path: Path) -> None:
    spec = one_normal(written(tmp_path / "My cells.csv", cells()))
    assert (spec.id, spec.protocol) == ("my-cells-normal-0-v1", "one-vs-rest")
    data = protocols.load_data(spec)
    (fold,) = protocols.folds(spec, data)
    assert (fold.index, len(fold.train), len(fold.validation)) == (0, 22, 2)
    assert protocols.labels(fold, data.test.classes[fold.test]).sum() == 10
    assert len(fold.test) == 10 + 6


def test_a_normal_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", cells())
    with pytest.raises(DataError, match="has no class 'good' to be the normal one, only 0, 1"):
        protocols.load_data(load_benchmark(str(path), normal="good"))
    shipped = load_benchmark("digits-occ").model_copy(update={"normal": "ten"})
    with pytest.raises(ConfigError, match="unknown class 'ten'"):
        protocols.folds(shipped, protocols.load_data(shipped))
    with pytest.raises(ConfigError, match="--label and --normal are for data at a path"):
        load_benchmark("digits-occ", normal="3")


def test_normals_that_equal_an_anomaly_are_not_trained_on() -> None:
    X = np.arange(40.0)[:, None]
    X[20:23] = X[:3]
    parts = splits.divided("x", (X, ["good"] * 20 + ["bad"] * 20), "good")
    known = set(parts.train[0].ravel().tolist())
    assert not known & set(parts.test[0].ravel().tolist())
    assert parts.test[1].count("bad") == 20


# Scaling


def test_only_the_training_samples_of_a_fold_scale_it(tmp_path: Path) -> None:
    spec = load_benchmark(str(written(tmp_path / "x.csv", cells())))
    data = protocols.load_data(spec)
    for fold in protocols.folds(spec, data):
        samples = protocols.FoldSamples(data, fold)
        train = data.train.X[fold.train]
        assert samples.scaling is not None and samples.scaling.columns == ("size", "share")
        np.testing.assert_array_equal(samples.scaling.low, train.min(axis=0))
        np.testing.assert_array_equal(samples.scaling.high, train.max(axis=0))
        for X in (samples.train, samples.validation, samples.test, samples.labelled):
            assert X.dtype == np.float32
        assert samples.train.min(axis=0).tolist() == [-1, -1]
        assert samples.train.max(axis=0).tolist() == [1, 1]
        # The other class is 5000 away in units of about 1000: it stays so far, unclipped.
        far = samples.test[protocols.labels(fold, data.test.classes[fold.test]) == 1, 0]
        assert abs(far).min() > 5


def test_labelled_anomalies_are_scaled_as_the_normals_are(tmp_path: Path) -> None:
    table = load_benchmark(str(written(tmp_path / "x.csv", cells()))).model_dump()
    spec = BenchmarkSpec.model_validate(table | {"protocol": "semi-supervised", "labelled": 3})
    data = protocols.load_data(spec)
    samples = protocols.FoldSamples(data, protocols.folds(spec, data)[1])
    assert samples.labelled.shape == (3, 2) and (samples.labelled[:, 0] > 5).all()
    assert samples.train.max() == 1


def test_samples_in_the_range_already_are_left_alone() -> None:
    spec = load_benchmark("digits-loo")
    data = protocols.load_data(spec)
    fold = protocols.folds(spec, data)[0]
    samples = protocols.FoldSamples(data, fold)
    assert samples.scaling is None
    np.testing.assert_array_equal(samples.test, data.test.X[fold.test])
    assert Scaling.of(np.zeros((3, 2), np.float32), np.arange(3)) is None
    X = np.zeros((3, 2), np.float32)
    assert scaled(None, X) is X


def test_a_constant_column_keeps_its_unit() -> None:
    X = np.array([[0.1 + 0.2, 0.0], [0.3, 1.0]])
    scaling = Scaling.of(X, np.arange(2))
    assert scaling is not None
    np.testing.assert_allclose(
        scaling(np.array([[0.3, 0.5], [2.3, 1.5]])), [[0, 0], [2, 2]], atol=1e-6
    )


@pytest.mark.parametrize("rule", ["nested", "proxy", "oracle"])
def test_a_trial_is_scaled_by_what_it_trains_on(rule: str) -> None:
    spec = load_benchmark("wine-loo")
    (study, *_) = selection.studies(rule, spec, protocols.load_data(spec), inner=1)
    data = pickle.loads(pickle.dumps(study.data))
    (task, *_) = data.tasks
    X = selection.training_samples(task, data.pool)
    assert X.dtype == np.float32 and (X.min(axis=0) == -1).all() and (X.max(axis=0) == 1).all()
    seen = []
    selection.values(task, lambda X: seen.append(X) or {"score": abs(X).max(axis=1)}, data.pool)
    assert all(X.dtype == np.float32 for X in seen)
    # The judged rows are others, in the same units: some lie beyond the training rows' range.
    assert 0.9 < abs(seen[0]).max() < 10
    assert rule == "proxy" or abs(seen[0]).max() > 1


# Tables with names


def test_shipped_tables_are_whole() -> None:
    spec = load_benchmark("breast-cancer")
    data = protocols.load_data(spec)
    (fold,) = protocols.folds(spec, data)
    assert data.class_names == ("benign", "malignant")
    assert (len(data.train.X), len(data.test.X), len(data.columns)) == (286, 283, 30)
    assert data.columns[0] == "mean radius"
    assert protocols.labels(fold, data.test.classes[fold.test]).sum() == 212
    wine = protocols.load_data(load_benchmark("wine-loo"))
    assert (len(wine.train.X), len(wine.test.X), len(wine.columns)) == (142, 36, 13)


def payments(n: int = 60, frauds: int = 12) -> pd.DataFrame:
    """A table of the form of the credit-card frauds."""
    draw = np.random.default_rng(0)
    names = [f"V{i}" for i in range(1, 29)]
    frame = pd.DataFrame(draw.normal(size=(n, 28)), columns=names)
    frame.insert(0, "Time", np.arange(n))
    return frame.assign(Amount=draw.uniform(1, 100, n), Class=np.arange(n) < frauds).astype(
        {"Class": int}
    )


def test_frauds_are_tested_beside_as_many_genuine_payments(tmp_path: Path) -> None:
    written(tmp_path / "creditcard.csv", payments())
    spec = load_benchmark("credit-card-fraud")
    protocols.check_files(spec, root=tmp_path)
    data = protocols.load_data(spec, root=tmp_path)
    (fold,) = protocols.folds(spec, data)
    labels = protocols.labels(fold, data.test.classes[fold.test])
    assert np.bincount(labels).tolist() == [12, 12]
    assert len(fold.train) + len(fold.validation) == 60 - 24
    assert data.columns == ("Time", *(f"V{i}" for i in range(1, 29)), "Amount")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "is missing: no creditcard.csv in .*fetch it from https://"),
        (payments().rename(columns={"V7": "W7"}), "must have the columns .* differs in V7, W7"),
        (payments().assign(Class=2), "must have the classes 0 and 1, got '2'"),
        (payments(30, 15), "class 'genuine' of .* has 15 samples; at least 17"),
    ],
)
def test_another_form_of_the_frauds_is_refused(
    tmp_path: Path, frame: pd.DataFrame | None, message: str
) -> None:
    if frame is not None:
        written(tmp_path / "creditcard.csv", frame)
    with pytest.raises(OmasganError, match=message):
        protocols.load_data(load_benchmark("credit-card-fraud"), root=tmp_path)


def test_the_example_in_the_documentation_is_as_large_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs/own-data.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "own-data.md", "exec"), {})
    spec = load_benchmark("health.csv", label="health", normal="other")
    (fold,) = protocols.folds(spec, protocols.load_data(spec))
    assert "20,190 rows" in page and "13,531 rows train, and 4,853 normal ones" in page
    assert (len(fold.train), len(fold.test)) == (13531, 4853 + 302)


# The hash of a benchmark


def test_data_that_changed_are_not_those_of_the_benchmark(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", cells())
    spec = load_benchmark(str(path))
    known = spec.model_copy(update={"sha256": protocols.load_data(spec).sha256})
    assert protocols.load_data(known).sha256 == known.sha256
    assert known.identity() == spec.identity()
    written(path, cells(44))
    with pytest.raises(DataError, match="the data of 'x-loo' have changed: their SHA-256 is"):
        protocols.load_data(known)


def test_a_table_needs_its_keys_in_the_right_place() -> None:
    table = {"name": "x", "version": 1, "dataset": "./x.csv", "protocol": "leave-one-out"}
    with pytest.raises(ValueError, match="normal must be given with protocol 'one-vs-rest' only"):
        BenchmarkSpec.model_validate(table | {"normal": "0"})
    with pytest.raises(ValueError, match="label must be given with a table as dataset only"):
        BenchmarkSpec.model_validate(table | {"dataset": "digits", "label": "y"})
