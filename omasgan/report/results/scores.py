"""Figures of single test scores and of sample pictures, entry by entry; bounded in number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from omasgan.report.page import formats
from omasgan.report.page.blocks import Details, Figure, slug
from omasgan.report.results import figures as draw
from omasgan.report.results import tables
from omasgan.report.results.ranking import METHOD
from omasgan.store.results import RunKey, Store

if TYPE_CHECKING:
    from omasgan.report.results.figures import Scored

ENTRIES = 6
"""Of so many entries the scores are drawn: those with the best mean AUROC, the method's best."""
SEEDS = 3
"""Of a fold, so many runs at most are read."""
PICTURES = 3
"""Of how many folds an entry shows its pictures; the others lie beside their runs."""


def drawn(frame: pd.DataFrame) -> list[str]:
    """The entries whose scores are drawn, best mean AUROC first."""
    means = tables.by_fold(frame)
    best = list(means["entry"][:ENTRIES])
    method = [entry for entry in means["entry"] if entry.split(" · ")[0] == METHOD]
    return best if set(best) & set(method) else best + method[:1]


def note(frame: pd.DataFrame) -> str:
    """What the figures of scores leave out; empty if nothing."""
    entries, shown = frame[frame["current"]]["entry"].nunique(), drawn(frame)
    most = frame[_good(frame)].groupby(["entry", "fold"]).size().max()
    if entries <= len(shown) and not most > SEEDS:
        return ""
    return (
        f"Scores are drawn of {len(shown)} of {entries} entries (best mean AUROC, {METHOD} always "
        f"among them), of at most {SEEDS} seeds a fold; the tables hold all runs."
    )


def details(store: Store, frame: pd.DataFrame) -> Iterator[Details]:
    """For each entry that is drawn: ROC curves, histograms and pictures.

    Raises:
        StoreError: the scores or the pictures of a run cannot be read.
    """
    good = frame[_good(frame)].sort_values(["fold", "seed"])
    for entry in drawn(frame):
        runs = good[good["entry"] == entry].groupby("fold").head(SEEDS)
        if not runs.empty:
            title = f"Scores of {entry}"
            yield Details(title, tuple(_figures(store, entry, runs.to_dict("records"))))


def _figures(store: Store, entry: str, rows: Sequence[Mapping[Any, Any]]) -> Iterator[Figure]:
    curves: dict[str, list[Scored]] = {}
    pictures: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for row in rows:
        key = RunKey.of({str(k): v for k, v in row.items()})
        scores = store.scores(key)
        scored = scores["label"].to_numpy(), scores["score"].to_numpy()
        curves.setdefault(f"fold {row['fold']}", []).append(scored)
        if row["fold"] not in pictures and len(pictures) < PICTURES:
            kept = store.pictures(key)
            if any(draw.is_images(array) for array in kept.values()):
                pictures[row["fold"]] = f"fold {row['fold']}, seed {row['seed']}", kept
    start, rule = slug(rows[0]["benchmark"], entry), f"Rule {rows[0]['selection']}"
    yield Figure(
        slug(start, "roc"),
        f"ROC by fold: {entry}",
        f"{rule}; mean over seeds {formats.distinct(row['seed'] for row in rows)}.",
        _range([(row["auroc"], f"fold {row['fold']}") for row in rows], "AUROC of a run"),
        partial(draw.roc, curves, ""),
    )
    first = {fold: scored[0] for fold, scored in curves.items()}
    yield Figure(
        slug(start, "histogram"),
        f"Test scores by fold: {entry}",
        f"{rule}; the first seed of each fold; n: normal + anomalous test samples.",
        f"Histograms of normal and anomalous scores on {len(first)} folds.",
        partial(draw.histogram, first, ""),
    )
    for place, arrays in pictures.values():
        names = ", ".join(name for name, array in arrays.items() if draw.is_images(array))
        yield Figure(
            slug(start, place),
            f"Samples: {entry}, {place}",
            f"{rule}; rows: {names}.",
            f"Rows of images: {names}.",
            partial(draw.samples, arrays, ""),
        )


def _range(values: Sequence[tuple[float, str]], what: str) -> str:
    (low, worst), (high, best) = min(values), max(values)
    return f"{what}: from {low:.3f} ({worst}) to {high:.3f} ({best})."


def _good(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["current"] & (frame["outcome"] == "ok")
