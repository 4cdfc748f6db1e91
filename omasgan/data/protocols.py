"""Protocols turn a data set into folds: index sets only, the same for every detector and run.

The train split is divided once, class by class, into train and validation by the benchmark's
``split_seed``; a fold takes the parts of its normal classes. Rows are sorted. ``FoldSamples`` are
the samples of a fold as a detector takes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.config import BenchmarkSpec, is_data_path
from omasgan.data import datasets, shifts
from omasgan.data.datasets import Dataset
from omasgan.data.scaling import Scaling, scaled
from omasgan.errors import ConfigError, DataError, unknown

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fold:
    """One split of a data set into normal and anomalous classes.

    ``train`` and ``validation`` are rows of ``dataset.train`` and hold normal classes only;
    ``test`` are rows of ``dataset.test`` with both. ``labelled`` are rows of ``dataset.train`` of
    the anomalous class that detectors are shown as such, none but under semi-supervised. ``index``
    is the fold's name in commands and results: the anomalous class (leave-one-out and
    semi-supervised), the normal class (one-vs-rest) or 0.
    """

    index: int
    train: Rows
    validation: Rows
    test: Rows
    normal_classes: tuple[int, ...]
    anomalous_classes: tuple[int, ...]
    labelled: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))


class FoldSamples:
    """The samples of a fold as a detector takes them: those of a table in [-1, 1], scaled by the
    fold's training samples alone. They are copied whenever they are asked for.

    ``scaling`` is None where samples are in [-1, 1] already.
    """

    def __init__(self, dataset: Dataset, fold: Fold) -> None:
        self._dataset, self._fold = dataset, fold
        self.scaling = Scaling.of(dataset.train.X, fold.train, dataset.columns)

    @property
    def train(self) -> NDArray[Any]:
        """The normal samples to train on."""
        return scaled(self.scaling, self._dataset.train.X[self._fold.train])

    @property
    def labelled(self) -> NDArray[Any]:
        """The anomalies that detectors are shown as such."""
        return scaled(self.scaling, self._dataset.train.X[self._fold.labelled])

    @property
    def validation(self) -> NDArray[Any]:
        """The normal samples that are held out."""
        return scaled(self.scaling, self._dataset.train.X[self._fold.validation])

    @property
    def test(self) -> NDArray[Any]:
        """The test samples, normal and anomalous."""
        return scaled(self.scaling, self._dataset.test.X[self._fold.test])


def load_data(spec: BenchmarkSpec, *, root: Path | None = None, download: bool = False) -> Dataset:
    """Load the data of a benchmark; for out-of-dataset both data sets, joined, or one with the
    anomalies that are made from it.

    Raises:
        ConfigError, DataError: see ``datasets.load`` and ``datasets.join``.
        DataError: the data are not those whose ``sha256`` the benchmark names.
    """
    dataset = _load_data(spec, root, download)
    if spec.sha256 not in (None, dataset.sha256):
        raise DataError(
            f"the data of '{spec.name}' have changed: their SHA-256 is {dataset.sha256}, not the "
            f"{spec.sha256} of the benchmark; give changed data a new version and hash"
        )
    return dataset


def _load_data(spec: BenchmarkSpec, root: Path | None, download: bool) -> Dataset:
    def load(name: str) -> Dataset:
        keys = {"label": spec.label, "normal": spec.normal}
        return datasets.load(name, root=root, download=download, **keys)

    normal = load(spec.dataset)
    if spec.anomalies is None:
        return normal
    if spec.anomalies in shifts.SETS:
        return datasets.join_shifts(normal, spec.anomalies)
    return datasets.join(normal, load(spec.anomalies))


def check_files(spec: BenchmarkSpec, *, root: Path | None = None) -> None:
    """See that all files of a benchmark are there, before any of them is read.

    Raises:
        ConfigError: there is no such data set.
        DataError: a file is missing.
    """
    datasets.check_files(spec.dataset, root=root)
    if spec.anomalies is not None and spec.anomalies not in shifts.SETS:
        if not is_data_path(spec.anomalies) and spec.anomalies not in datasets.names():
            raise unknown("anomalies", spec.anomalies, [*datasets.names(), *shifts.SETS])
        datasets.check_files(spec.anomalies, root=root)


def folds(spec: BenchmarkSpec, dataset: Dataset) -> list[Fold]:
    """Return all folds of a benchmark, in the order of their indices.

    A class without training samples is never normal. A class that leaves a fold without normal
    samples to train on, or without both kinds of test samples, gives no fold. ``dataset`` is
    what ``load_data`` returned.

    Raises:
        ConfigError: no fold is left, there is no such normal class, a cap is too small for the
            number of classes, or there are too few anomalies to label.
    """
    if spec.normal is not None and spec.normal not in dataset.class_names:
        raise unknown("class", spec.normal, dataset.class_names)
    in_train = set(np.unique(dataset.train.classes).tolist())
    in_test = set(np.unique(dataset.test.classes).tolist())
    train, test = (
        _orders(split.classes, in_train | in_test, spec.split_seed)
        for split in (dataset.train, dataset.test)
    )
    orders = _Orders(train, test)
    chosen = []
    for index, normal in _normal_classes(spec, dataset, in_train, in_test):
        anomalous = in_test - normal
        if not (normal & in_train and normal & in_test and anomalous):
            continue
        chosen.append(_fold(spec, orders, index, sorted(normal & in_train), sorted(anomalous)))
        if len(chosen) == spec.max_folds:
            break
    if not chosen:
        raise ConfigError(
            f"benchmark '{spec.id}' has no fold: '{dataset.name}' has too few classes; there must "
            "be normal samples to train on, and both kinds to test"
        )
    return chosen


def choose(all_folds: Sequence[Fold], indices: Iterable[int] | None) -> list[Fold]:
    """Return the folds with these indices (all with None), in the order of ``all_folds``.

    Raises:
        ConfigError: there is no such fold.
    """
    if indices is None:
        return list(all_folds)
    wanted, valid = set(indices), [fold.index for fold in all_folds]
    for index in sorted(wanted - set(valid)):
        raise ConfigError(f"no fold {index}; the benchmark has the folds {valid}")
    return [fold for fold in all_folds if fold.index in wanted]


def labels(fold: Fold, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return 0 (normal) or 1 (anomaly) for each of ``classes``, int64 of the same shape."""
    return np.isin(classes, fold.anomalous_classes).astype(np.int64)


