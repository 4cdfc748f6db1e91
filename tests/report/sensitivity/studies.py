"""Plans of a small study, and the rows that it would store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from omasgan.detectors import check_params
from omasgan.experiments.sensitivity import design
from omasgan.experiments.sensitivity.design import SensitivityPlan
from tests.experiments.sensitivity.staged import StagedDetector

BASE = check_params(StagedDetector, {})


def planned(
    names: str = "tail,idle", folds: int = 3, seeds: int = 3, **more: Any
) -> SensitivityPlan:
    return design.design(
        StagedDetector, names.split(","), BASE, {},
        folds=range(folds), seeds=range(seeds), points=3, **more,
    )  # fmt: skip


def rows(
    plan: SensitivityPlan,
    auroc: Callable[[dict[str, Any]], float],
    noise: float = 0.01,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The rows of a study whose AUROC follows a function of the params; folds differ in level."""
    rng = np.random.default_rng(seed)
    stored = []
    for params in plan.settings:
        for fold in plan.folds:
            for s in plan.seeds:
                value = auroc(dict(params)) - 0.1 * fold + noise * rng.normal()
                stored.append(
                    {
                        "params": dict(params), "fold": fold, "seed": s, "outcome": "ok",
                        "auroc": value, "auroc.first": value / 2, "seconds": 2.0,
                        "cached_seconds": 1.0,
                    }
                )  # fmt: skip
    return stored
