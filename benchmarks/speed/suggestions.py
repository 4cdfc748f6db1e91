"""What TPE finds, and what a suggestion takes, by how many trials it looks at in a long study.

    python benchmarks/speed/suggestions.py --out FOLDER [--looked-at 300,1000,0] [--trials 2000]
        [--seeds 6] [--minutes 2]

Studies with a known objective, in [0, 1]: the farther each of nine params is from its best value,
the lower; an observation has the noise that another training of a network has. The arms of a seed
have the same objective, and differ in ``study.outlook.LOOKED_AT`` alone; 0 looks at all trials.
The table has 1 - the objective (without noise) of the trial that was observed to be the best, its
mean over seeds, and the CPU milliseconds of a trial, at some lengths of the studies.

Studies lie in FOLDER once they are done: the same command goes on where it stopped, or where
``--minutes`` were over.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omasgan.store.journal import find_json, write_json
from omasgan.study import outlook
from omasgan.study.guide import Guide
from omasgan.study.space import Space
from omasgan.training.trials import Ending

NUMBERS, KINDS = 7, 4
NOISE = 0.02
SPACE = Space.from_dict(
    {
        **{f"x{i}": {"low": 0.0, "high": 1.0} for i in range(NUMBERS)},
        "kind": {"choices": list(range(KINDS))},
        "y": {"low": 0.0, "high": 1.0, "when": {"kind": [0, 1]}},
    }
)
SIZES = (250, 500, 1000, 2000, 3000, 5000, 10000)


class Objective:
    """A hill whose top, and how steep it is in each param, depend on a seed."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self._top = draw.uniform(0.1, 0.9, NUMBERS + 1)
        self._steep = 10 ** draw.uniform(-0.5, 1.0, NUMBERS + 1)
        self._kinds = draw.permutation(np.linspace(0.0, 0.15, KINDS))
        self._noise = draw

    def __call__(self, params: Mapping[str, Any]) -> float:
        names = [*(f"x{i}" for i in range(NUMBERS)), "y"]
        at = np.array([params.get(name, 0.5) for name in names])
        off = float((self._steep * (at - self._top) ** 2).sum())
        return max(0.0, math.exp(-off) - float(self._kinds[params["kind"]]))

    def observed(self, params: Mapping[str, Any]) -> float:
        return float(np.clip(self(params) + self._noise.normal(0, NOISE), 0.0, 1.0))


def study(seed: int, n_trials: int) -> dict[str, list[float]]:
    """Return what has been found, and the CPU seconds that have been spent, after each trial."""
    guide, objective = Guide(SPACE, None, seed=seed), Objective(seed)
    found, spent = [], []
    best, started = (-1.0, 0.0), time.process_time()
    for _ in range(n_trials):
        trial = guide.ask()
        seen = objective.observed(trial.params)
        best = max(best, (seen, objective(trial.params)))
        guide.tell(trial.number, Ending("ok", seen))
        found.append(best[1])
        spent.append(time.process_time() - started)
    return {"found": found, "spent": spent}


def describe(studies: Mapping[int, Sequence[Mapping[str, list[float]]]], n_trials: int) -> None:
    sizes = [size for size in SIZES if size <= n_trials]
    print(f"{'looked at':12}" + "".join(f"{f'{size:,}':>16}" for size in sizes))
    for looked_at, of_arm in studies.items():
        cells = []
        for size in sizes:
            missed = np.array([1 - each["found"][size - 1] for each in of_arm])
            error = missed.std(ddof=1) / math.sqrt(len(missed)) if len(missed) > 1 else math.nan
            cells.append(f"{missed.mean():.4f} ({error:.4f})")
        print(f"{looked_at or 'all':<12}" + "".join(f"{cell:>16}" for cell in cells))
    print("CPU ms of a trial")
    for looked_at, of_arm in studies.items():
        spent = np.array([[0.0, *each["spent"]] for each in of_arm]).mean(axis=0)
        costs = [1000 * (spent[n] - spent[n - 50]) / 50 for n in sizes]
        print(f"{looked_at or 'all':<12}" + "".join(f"{cost:>16.1f}" for cost in costs))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--looked-at", default="300,1000,0", help="trials; 0 is all")
    parser.add_argument("--trials", type=int, default=2000, help="of each study")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=math.inf, help="then stop")
    options = parser.parse_args(arguments)
    until = time.monotonic() + 60 * options.minutes
    arms = [int(number) for number in options.looked_at.split(",")]
    studies: dict[int, list[dict[str, list[float]]]] = {arm: [] for arm in arms}
    for seed in range(options.seeds):
        for arm in arms:
            path = options.out / f"{options.trials}-{arm}-{seed}.json"
            done = find_json(path)
            if done is None:
                if time.monotonic() > until:
                    print(f"{path.stem} and what follows it are left; the same command goes on")
                    return
                outlook.LOOKED_AT = arm or 10**9
                done = study(seed, options.trials)
                write_json(path, done)
            studies[arm].append(done)
    describe(studies, options.trials)


if __name__ == "__main__":
    main()
