"""What the stage cache saves in a study of the losses after Task 1, for several base divergences.

    python benchmarks/speed/stage_cache.py [--benchmark digits-loo] [--settings defaults]
        [--gan-steps 600,1200] [--scale 1]
    python benchmarks/speed/stage_cache.py --benchmark mnist-loo --settings mnist-loo --scale 5e-4

On one fold with one seed, every setting is trained twice in this process, with the cache and
without; scores must be equal bit for bit. Task 1 is trained with each base divergence. Then one
loss at a time is taken out of Task 2 (mu, nu), of Task 3 (gamma, delta) and of J (zeta), and J is
trained against controls: 10 settings a divergence. What is saved depends on how long Task 1 is
beside the other phases: ``--settings`` are our defaults or those of a folder of
``benchmarks/params`` (the second command: the proportions that the paper's authors printed), and
``--gan-steps`` varies Task 1. ``--scale`` shortens all phases alike. Times are CPU seconds of this
process, which others on the machine disturb little.
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

from omasgan import config, detectors
from omasgan.backends.local import LocalBackend
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.experiments.sensitivity.training import SensitivitySpec, train
from omasgan.store.results import RunKey, Store
from omasgan.training.jobs import RunJob

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
LENGTHS = ("gan_steps", "boundary_steps", "retrain_steps", "detector_steps")
MAX_TRAIN, MAX_TEST = 3000, 300


def base_params(settings: str) -> dict[str, Any]:
    """Return all params of OMASGAN: those of a folder of ``benchmarks/params``, the others at
    their defaults.
    """
    params = {}
    if settings != "defaults":
        params = config.load_params(config.published_params(settings) / "omasgan.toml")
    return detectors.check_params(detectors.load("omasgan"), params)


def design(base: dict[str, Any], gan_steps: int, scale: float) -> SensitivityPlan:
    """Return the settings, with Task 1 of so many steps."""
    lengths = {name: base[name] for name in LENGTHS} | {"gan_steps": gan_steps}
    base = base | {name: max(1, round(scale * n)) for name, n in lengths.items()}
    settings = tuple(
        base | {"divergence": divergence, **ablation}
        for divergence in DIVERGENCES
        for ablation in ABLATIONS
    )
    return SensitivityPlan("one-at-a-time", 0, (), settings[0], settings, (0,), (0,))


def without_cache(study: SensitivitySpec, store: Store, dataset: Dataset) -> list[dict[str, Any]]:
    jobs = [
        RunJob(
            fold=fold,
            detector=study.detector,
            params=dict(params),
            seed=seed,
            selection="sensitivity",
            store=store,
            device=study.device,
        )
        for params in study.plan.settings
        for fold in study.plan.folds
        for seed in study.plan.seeds
    ]
    return LocalBackend().runs(jobs, study.benchmark, dataset, lambda event: None)


def measure(study: SensitivitySpec, dataset: Dataset, folder: Path) -> tuple[float, float]:
    """Return the CPU seconds without and with the cache."""
    plain, cached = Store(folder / "plain"), Store(folder / "cached")
    start = time.process_time()
    rows = without_cache(study, plain, dataset)
    middle = time.process_time()
    train(study, cached, LocalBackend(), dataset)
    end = time.process_time()
    for key in map(RunKey.of, rows):
        same = np.array_equal(plain.scores(key).to_numpy(), cached.scores(key).to_numpy())
        assert same, f"the cache has changed the scores of {key}"
    return middle - start, end - middle


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="digits-loo", help="MNIST needs OMASGAN_DATA")
    parser.add_argument("--settings", default="defaults", help="or a folder of benchmarks/params")
    parser.add_argument("--gan-steps", help="lengths of Task 1, 600,1200 for instance")
    parser.add_argument("--scale", type=float, default=1.0, help="of all phases")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    spec = config.load_benchmark(options.benchmark, max_train=MAX_TRAIN, max_test=MAX_TEST)
    dataset = protocols.load_data(spec)
    base = base_params(options.settings)
    print("steps of all phases  settings  without (CPU s)  with (CPU s)  ratio")
    for steps in map(int, (options.gan_steps or str(base["gan_steps"])).split(",")):
        plan = design(base, steps, options.scale)
        study = SensitivitySpec(spec.name, spec, "omasgan", plan, device="cpu")
        with tempfile.TemporaryDirectory() as folder:
            without, cached = measure(study, dataset, Path(folder))
        lengths = " ".join(str(plan.base[name]) for name in LENGTHS)
        ratio = without / cached
        print(
            f"{lengths:19}  {len(plan.settings):8}  {without:15.1f}  {cached:12.1f}  {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
