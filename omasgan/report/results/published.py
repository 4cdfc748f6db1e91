"""What the literature prints, beside what a store holds: never across data sets, protocols or
metrics, and with a word on how far each number can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from omasgan.data.published import Number, numbers_of
from omasgan.report.results import tables
from omasgan.report.results.inputs import Benchmark

OURS = "this folder: "
"""What the source of our own number begins with; the entry follows."""


def means(frame: pd.DataFrame, benchmark: Benchmark, numbers: Sequence[Number]) -> pd.DataFrame:
    """Means over the folds: each published detector's lines, below our own entries of it.

    ``published`` is the printed value and ``ours`` an entry's mean; a line has one of them. Our
    ``source`` names the entry, and ``trust`` says so where it does not hold all folds.
    """
    lines: list[dict[str, Any]] = []
    for printed in _by(
        lambda n: (n.name, n.metric), numbers_of(benchmark.about, numbers, folds=False)
    ):
        detector, metric = printed[0].detector, printed[0].metric
        ours = _ours(frame, benchmark, detector, metric)
        theirs = [
            {"published": n.value, "sd": n.sd, "source": n.source, "trust": n.trust}
            for n in printed
        ]
        lines += [{"detector": printed[0].name, **line} for line in (*ours, *theirs)]
    columns = ["detector", "published", "sd", "ours", "source", "trust"]
    return pd.DataFrame(lines, columns=columns).astype(dict.fromkeys(columns[1:4], float))


def by_fold(benchmark: Benchmark, numbers: Sequence[Number]) -> pd.DataFrame:
    """One line a detector and source that tells folds, one column a fold."""
    printed = numbers_of(benchmark.about, numbers, folds=True)
    columns = [f"fold {fold}" for fold in sorted({n.fold for n in printed if n.fold is not None})]
    lines = [
        {
            "detector": same[0].name,
            "source": same[0].source,
            **dict.fromkeys(columns, float("nan")),
            **{f"fold {n.fold}": n.value for n in same},
            "trust": " / ".join(dict.fromkeys(n.trust for n in same)),
        }
        for same in _by(lambda n: (n.name, n.source), printed)
    ]
    return pd.DataFrame(lines)


def _by(key: Callable[[Number], tuple[str, str]], numbers: Sequence[Number]) -> list[list[Number]]:
    """Groups of one key, sorted by it."""
    return [list(group) for _, group in groupby(sorted(numbers, key=key), key)]


def _ours(
    frame: pd.DataFrame, benchmark: Benchmark, detector: str, metric: str
) -> list[dict[str, Any]]:
    """Our entries of a detector, best first."""
    found: list[dict[str, Any]] = []
    same = frame[frame["current"] & (frame["detector"] == detector)]
    for entry, group in same.groupby("entry", sort=False):
        told = tables.means(
            {str(k): v for k, v in row.items()} for row in group.to_dict("records")
        )
        folds = pd.Series([v for name, v in told.items() if name.startswith(f"{metric}/")])
        if folds.empty:
            continue
        held = "" if len(folds) == benchmark.n_folds else "holds {} of {} folds"
        found.append(
            {
                "ours": folds.mean(),
                "sd": folds.std(),
                "source": f"{OURS}{entry}",
                "trust": held.format(len(folds), benchmark.n_folds or "?"),
            }
        )
    return sorted(found, key=lambda line: -float(line["ours"]))