def _normal_classes(
    spec: BenchmarkSpec, dataset: Dataset, in_train: set[int], in_test: set[int]
) -> list[tuple[int, set[int]]]:
    """Return pairs of fold index and normal classes."""
    classes = sorted(in_train | in_test)
    if spec.normal is not None:
        classes = [dataset.class_names.index(spec.normal)]
    if spec.protocol in ("leave-one-out", "semi-supervised"):
        return [(c, set(classes) - {c}) for c in classes]
    if spec.protocol == "one-vs-rest":
        return [(c, {c}) for c in classes]
    return [(0, in_train)]


@dataclass(frozen=True)
class _Orders:
    """The rows of each class in seeded order."""

    train: Mapping[int, Rows]
    test: Mapping[int, Rows]


def _fold(
    spec: BenchmarkSpec, orders: _Orders, index: int, normal: list[int], anomalous: list[int]
) -> Fold:
    known = _capped(orders.train, normal, spec.max_train)
    parts = [_divide(rows, spec.validation_fraction) for rows in known]
    test = _capped(orders.test, [*normal, *anomalous], spec.max_test)
    return Fold(
        index,
        train=_frozen([train for train, _ in parts]),
        validation=_frozen([validation for _, validation in parts]),
        test=_frozen(test),
        normal_classes=tuple(normal),
        anomalous_classes=tuple(anomalous),
        labelled=_labelled(spec, orders, anomalous),
    )


def _labelled(spec: BenchmarkSpec, orders: _Orders, anomalous: list[int]) -> Rows:
    """Return the anomalies that detectors are shown; fewer are the first of more."""
    wanted = spec.labelled or 0
    if not wanted:
        return _frozen([])
    rows = np.concatenate([orders.train[c] for c in anomalous])
    if len(rows) < wanted:
        raise ConfigError(
            f"labelled must be at most the {len(rows)} training samples of the anomalous class, "
            f"got {wanted}"
        )
    return _frozen([rows[:wanted]])


def _capped(orders: Mapping[int, Rows], wanted: list[int], cap: int | None) -> list[Rows]:
    """Return the rows of each wanted class, together at most ``cap``, in proportion."""
    rows = [orders[c] for c in wanted]
    if cap is None:
        return rows
    sizes = _proportional([len(r) for r in rows], cap)
    return [r[:size] for r, size in zip(rows, sizes, strict=True)]


def _orders(classes: NDArray[np.int64], wanted: Iterable[int], seed: int) -> dict[int, Rows]:
    """Return the rows of each wanted class, shuffled; those of one are independent of the other
    classes and thus of the fold.
    """
    # RandomState: its stream is frozen by numpy for good, that of Generator is not.
    return {
        c: np.random.RandomState([seed, c]).permutation(np.flatnonzero(classes == c))
        for c in wanted
    }


def _proportional(sizes: list[int], cap: int) -> list[int]:
    """Divide ``cap`` into shares by largest remainder, at least one each.

    >>> _proportional([60, 30, 10], 10)
    [6, 3, 1]
    """
    total = sum(sizes)
    if cap >= total:
        return sizes
    if cap < len(sizes):
        raise ConfigError(f"a sample cap must be at least the {len(sizes)} classes, got {cap}")
    exact = [cap * size / total for size in sizes]
    shares = [max(1, math.floor(x)) for x in exact]
    while sum(shares) < cap:
        neediest = max(range(len(sizes)), key=lambda i: exact[i] - shares[i])
        shares[neediest] += 1
    while sum(shares) > cap:
        shares[shares.index(max(shares))] -= 1
    return shares


def _divide(rows: Rows, fraction: float) -> tuple[Rows, Rows]:
    """Divide the rows of one class into train and validation; a single sample goes to train."""
    n = min(max(1, round(fraction * len(rows))), len(rows) - 1)
    return rows[n:], rows[:n]


def _frozen(parts: list[Rows]) -> Rows:
    rows = np.sort(np.concatenate([np.empty(0, np.int64), *parts])).astype(np.int64)
    rows.flags.writeable = False
    return rows
