"""What a pruner of trials spares in trainings, and what it costs: on values of real trials.

    python benchmarks/speed/pruners.py --out FILE [--trials 60] [--tasks 4] [--scale 0.5]
        [--minutes 2] [--judged 2,4] [--orders 200] [--budget 40]

First, trials of OMASGAN at random params of the shipped space are judged by ``--tasks`` tasks of
one fold of digits, and their values lie in FILE. The same command goes on where it stopped, or
where ``--minutes`` were over. The params may have phases ``--scale`` times as long.

Then studies are played through on these values, for each pruner and each number of tasks that a
trial is ``--judged`` by. Each study takes the trials, and the tasks, in an order of its own, which
all pruners meet; what a trial is worth is its mean over all of its recorded tasks. The table has
the trainings that a pruner spares when all trials are tried, and what the winner is worth, less
what it is worth without a pruner: at the same number of trials, and at the same ``--budget`` of
trainings. Differences are of pairs, with standard errors.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from share_stages import DETECTOR, scaled_space

from omasgan import config
from omasgan.data import protocols, selection
from omasgan.store.journal import find_json, write_json
from omasgan.study import probed
from omasgan.study.samplers import make_pruner
from omasgan.training import evaluate
from omasgan.training.jobs import TrialJob
from omasgan.training.trials import ValueRow

PRUNERS = (
    "NopPruner",
    "TaskPercentilePruner(percentile=75)",
    "TaskPercentilePruner(percentile=50)",
    "TaskPercentilePruner(percentile=33)",
    "TaskPercentilePruner(percentile=20)",
    "MedianPruner",
    "WilcoxonPruner",
)
FOLD, SEED = 0, 0
MAX_TRAIN = 3000


def record(options: argparse.Namespace) -> NDArray[Any]:
    """Return the values ``(trials, tasks)`` of the trials that have been judged so far, after some
    more were, for ``minutes`` at most.
    """
    spec = config.load_benchmark("digits-loo", max_train=MAX_TRAIN)
    dataset = protocols.load_data(spec)
    (study,) = selection.studies("nested", spec, dataset, [FOLD], inner=options.tasks, seed=SEED)
    space = scaled_space(options.scale, width=32)
    params = probed.first(space, options.trials, seed=SEED, sampler="RandomSampler")
    known = (find_json(options.out) or {"values": []})["values"]
    until = time.monotonic() + 60 * options.minutes
    while len(known) < options.trials and time.monotonic() < until:
        job = TrialJob(DETECTOR, params[len(known)], device="cpu", stages=space.stages)
        rows = evaluate.run_trial(job, study.data)
        values = [row.value for row in rows if isinstance(row, ValueRow)]
        # A trial that diverges is worth nothing, which any pruner learns as well.
        known.append([*values, *[0.0] * (options.tasks - len(values))])
        write_json(options.out, {"values": known})
    return np.array(known)


@dataclass(frozen=True)
class Played:
    """A study: which trials have come through by how many trainings, and their objectives."""

    trials: list[int]
    ends: list[int]
    objectives: list[float]
    trainings: int

    def winner(self, budget: float) -> int | None:
        """Return the best trial that had come through within so many trainings."""
        within = [i for i, end in enumerate(self.ends) if end <= budget]
        return self.trials[max(within, key=lambda i: self.objectives[i])] if within else None


def play(pruner: str, values: NDArray[Any], order: Sequence[int]) -> Played:
    """Play the study in which trials with these ``values`` by task come in this order."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=make_pruner(pruner))
    played = Played([], [], [], 0)
    trainings = 0
    for number in order:
        trial = study.ask()
        for step, value in enumerate(values[number]):
            trial.report(float(value), step)
            trainings += 1
            if step + 1 < len(values[number]) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            objective = float(values[number].mean())
            study.tell(trial, objective)
            played.trials.append(number)
            played.ends.append(trainings)
            played.objectives.append(objective)
    return Played(played.trials, played.ends, played.objectives, trainings)


def describe(values: NDArray[Any], judged: int, orders: int, budget: int) -> None:
    """Print a line for each pruner."""
    worth = values.mean(axis=1)
    rows: dict[str, list[tuple[float, float, float]]] = {pruner: [] for pruner in PRUNERS}
    for seed in range(orders):
        draw = np.random.default_rng(seed)
        order, tasks = draw.permutation(len(values)), draw.permutation(values.shape[1])[:judged]
        for pruner in PRUNERS:
            played = play(pruner, values[:, tasks], order.tolist())
            winners = (played.winner(math.inf), played.winner(budget))
            found = (0.0 if winner is None else float(worth[winner]) for winner in winners)
            rows[pruner].append((1 - played.trainings / (len(values) * judged), *found))
    print(f"\n{len(values)} trials, {judged} of {values.shape[1]} tasks; {orders} orders")
    print(f"{'pruner':38}{'spared':>8}  {'same trials (se)':20}same {budget} trainings (se)")
    apart = np.array(rows[PRUNERS[0]])
    print(f"{PRUNERS[0]:38}{'':8}  {apart[:, 1].mean():<20.4f}{apart[:, 2].mean():.4f}")
    for pruner in PRUNERS[1:]:
        found = np.array(rows[pruner])
        gains = found[:, 1:] - apart[:, 1:]
        errors = gains.std(axis=0, ddof=1) / math.sqrt(orders)
        texts = (
            f"{gain:+.4f} ({error:.4f})" for gain, error in zip(gains.mean(0), errors, strict=True)
        )
        print(f"{pruner:38}{found[:, 0].mean():>8.0%}  " + "".join(f"{text:20}" for text in texts))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--tasks", type=int, default=4, help="of each trial")
    parser.add_argument("--scale", type=float, default=0.5, help="of all phases")
    parser.add_argument("--minutes", type=float, default=math.inf, help="of training in this call")
    parser.add_argument("--judged", default="2,4", help="tasks of a study that is played")
    parser.add_argument("--orders", type=int, default=200, help="studies that are played")
    parser.add_argument("--budget", type=int, default=40, help="trainings")
    options = parser.parse_args(arguments)
    values = record(options)
    if len(values) < options.trials:
        print(f"{len(values)} of {options.trials} trials are judged; the same command goes on")
        return
    print(f"values by task: {np.round(values.mean(axis=0), 3)}, sd {values.std(axis=0).round(3)}")
    for judged in map(int, options.judged.split(",")):
        describe(values, judged, options.orders, options.budget)


if __name__ == "__main__":
    main()
