"""Result rows without files."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from omasgan.report.results.runs import runs


def row(fold: int, seed: int, auroc: float | None, detector: str = "knn", **more: object) -> dict:
    """A row of a run; one without an AUROC has diverged."""
    return {
        "benchmark": "toy-loo-v1",
        "detector": detector,
        "selection": "fixed",
        "params": {"k": 1},
        "params_id": "abc",
        "seed": seed,
        "fold": fold,
        "auroc": auroc,
        "seconds": 1.0,
        "peak_memory_mb": 300.0 + fold,
        "device": "cpu",
        "code_version": "0.1.0",
        "outcome": "diverged" if auroc is None else "ok",
    } | more


def three_seeds(
    detector: str, folds: range, auroc: float, selection: str = "fixed", **params: Any
) -> list[dict]:
    """Three seeds of each fold, with AUROCs around ``auroc``."""
    return [
        row(
            fold,
            seed,
            auroc + 0.002 * seed + 0.001 * fold,
            detector,
            selection=selection,
            params=params,
            params_id="-".join([detector, *map(str, params.values())]),
        )
        for fold, seed in itertools.product(folds, range(3))
    ]


def frame(*rows: list[dict]) -> pd.DataFrame:
    return runs(list(itertools.chain(*rows)))
