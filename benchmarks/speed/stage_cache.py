"""What the stage cache saves in a study of the losses after Task 1, for several base divergences.

    python benchmarks/speed/stage_cache.py [--gan-steps 600,1200] [--scale 1]

On one fold of digits with one seed, every setting is trained twice in this process, with the cache
and without; scores must be equal bit for bit. Task 1 is trained with each base divergence. Then
one loss at a time is taken out of Task 2 (mu, nu), of Task 3 (gamma, delta) and of J (zeta), and J
is trained against controls: 10 settings a divergence. What is saved depends on how long Task 1 is
beside the other phases, so that is what varies. ``--scale`` shortens all phases alike. Times are
CPU seconds of this process, which others on the machine disturb little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omasgan import config, detectors, protocols
from omasgan.datasets import Dataset
from omasgan.search import RunJob
from omasgan.search.local import LocalBackend
from omasgan.sensitivity.design import Plan
from omasgan.sensitivity.study import StudySpec, train
from omasgan.store import RunKey, Store

SPEC = config.load_benchmark("digits-loo")
DIVERGENCES = ("kl-wgan", "pearson")
ABLATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"mu": 0.0},
    {"nu": 0.0},
    {"gamma": 0.0},
    {"delta": 0.0},
    {"zeta": 0.0},
    {"zeta": 1.0},
    *({"negatives": kind} for kind in ("noise", "patch-shuffle", "deformation")),
)
PHASES = {"boundary_steps": 200, "retrain_steps": 200, "detector_steps": 600}


def plan(gan_steps: int, scale: float) -> Plan:
    """The settings with Task 1 of so many steps."""
    steps = {name: round(scale * n) for name, n in {"gan_steps": gan_steps, **PHASES}.items()}
    cls = detectors.load("omasgan")
    settings = tuple(
        detectors.check_params(cls, {**steps, "divergence": base, **ablation})
        for base in DIVERGENCES
        for ablation in ABLATIONS
    )
    return Plan("one-at-a-time", 0, (), settings[0], settings, (0,), (0,))


def without_cache(made: Plan, store: Store, dataset: Dataset) -> list[dict[str, Any]]:
    jobs = [
        RunJob(fold, "omasgan", dict(params), seed, "sensitivity", store, "cpu")
        for params in made.settings
        for fold in made.folds
        for seed in made.seeds
    ]
    return LocalBackend().runs(jobs, SPEC, dataset, lambda event: None)


def measure(made: Plan, dataset: Dataset, folder: Path) -> tuple[float, float]:
    """CPU seconds without and with the cache."""
    plain, cached = Store(folder / "plain"), Store(folder / "cached")
    start = time.process_time()
    rows = without_cache(made, plain, dataset)
    middle = time.process_time()
    train(
        StudySpec(SPEC.name, SPEC, "omasgan", made, device="cpu"), cached, LocalBackend(), dataset
    )
    end = time.process_time()
    for key in map(RunKey.of, rows):
        same = np.array_equal(plain.scores(key).to_numpy(), cached.scores(key).to_numpy())
        assert same, f"the cache has changed the scores of {key}"
    return middle - start, end - middle


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gan-steps", default="600,1200", help="lengths of Task 1")
    parser.add_argument("--scale", type=float, default=1.0, help="of all phases")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    dataset = protocols.load_data(SPEC)
    print("gan_steps  settings  without (CPU s)  with (CPU s)  ratio")
    for steps in map(int, given.gan_steps.split(",")):
        made = plan(steps, given.scale)
        with tempfile.TemporaryDirectory() as folder:
            without, cached = measure(made, dataset, Path(folder))
        ratio = without / cached
        print(f"{steps:9}  {len(made.settings):8}  {without:15.1f}  {cached:12.1f}  {ratio:.2f}")


if __name__ == "__main__":
    main()
