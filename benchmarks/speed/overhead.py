"""What the harness costs: a sweep on Ray against the bare training loops, two at a time.

Both train OMASGAN on the same samples of digits the same number of times: 16 trials, then the
winner once. The sweep pays for starting Ray, suggestions, bookkeeping, checkpoints and MLflow; the
bare loops for starting their two processes.

    python benchmarks/speed/overhead.py [--trials 16] [--scale 1.0]
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from omasgan import config, detectors
from omasgan.backends.ray.backend import RayBackend
from omasgan.cli.watch import Watch
from omasgan.data import protocols, selection
from omasgan.data.selection import TrialData
from omasgan.experiments.sweep import SweepSpec, sweep
from omasgan.store.results import Store
from omasgan.study.space import Space
from omasgan.tracking.tracker import Tracker

AT_ONCE = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--scale", type=float, default=1.0, help="length of a trial")
    arguments = parser.parse_args()
    steps = {
        f"{phase}_steps": max(1, round(n * arguments.scale))
        for phase, n in {"gan": 900, "boundary": 300, "retrain": 300, "detector": 900}.items()
    }
    spec = config.load_benchmark("digits-loo").model_copy(update={"seeds": (0,)})
    dataset = protocols.load_data(spec, root=None, download=False)
    (study,) = selection.studies("proxy", spec, dataset, [0])

    bare, times = bare_loops(study.data, steps, arguments.trials)
    whole = whole_sweep(spec, dataset, steps, arguments.trials)
    print(f"one training      {np.mean(times):8.1f} s (mean of {len(times)})")
    print(
        f"bare loops        {bare:8.1f} s ({arguments.trials} trainings, {AT_ONCE} at a time, +1)"
    )
    print(f"sweep on Ray      {whole:8.1f} s")
    print(f"ratio             {whole / bare:8.2f}")


def bare_loops(data: TrialData, steps: dict[str, int], trials: int) -> tuple[float, list[float]]:
    """Return the seconds of all trainings, and those of each."""
    begun = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(AT_ONCE) as pool:
        times = pool.starmap(train, [(data, steps, i) for i in range(trials)], chunksize=1)
        times.append(pool.apply(train, (data, steps, trials)))
    return time.perf_counter() - begun, times


def train(data: TrialData, steps: dict[str, int], seed: int) -> float:
    """Return the seconds of one training and its scoring, without the harness."""
    import torch

    torch.set_num_threads(1)
    begun = time.perf_counter()
    (task,) = data.tasks
    detector = detectors.load("omasgan")(**steps, seed=seed, device="cpu")
    for _ in detector.fit_epochs(data.pool[task.train]):
        pass
    selection.values(task, detector.stage_scores, data.pool)
    return time.perf_counter() - begun


def whole_sweep(spec: Any, dataset: Any, steps: dict[str, int], trials: int) -> float:
    """Return the seconds from the start of Ray to the last mirrored trial."""
    space = Space.from_dict({**steps, "gan_lr": {"low": 1e-4, "high": 4e-4, "log": True}})
    sweep_spec = SweepSpec(
        benchmark=spec,
        detector="omasgan",
        space=space,
        rule="proxy",
        n_trials=trials,
        folds=(0,),
        device="cpu",
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        begun = time.perf_counter()
        backend = RayBackend(num_cpus=AT_ONCE)
        with Watch(Tracker(None, store)) as watch:
            sweep([sweep_spec], store, backend, dataset, on_event=watch)
        backend.close()
        return time.perf_counter() - begun


if __name__ == "__main__":
    main()
