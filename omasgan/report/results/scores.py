"""The details of a report: figures of single test scores and of sample pictures, for a bounded
number of entries, folds and seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from omasgan.report.page import formats
from omasgan.report.page.blocks import Details, Figure, slug
from omasgan.report.results import score_figures as draw
from omasgan.report.results import tables
from omasgan.report.results.ranking import METHOD
from omasgan.report.results.runs import SEPARATOR, current, ok
from omasgan.store.results import RunKey, Store

if TYPE_CHECKING:
    from omasgan.report.results.score_figures import Scored

MAX_ENTRIES = 6
"""Scores are drawn for so many entries with the best mean AUROC, and for the method's best."""
MAX_SEEDS = 3
"""Runs that are read of each fold."""
MAX_PICTURES = 3
"""Folds whose pictures an entry shows; the others remain in the folders of their runs."""


def drawn(frame: pd.DataFrame) -> list[str]:
    """The entries whose scores are drawn, best mean AUROC first."""
    entries = list(tables.by_fold(frame)["entry"])
    best = entries[:MAX_ENTRIES]
    method = [entry for entry in entries if entry.split(SEPARATOR)[0] == METHOD]
    return best if set(best) & set(method) else best + method[:1]


def note(frame: pd.DataFrame) -> str:
    """What the figures of scores leave out; empty if nothing."""
    entries, shown = current(frame)["entry"].nunique(), drawn(frame)
    most_seeds = ok(current(frame)).groupby(["entry", "fold"]).size().max()
    if entries <= len(shown) and not most_seeds > MAX_SEEDS:
        return ""
    return (
        f"Scores are drawn for {len(shown)} of {entries} entries (best mean AUROC, {METHOD} "
        f"always among them), for at most {MAX_SEEDS} seeds of a fold; the tables contain all "
        "runs."
    )


def details(store: Store, frame: pd.DataFrame) -> Iterator[Details]:
    """ROC curves, histograms and pictures of each entry that is drawn.

    Raises:
        StoreError: the scores or the pictures of a run cannot be read.
    """
    good = ok(current(frame)).sort_values(["fold", "seed"])
    for entry in drawn(frame):
        runs = good[good["entry"] == entry].groupby("fold").head(MAX_SEEDS)
        if not runs.empty:
            title = f"Scores of {entry}"
            yield Details(title, tuple(_figures(store, entry, runs.to_dict("records"))))


def _figures(store: Store, entry: str, rows: Sequence[Mapping[Any, Any]]) -> Iterator[Figure]:
    keys = [RunKey.of({str(k): v for k, v in row.items()}) for row in rows]
    curves: dict[str, list[Scored]] = {}
    for key in keys:
        scores = store.scores(key)
        scored = scores["label"].to_numpy(), scores["score"].to_numpy()
        curves.setdefault(f"fold {key.fold}", []).append(scored)
    prefix, rule = slug(rows[0]["benchmark"], entry), f"Rule {rows[0]['selection']}"
    yield Figure(
        slug(prefix, "roc"),
        f"ROC by fold: {entry}",
        f"{rule}; mean over seeds {formats.distinct(key.seed for key in keys)}.",
        _range([(row["auroc"], f"fold {row['fold']}") for row in rows], "AUROC of a run"),
        partial(draw.roc, curves),
    )
    first = {fold: scored[0] for fold, scored in curves.items()}
    yield Figure(
        slug(prefix, "histogram"),
        f"Test scores by fold: {entry}",
        f"{rule}; the first seed of each fold; n: normal + anomalous test samples.",
        f"Histograms of normal and anomalous scores on {len(first)} folds.",
        partial(draw.histogram, first),
    )
    for run, arrays in _pictures(store, keys).items():
        names = ", ".join(name for name, array in arrays.items() if draw.is_images(array))
        yield Figure(
            slug(prefix, run),
            f"Samples: {entry}, {run}",
            f"{rule}; rows: {names}.",
            f"Rows of images: {names}.",
            partial(draw.samples, arrays),
        )


def _pictures(store: Store, keys: Sequence[RunKey]) -> dict[str, Mapping[str, Any]]:
    """The pictures of the first run with images on each fold, by the run's fold and seed."""
    pictures: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for key in keys:
        if key.fold not in pictures and len(pictures) < MAX_PICTURES:
            arrays = store.pictures(key)
            if any(draw.is_images(array) for array in arrays.values()):
                pictures[key.fold] = f"fold {key.fold}, seed {key.seed}", arrays
    return dict(pictures.values())


def _range(values: Sequence[tuple[float, str]], what: str) -> str:
    (low, worst), (high, best) = min(values), max(values)
    return f"{what}: from {low:.3f} ({worst}) to {high:.3f} ({best})."
