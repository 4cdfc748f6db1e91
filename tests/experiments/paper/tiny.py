"""Suites on embedded data that train in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.experiments.paper import planning, suites
from omasgan.experiments.paper.planning import SuitePlan

CAPS = "folds = [0, 1]\nseeds = [0, 1]\nmax_train = 100\nmax_test = 60"
STEPS = {"gan": 4, "boundary": 2, "retrain": 2, "detector": 4}
OMASGAN = ", ".join(f"{phase}_steps = {n}" for phase, n in STEPS.items())

TINY = f"""
title = "Figure 99: digits"
about = "In no paper."
benchmarks = ["digits-loo"]

[arms.OMASGAN]
detector = "omasgan"
params = {{ {OMASGAN} }}

[arms."1-NN"]
detector = "knn"

[budgets.smoke]
{CAPS}
[budgets.small]
folds = [0, 1, 2]
seeds = [0]
[budgets.full]
folds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
seeds = [0, 1, 2]

[[drawings]]
kind = "folds"
title = "By digit"

[[drawings]]
kind = "stages"
title = "By stage"
arms = ["OMASGAN"]
stages = ["task1", "task3", "j"]

[[drawings]]
kind = "seeds"
title = "By seed"
arms = ["OMASGAN"]
"""


def write(folder: Path, text: str = TINY) -> str:
    path = folder / "figure-99.toml"
    path.write_text(text)
    return str(path)


def plan(folder: Path, text: str = TINY) -> SuitePlan:
    return planning.schedule(suites.load(write(folder, text)), "smoke")


def data(made: SuitePlan) -> dict[str, Dataset]:
    return {spec.name: protocols.load_data(spec) for spec in made.benchmarks}


def rows(frame: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame.to_dict("records")
    return found
