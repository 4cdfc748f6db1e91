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
from omasgan.training.extremes import rows as extreme_rows

if TYPE_CHECKING:
    from omasgan.report.results.score_figures import Scored

MAX_ENTRIES = 6
"""Scores are drawn for so many entries with the best mean AUROC, and for the method's best."""
MAX_SEEDS = 3
"""Runs that are read of each fold."""
MAX_PICTURES = 3
"""Folds whose pictures an entry shows; the others remain in the folders of their runs."""
MAX_CURVES = 10
"""Folds whose training is drawn."""
NO_LOSSES = frozenset({"epoch", "phase", "seconds", "cached_seconds"})
KINDS = {
    "missed": "anomalies,\nlowest scores",
    "false alarms": "normal,\nhighest scores",
    "found": "anomalies,\nhighest scores",
    "normal": "normal,\nlowest scores",
}
"""What a figure calls the kinds of extreme samples."""


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
    """Curves, histograms and pictures of each entry that is drawn.

    Raises:
        StoreError: the scores or the pictures of a run cannot be read.
    """
    good = ok(current(frame)).sort_values(["fold", "seed"])
    for entry in drawn(frame):
        runs = good[good["entry"] == entry].groupby("fold").head(MAX_SEEDS)
        if not runs.empty:
            title = f"Scores of {entry}"
            figures = tuple(_figures(store, entry, runs.to_dict("records")))
            yield Details(title, figures, is_open=True)


def _figures(store: Store, entry: str, rows: Sequence[Mapping[Any, Any]]) -> Iterator[Figure]:
    """All that is drawn of an entry: how it separates, where it errs, what it learned."""
    keys = [RunKey.of({str(k): v for k, v in row.items()}) for row in rows]
    names = {key: str(row["fold_name"]) for key, row in zip(keys, rows, strict=True)}
    scores = {key: store.scores(key) for key in keys}
    curves: dict[str, list[Scored]] = {}
    for key, of_run in scores.items():
        scored = of_run["label"].to_numpy(), of_run["score"].to_numpy()
        curves.setdefault(names[key], []).append(scored)
    prefix, rule = slug(rows[0]["benchmark"], entry), f"Rule {rows[0]['selection']}"
    seeds = f"{rule}; mean over seeds {formats.distinct(key.seed for key in keys)}."
    yield Figure(
        slug(prefix, "roc"),
        f"ROC by fold: {entry}",
        seeds,
        _range([(row["auroc"], row["fold_name"]) for row in rows], "AUROC of a run"),
        partial(draw.roc, curves),
    )
    yield Figure(
        slug(prefix, "precision recall"),
        f"Precision and recall by fold: {entry}",
        f"{seeds} The best precision that finds at least so many of the anomalies.",
        f"Precision-recall curves on {len(curves)} folds.",
        partial(draw.precision_recall, curves),
    )
    first = {fold: scored[0] for fold, scored in curves.items()}
    yield Figure(
        slug(prefix, "histogram"),
        f"Test scores by fold: {entry}",
        f"{rule}; the first seed of each fold; n: normal + anomalous test samples.",
        f"Histograms of normal and anomalous scores on {len(first)} folds.",
        partial(draw.histogram, first),
    )
    yield from _extremes(store, entry, rows, scores)
    yield from _training(store, entry, names)
    for run, arrays in _pictures(store, keys).items():
        shown = ", ".join(name for name, array in arrays.items() if draw.is_images(array))
        yield Figure(
            slug(prefix, run),
            f"Samples: {entry}, {run}",
            f"{rule}; rows: {shown}.",
            f"Rows of images: {shown}.",
            partial(draw.samples, arrays),
        )


def _extremes(
    store: Store,
    entry: str,
    rows: Sequence[Mapping[Any, Any]],
    scores: Mapping[RunKey, pd.DataFrame],
) -> Iterator[Figure]:
    """The test images that one run on each of the weakest folds scored lowest and highest."""
    by_fold: dict[int, tuple[Mapping[Any, Any], RunKey]] = {}
    for row, key in zip(rows, scores, strict=True):
        by_fold.setdefault(key.fold, (row, key))
    weakest = sorted(by_fold.values(), key=lambda run: float(run[0]["auroc"]))[:MAX_PICTURES]
    for row, key in weakest:
        arrays = store.extremes(key)
        if not arrays:
            continue
        image_of = dict(zip(arrays["sample_id"].tolist(), arrays["images"], strict=True))
        of_run = scores[key]
        ids, values = of_run["sample_id"].to_numpy(), of_run["score"].to_numpy()
        kinds = {
            KINDS[kind]: [(image_of[ids[i]], float(values[i])) for i in chosen]
            for kind, chosen in extreme_rows(of_run["label"].to_numpy(), values).items()
        }
        yield Figure(
            slug(key.benchmark, entry, row["fold_name"], "extremes"),
            f"Lowest and highest scores: {entry}, {row['fold_name']}",
            f"Rule {key.selection}, seed {key.seed}, AUROC {row['auroc']:.3f}; below each test "
            "image its score, higher is more anomalous. The first two rows are the errors.",
            "Test images with their scores, in four rows: the anomalies with the lowest scores, "
            "the normal samples with the highest, and those that were told best.",
            partial(draw.extremes, kinds),
        )


def _training(store: Store, entry: str, names: Mapping[RunKey, str]) -> Iterator[Figure]:
    """The losses and health figures of the first run on each fold."""
    first: dict[str, RunKey] = {}
    for key, name in names.items():
        first.setdefault(name, key)
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for name, key in list(first.items())[:MAX_CURVES]:
        for epoch in store.read_epochs(key):
            for loss, value in epoch.items():
                if loss not in NO_LOSSES and isinstance(value, int | float):
                    points = curves.setdefault(loss, {}).setdefault(name, [])
                    points.append((epoch["epoch"], float(value)))
    longest = max((len(p) for of_loss in curves.values() for p in of_loss.values()), default=0)
    if longest > 1:
        key = next(iter(names))
        yield Figure(
            slug(key.benchmark, entry, "training"),
            f"Training: {entry}",
            f"Rule {key.selection}; the first seed of each fold.",
            f"Curves by epoch: {', '.join(curves)}.",
            partial(draw.training, curves),
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
