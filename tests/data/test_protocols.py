"""Folds: what must hold for every benchmark, data set and cap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.config import BenchmarkSpec, benchmark_names, load_benchmark
from omasgan.data import protocols
from omasgan.data.datasets import Dataset, Split
from omasgan.errors import ConfigError


def dataset(train: list[int], test: list[int]) -> Dataset:
    """A data set of these classes; sample i of a split is the number i."""
    splits = []
    for classes in (train, test):
        X = np.arange(len(classes), dtype=np.float32)[:, None]
        splits.append(Split(X, np.array(classes, dtype=np.int64)))
    n_classes = max([*train, *test]) + 1
    return Dataset("toy", splits[0], splits[1], tuple(map(str, range(n_classes))), "0")


def spec(protocol: str = "leave-one-out", **fields: object) -> BenchmarkSpec:
    anomalies = "kmnist" if protocol == "out-of-dataset" else None
    return BenchmarkSpec(
        name="toy", version=1, protocol=protocol, dataset="mnist", anomalies=anomalies, **fields
    )


@st.composite
def benchmarks(draw: st.DrawFn) -> tuple[BenchmarkSpec, Dataset]:
    protocol = draw(st.sampled_from(["leave-one-out", "one-vs-rest", "out-of-dataset"]))
    n = draw(st.integers(2, 5))
    counts = st.lists(st.integers(1, 30), min_size=n, max_size=n)
    train, test = (
        draw(st.permutations([c for c, k in enumerate(draw(counts)) for _ in range(k)]))
        for _ in range(2)
    )
    if protocol == "out-of-dataset":
        test = [*test, *(draw(st.lists(st.integers(n, n + 2), min_size=1, max_size=9)))]
    caps = st.none() | st.integers(n + 3, 60)
    chosen = spec(
        protocol,
        split_seed=draw(st.integers(0, 9)),
        validation_fraction=draw(st.sampled_from([0.1, 0.3, 0.9])),
        max_train=draw(caps),
        max_test=draw(caps),
    )
    return chosen, dataset(list(train), list(test))


@given(benchmarks())
def test_train_and_validation_are_normal_and_disjoint(case) -> None:
    chosen, data = case
    for fold in protocols.folds(chosen, data):
        assert not set(fold.train) & set(fold.validation)
        for rows in (fold.train, fold.validation):
            assert set(data.train.classes[rows]) <= set(fold.normal_classes)
            assert np.all(np.diff(rows) > 0)
        assert not set(fold.normal_classes) & set(fold.anomalous_classes)
        assert set(data.train.classes[fold.train]) == set(fold.normal_classes)


@given(benchmarks())
def test_without_caps_nothing_is_left_out(case) -> None:
    chosen, data = case
    whole = chosen.model_copy(update={"max_train": None, "max_test": None})
    for fold in protocols.folds(whole, data):
        assert fold.test.tolist() == list(range(len(data.test.X)))
        normal = np.flatnonzero(np.isin(data.train.classes, fold.normal_classes))
        assert sorted([*fold.train, *fold.validation]) == normal.tolist()


@given(benchmarks())
def test_caps_hold_and_keep_every_class(case) -> None:
    chosen, data = case
    for fold in protocols.folds(chosen, data):
        if chosen.max_train is not None:
            assert len(fold.train) + len(fold.validation) <= chosen.max_train
        if chosen.max_test is not None:
            assert len(fold.test) <= chosen.max_test
        assert set(data.test.classes[fold.test]) == set(data.test.classes)


@given(benchmarks())
def test_same_seed_same_folds(case) -> None:
    chosen, data = case
    other_runs = chosen.model_copy(update={"seeds": (7,), "description": "other"})
    for a, b in zip(protocols.folds(chosen, data), protocols.folds(other_runs, data), strict=True):
        assert np.array_equal(a.train, b.train)
        assert np.array_equal(a.validation, b.validation)
        assert np.array_equal(a.test, b.test)


@given(benchmarks())
def test_labels_are_the_anomalous_classes(case) -> None:
    chosen, data = case
    for fold in protocols.folds(chosen, data):
        classes = data.test.classes[fold.test]
        labels = protocols.labels(fold, classes)
        assert set(labels) == {0, 1}
        assert set(classes[labels == 1]) == set(fold.anomalous_classes)


@given(benchmarks())
def test_without_labels_no_anomaly_is_shown(case) -> None:
    assert not any(len(fold.labelled) for fold in protocols.folds(*case))


def test_labelled_anomalies_are_of_the_train_split_and_the_rest_is_leave_one_out() -> None:
    data = dataset([0, 1, 2] * 10, [0, 1, 2])
    out = protocols.folds(spec("leave-one-out"), data)
    for n in (0, 1, 5):
        for fold, same in zip(
            protocols.folds(spec("semi-supervised", labelled=n), data), out, strict=True
        ):
            assert len(set(fold.labelled)) == n
            assert set(data.train.classes[fold.labelled]) <= set(fold.anomalous_classes)
            for rows in ("train", "validation", "test"):
                assert np.array_equal(getattr(fold, rows), getattr(same, rows))


def test_few_labelled_anomalies_are_among_more() -> None:
    data = dataset([0, 1, 2] * 10, [0, 1, 2])
    few, more = (protocols.folds(spec("semi-supervised", labelled=n), data) for n in (2, 6))
    for a, b in zip(few, more, strict=True):
        assert set(a.labelled) < set(b.labelled)


def test_more_labelled_anomalies_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"at most the 10 .* got 11"):
        protocols.folds(spec("semi-supervised", labelled=11), dataset([0, 1] * 10, [0, 1]))


def test_leave_one_out_and_one_vs_rest_mirror_each_other() -> None:
    data = dataset([0, 1, 2] * 10, [0, 1, 2])
    out = protocols.folds(spec("leave-one-out"), data)
    rest = protocols.folds(spec("one-vs-rest"), data)
    assert [f.anomalous_classes for f in out] == [(0,), (1,), (2,)]
    assert [f.normal_classes for f in rest] == [(0,), (1,), (2,)]
    assert [f.normal_classes for f in out] == [f.anomalous_classes for f in rest]


def test_out_of_dataset_is_one_fold() -> None:
    (fold,) = protocols.folds(spec("out-of-dataset"), dataset([0, 1] * 10, [0, 1, 2, 3]))
    assert (fold.index, fold.normal_classes, fold.anomalous_classes) == (0, (0, 1), (2, 3))


def test_another_split_seed_gives_other_folds() -> None:
    data = dataset([0, 1] * 50, [0, 1])
    a, b = (protocols.folds(spec(split_seed=s), data)[0].validation for s in (0, 1))
    assert not np.array_equal(a, b)


def test_a_larger_cap_only_adds_samples() -> None:
    data = dataset([0, 1, 2] * 30, [0, 1, 2] * 30)
    small, large = (protocols.folds(spec(max_test=n), data)[0].test for n in (30, 60))
    assert set(small) < set(large)


def test_class_without_training_samples_gives_no_fold() -> None:
    data = dataset([0] * 10, [0, 1])
    assert [f.index for f in protocols.folds(spec("one-vs-rest"), data)] == [0]
    assert [f.index for f in protocols.folds(spec("leave-one-out"), data)] == [1]


def test_max_folds_takes_the_first() -> None:
    data = dataset([0, 1, 2] * 10, [0, 1, 2])
    assert [f.index for f in protocols.folds(spec(max_folds=2), data)] == [0, 1]


def test_rows_are_read_only() -> None:
    fold = protocols.folds(spec(), dataset([0, 1] * 10, [0, 1]))[0]
    with pytest.raises(ValueError, match="read-only"):
        fold.train[0] = 1


def test_no_fold_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'toy-v1' has no fold"):
        protocols.folds(spec(), dataset([0, 0], [0]))


def test_cap_below_the_number_of_classes_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least the 3 classes, got 2"):
        protocols.folds(spec(max_test=2), dataset([0, 1, 2] * 10, [0, 1, 2] * 10))


def test_choose() -> None:
    folds = protocols.folds(spec(), dataset([0, 1, 2] * 10, [0, 1, 2]))
    assert [f.index for f in protocols.choose(folds, [2, 0])] == [0, 2]
    assert protocols.choose(folds, None) == folds
    with pytest.raises(ConfigError, match=r"no fold 7; the benchmark has the folds \[0, 1, 2\]"):
        protocols.choose(folds, [0, 7])


@pytest.mark.parametrize(
    "name", [n for n in benchmark_names() if n.startswith("digits") or n.endswith("-2d")]
)
def test_shipped_benchmarks_without_download_have_folds(name: str) -> None:
    shipped = load_benchmark(name)
    folds = protocols.folds(shipped, protocols.load_data(shipped))
    assert len(folds) == (10 if name.startswith("digits") else 1)
