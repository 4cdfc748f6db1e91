"""Tables with names: two that scikit-learn ships, and the credit-card frauds in the user's CSV.

- ``breast-cancer``: 569 tumours, 30 measures of their cells' nuclei, benign or malignant.
- ``wine``: 178 wines of three cultivars, 13 chemical measures.
- ``credit-card-fraud``: 284,807 payments of two days in 2013, of which 492 are frauds (Dal Pozzolo
  et al. 2015): the time, the amount and 28 principal components. Its owners don't let others pass
  it on; ``creditcard.csv`` is to be put into the data root.

The frauds' test split is that of Choi, Jang, Alemi (2018): all frauds and as many normal payments,
chosen at random. Their other choices aren't taken over: ``Amount`` is not standardised first,
which changes nothing in columns that are scaled by minimum and maximum, and see ``scaling``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from omasgan.data import splits, tables
from omasgan.data.splits import Divided, Labelled
from omasgan.errors import DataError

SETS = ("breast-cancer", "credit-card-fraud", "wine")

FRAUDS = "creditcard.csv"
FRAUDS_LABEL = "Class"
FRAUDS_CLASSES = {"0": "genuine", "1": "fraud"}
FRAUDS_COLUMNS = ("Time", *(f"V{i}" for i in range(1, 29)), "Amount")
FRAUDS_URL = "https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud"


def read(name: str, root: Path, normal: str | None) -> Divided:
    """Read a table, divided into train and test; ``normal`` is the only class that is ever normal.

    Raises:
        DataError: a file is missing or of another form, or there is no such class.
    """
    if name == "credit-card-fraud":
        return _frauds(root, normal)
    columns, samples = _shipped(name)
    return replace(splits.divided(name, samples, normal), columns=columns)


def check(name: str, root: Path) -> None:
    """See that the file of a table, if it has one, is there and has its columns.

    Raises:
        DataError: it is missing or has others.
    """
    if name != "credit-card-fraud":
        return
    path = root / FRAUDS
    if not path.is_file():
        raise DataError(
            f"data set '{name}' is missing: no {FRAUDS} in {root}; fetch it from {FRAUDS_URL} and "
            "put it there (--data-root or OMASGAN_DATA names the folder)"
        )
    wanted, found = (*FRAUDS_COLUMNS, FRAUDS_LABEL), tables.columns(path)
    strange = sorted(set(wanted) ^ set(found))
    if strange or len(found) != len(wanted):
        raise DataError(
            f"'{path}' must have the columns Time, V1 to V28, Amount and {FRAUDS_LABEL}; it "
            f"differs in {', '.join(strange) or 'their number'}"
        )


def _shipped(name: str) -> tuple[tuple[str, ...], Labelled]:
    from sklearn.datasets import load_breast_cancer, load_wine

    bunch = load_breast_cancer() if name == "breast-cancer" else load_wine()
    classes = [str(bunch.target_names[c]) for c in bunch.target]
    return tuple(map(str, bunch.feature_names)), (bunch.data.astype(np.float64), classes)


def _frauds(root: Path, normal: str | None) -> Divided:
    check("credit-card-fraud", root)
    path = root / FRAUDS
    table, numbers = tables.read(path, FRAUDS_LABEL)
    strange = sorted(set(numbers) - FRAUDS_CLASSES.keys())
    if strange:
        raise DataError(f"'{path}' must have the classes 0 and 1, got {strange[0][:40]!r}")
    table = tables.reordered(path, table, FRAUDS_COLUMNS)
    classes = [FRAUDS_CLASSES[number] for number in numbers]
    n_test = classes.count("fraud") if normal == "genuine" else None
    divided = splits.divided(str(path), (table.X, classes), normal, n_test)
    return replace(divided, columns=table.columns)
