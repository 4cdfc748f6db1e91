"""Means of runs: over a fold's seeds first, and then over the folds.

``sd`` is the sample standard deviation of the folds' means, ``worst`` the lowest of them. Runs
that did not end ``ok`` have no metrics: they are counted, never averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from omasgan.report.results.runs import METRICS, current, ok


def fold_means(frame: pd.DataFrame, column: str) -> pd.Series[float]:
    """By fold, the mean of ``column`` over its seeds; folds without a value are left out."""
    return frame[column].groupby(frame["fold"]).mean().dropna()


def by_entry(frame: pd.DataFrame) -> dict[str, list[float]]:
    """By entry, the AUROC of each fold, folds in order; entries without any are left out."""
    means = {
        str(entry): fold_means(ok(group), "auroc").tolist()
        for entry, group in current(frame).groupby("entry", sort=False)
    }
    return {entry: values for entry, values in means.items() if values}


def spread(means: pd.Series[float], name: str = "auroc") -> dict[str, float]:
    """The mean of ``fold_means``, called ``name``, with ``sd``, ``worst`` and ``worst fold``."""
    empty = means.empty
    return {
        name: means.mean(),
        "sd": means.std(),
        "worst": float("nan") if empty else means.min(),
        "worst fold": float("nan") if empty else float(means.index[int(means.argmin())]),
    }


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The metrics of one entry's result rows: each fold's mean, and the mean over folds.

    Keys are ``auroc``, ``auroc.<stage>``, ..., ``auroc_sd``, ``auroc_worst_fold`` and
    ``auroc/fold-<k>``; there are none if no run ended ok.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    if frame.empty:
        return {}
    good = ok(frame)
    metrics: dict[str, float] = {}
    for column in (name for name in good.columns if name.split(".")[0] in METRICS):
        folds = fold_means(good.assign(**{column: pd.to_numeric(good[column])}), column)
        if folds.empty:
            continue
        metrics[column] = float(folds.mean())
        metrics |= {f"{column}/fold-{fold}": float(value) for fold, value in folds.items()}
        if column == "auroc":
            metrics["auroc_worst_fold"] = float(folds.min())
            if len(folds) > 1:
                metrics["auroc_sd"] = float(folds.std())
    return metrics
