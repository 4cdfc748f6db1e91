"""The literature's numbers beside those of a store: never across data sets, protocols or metrics,
and with a note on how far each number can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from omasgan.data.published import Number, numbers_of
from omasgan.report.results import averages
from omasgan.report.results.inputs import Benchmark
from omasgan.report.results.runs import current

OURS = "this folder: "
"""The beginning of the source of our own numbers; the entry follows."""


def means(frame: pd.DataFrame, benchmark: Benchmark, numbers: Sequence[Number]) -> pd.DataFrame:
    """Means over the folds: each published detector's rows, below our own entries of it.

    ``published`` is the printed value and ``ours`` an entry's mean; a row has one of them. Our
    ``source`` names the entry, and ``trust`` says so where it does not have all folds.
    """
    rows: list[dict[str, Any]] = []
    of_means = numbers_of(benchmark.about, numbers, folds=False)
    for printed in _grouped(lambda n: (n.name, n.metric), of_means):
        first = printed[0]
        theirs = [
            {"published": n.value, "sd": n.sd, "source": n.source, "trust": n.trust}
            for n in printed
        ]
        ours = _ours(frame, benchmark, first.detector, first.metric)
        rows += [{"detector": first.name, **row} for row in (*ours, *theirs)]
    columns = ["detector", "published", "sd", "ours", "source", "trust"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:4], float))


def by_fold(benchmark: Benchmark, numbers: Sequence[Number]) -> pd.DataFrame:
    """One row for each detector and source that prints folds, one column for each fold."""
    printed = numbers_of(benchmark.about, numbers, folds=True)
    columns = [f"fold {fold}" for fold in sorted({n.fold for n in printed if n.fold is not None})]
    return pd.DataFrame(
        {
            "detector": same[0].name,
            "source": same[0].source,
            **dict.fromkeys(columns, float("nan")),
            **{f"fold {n.fold}": n.value for n in same},
            "trust": " / ".join(dict.fromkeys(n.trust for n in same)),
        }
        for same in _grouped(lambda n: (n.name, n.source), printed)
    )


def _grouped(
    key: Callable[[Number], tuple[str, str]], numbers: Sequence[Number]
) -> list[list[Number]]:
    """The numbers of each key, sorted by it."""
    return [list(group) for _, group in groupby(sorted(numbers, key=key), key)]


def _ours(
    frame: pd.DataFrame, benchmark: Benchmark, detector: str, metric: str
) -> list[dict[str, Any]]:
    """Our entries of a detector, best first."""
    rows: list[dict[str, Any]] = []
    shown = current(frame)
    for entry, group in shown[shown["detector"] == detector].groupby("entry", sort=False):
        metrics = averages.means(
            {str(k): v for k, v in row.items()} for row in group.to_dict("records")
        )
        folds = pd.Series([v for name, v in metrics.items() if name.startswith(f"{metric}/")])
        if folds.empty:
            continue
        all_folds = len(folds) == benchmark.n_folds
        rows.append(
            {
                "ours": folds.mean(),
                "sd": folds.std(),
                "source": f"{OURS}{entry}",
                "trust": "" if all_folds else f"{len(folds)} of {benchmark.n_folds or '?'} folds",
            }
        )
    return sorted(rows, key=lambda row: -float(row["ours"]))
