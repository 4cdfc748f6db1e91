"""The geometry card of a fold: what distances say of it before any detector is trained.

A fold is inverted where distance points the wrong way. Two signs are read from the scores of the
yardstick 1-NN, and either is enough, since neither implies the other: more than half of the
anomalies lie nearer to the training normals than the median normal test sample does (the typical
anomaly looks more normal than the typical normal), or 1-NN's AUROC is below 0.5 (of a random
normal and a random anomaly it is the anomaly that lies nearer). Both are 0.5 where distance says
nothing. In an inverted fold a low AUROC says as much about the fold as about the detector, and a
high one did not come from distances. The card looks at test anomalies: it describes a fold and
must choose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omasgan.data import metrics
from omasgan.store.journal import Row
from omasgan.store.results import RunKey, Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Card:
    """How a fold's anomalies lie to its normals; every figure is a mean over the runs held.

    ``nearer`` is the share in [0, 1] of the anomalous test samples whose 1-NN distance to the
    training normals is below that of the median normal test sample. ``knn`` and ``gmm`` are
    AUROCs in [0, 1] of 1-NN and of the Gaussian mixture, which is None where it did not run.
    """

    fold: int
    nearer: float
    knn: float
    gmm: float | None

    @property
    def inverted(self) -> bool:
        """Whether distance points the wrong way in this fold."""
        return self.nearer > 0.5 or self.knn < 0.5

    def __str__(self) -> str:
        verdict = " is ill-posed" if self.inverted else ""
        mixture = "" if self.gmm is None else f", Gaussian mixture {self.gmm:.2f}"
        return (
            f"fold {self.fold}{verdict}: {self.nearer:.0%} of its anomalies lie nearer to the "
            f"normals than the median normal does; 1-NN AUROC {self.knn:.2f}{mixture}"
        ).replace("%", " %")


def cards(store: Store, benchmark_id: str, rows: Sequence[Row] | None = None) -> list[Card]:
    """Return the cards of the folds on which 1-NN has run, in the order of the folds.

    ``rows`` are the benchmark's, if they have been read.

    Raises:
        StoreError: a run's scores cannot be read.
    """
    rows = [
        row
        for row in (store.results(benchmark_id) if rows is None else rows)
        if (row["selection"], row["outcome"]) == ("fixed", "ok")
    ]
    nearest = [row for row in rows if row["detector"] == "knn" and row["params"]["k"] == 1]
    mixture = [row for row in rows if row["detector"] == "gmm"]
    return [
        _card(store, fold, _of(fold, nearest), _of(fold, mixture))
        for fold in sorted({int(row["fold"]) for row in nearest})
    ]


def _of(fold: int, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["fold"] == fold]


def _card(store: Store, fold: int, nearest: list[Row], mixture: list[Row]) -> Card:
    return Card(
        fold,
        nearer=_mean_share_nearer(store, nearest),
        knn=_mean_auroc(store, nearest),
        gmm=_mean_auroc(store, mixture) if mixture else None,
    )


def _mean_share_nearer(store: Store, rows: list[Row]) -> float:
    """Return the mean over the runs; scores that several seeds have in common are read once."""
    keys = [RunKey.of(row) for row in rows]
    names = [row.get("scores_sha256") or key.path for row, key in zip(rows, keys, strict=True)]
    one_of_each = dict(zip(names, keys, strict=True))
    shares = {name: _share_nearer(store.scores(key)) for name, key in one_of_each.items()}
    return float(np.mean([shares[name] for name in names]))


def _share_nearer(scores: pd.DataFrame) -> float:
    anomalous = scores["label"].to_numpy() == 1
    distance = scores["score"].to_numpy()
    return float(np.mean(distance[anomalous] < np.median(distance[~anomalous])))


def _mean_auroc(store: Store, rows: list[Row]) -> float:
    return float(np.mean([_auroc(store, row) for row in rows]))


def _auroc(store: Store, row: Row) -> float:
    """Return the AUROC of the row, or compute it from the scores where the benchmark lacks it."""
    if row.get("auroc") is not None:
        return float(row["auroc"])
    scores = store.scores(RunKey.of(row))
    return metrics.auroc(scores["label"].to_numpy(), scores["score"].to_numpy())
