"""Train and test samples of data that come without such a split, and what a given split may hold.

Equal samples stay on one side, since a detector would know its test samples otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import DataError

Labelled: TypeAlias = tuple[NDArray[Any], list[str]]
"""Samples and the name of each one's class."""


@dataclass(frozen=True, eq=False)
class Divided:
    """Train and test samples, and the names of the columns of a table."""

    train: Labelled
    test: Labelled
    columns: tuple[str, ...] = ()


TEST_SHARE = 5
"""One sample of so many in each class is a test sample."""

MIN_SAMPLES = 3
"""Of a class: fewer cannot be divided into training, validation and test samples."""


def divided(
    where: str, samples: Labelled, normal: str | None = None, n_test: int | None = None
) -> Divided:
    """Divide samples into train and test, class by class, the same at every start.

    Args:
        where: the samples come from, for errors.
        samples: all of them.
        normal: the only class that is ever normal, if there is one. Nothing is trained on the
            others, so that all of their samples are test samples.
        n_test: test samples of a class that is divided; a fifth of them by default.

    Raises:
        DataError: there is no class ``normal``, or a class has too few samples.
    """
    X, classes = samples
    if normal is not None and normal not in classes:
        known = ", ".join(sorted(set(classes)))
        raise DataError(f"'{where}' has no class '{normal}' to be the normal one, only {known}")
    names = np.array(classes)
    is_test = np.zeros(len(X), dtype=bool) if normal is None else names != normal
    # RandomState: its stream is frozen by numpy for good, that of Generator is not.
    draw = np.random.RandomState(20210)
    for name in sorted(set(classes)) if normal is None else [normal]:
        rows = np.flatnonzero(names == name)
        _check_size(where, name, len(rows), MIN_SAMPLES if n_test is None else n_test + 2)
        n = n_test or max(1, round(len(rows) / TEST_SHARE))
        is_test[draw.permutation(rows)[:n]] = True
    same = _groups(X)
    # A group lies where its first sample lies, but in the test if one of it can't be trained on.
    is_test = is_test[same]
    if normal is not None:
        is_test |= np.isin(same, same[names != normal])
    train, test = ((X[rows], names[rows].tolist()) for rows in (~is_test, is_test))
    return Divided(train, test)


def check_leaks(where: str, train: NDArray[Any], test: NDArray[Any]) -> None:
    """Refuse test samples that are training samples as well: they would be known.

    Raises:
        DataError: there are some, or the samples differ in shape.
    """
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"'{where}' has training samples of shape {train.shape[1:]} and test samples of "
            f"{test.shape[1:]}; they must be the same"
        )
    known = {sample.tobytes() for sample in train}
    leaks = [row for row, sample in enumerate(test) if sample.tobytes() in known]
    if leaks:
        raise DataError(
            f"{len(leaks)} of {len(test)} test samples of '{where}' are training samples as well, "
            f"the first is {leaks[0]} (counted from 0); remove them from one of the two"
        )


def _check_size(where: str, name: str, n: int, needed: int) -> None:
    if n < needed:
        raise DataError(
            f"class '{name}' of '{where}' has {n} samples; at least {needed} are needed, to "
            "train, to validate and to test"
        )


def _groups(X: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each sample the row of the first one that equals it."""
    flat = np.ascontiguousarray(X).reshape(len(X), -1)
    _, first, group = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[group.reshape(-1)], dtype=np.int64)
