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


PLANE = f"""
title = "Figure 99: a plane"
about = "In no paper."
benchmarks = ["gaussian-2d"]

[arms.Ours]
detector = "omasgan"
params = {{ latent_dim = 2, form = "pixel", {OMASGAN} }}

[arms."B after"]
detector = "omasgan"
params = {{ latent_dim = 2, {OMASGAN} }}
vary = {{ boundary_batch = [8, 16], boundary_reference = [8, 32] }}

[budgets]
smoke = {{ folds = [0], seeds = [0, 1], max_train = 100, max_test = 60 }}
small = {{ folds = [0], seeds = [0] }}
full = {{ folds = [0], seeds = [0] }}

[[drawings]]
kind = "plane"
title = "Plane"
arms = ["Ours"]
[[drawings]]
kind = "boundaries"
title = "Boundaries"
arms = ["Ours"]
[[drawings]]
kind = "evolution"
title = "Evolution"
arms = ["B after"]
[[drawings]]
kind = "losses"
title = "Losses"
arms = ["Ours"]
[[drawings]]
kind = "grid"
title = "N and Q"
arms = ["B after"]
stages = ["j"]
[[drawings]]
kind = "thresholds"
title = "Rates"
arms = ["Ours"]
stages = ["task1", "j"]
"""


QUICK = f"""
title = "Figure 99: digits"
about = "In no paper."
benchmarks = ["digits-loo"]

[arms."1-NN"]
detector = "knn"
params = {{ k = 1 }}
[arms."5-NN"]
detector = "knn"
params = {{ k = 5 }}

[budgets.smoke]
{CAPS}
[budgets.small]
folds = [0]
seeds = [0]
[budgets.full]
folds = [0]
seeds = [0]

[[drawings]]
kind = "folds"
title = "By digit"
"""
"""Trains nothing that takes time."""


ENSEMBLE = QUICK.replace(
    '[arms."5-NN"]\ndetector = "knn"\nparams = { k = 5 }',
    '[arms.One]\ndetector = "tests.toy:CurveDetector"\n'
    '[arms.Three]\ndetector = "tests.toy:CurveDetector"\nensemble = 3',
).replace(
    'kind = "folds"', 'kind = "benchmarks"\nstages = ["waic", "variance"]'
)  # fmt: skip
"""A detector, and an ensemble of three of its kind."""


POOL = """
title = "What choosing is worth"
about = "In no paper."
benchmarks = ["digits-loo"]

[pool]
detector = "knn"

[budgets]
smoke = { trials = 3, folds = [0, 1], seeds = [0], max_train = 100, max_test = 60 }
small = { folds = [0], seeds = [0] }
full = { folds = [0], seeds = [0] }

[[drawings]]
kind = "regret"
title = "Choosing"
"""
"""Nearest neighbours, of which a rule is to choose how many."""


def write(folder: Path, text: str = TINY) -> str:
    path = folder / "figure-99.toml"
    path.write_text(text)
    return str(path)


def plan(folder: Path, text: str = TINY) -> SuitePlan:
    return planning.schedule(suites.load(write(folder, text)), "smoke")


def data(plan: SuitePlan) -> dict[str, Dataset]:
    return {spec.name: protocols.load_data(spec) for spec in plan.benchmarks}


def rows(frame: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = frame.to_dict("records")
    return records
