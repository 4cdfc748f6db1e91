"""What sharing stages between trials is worth: trials an hour, and the winners at equal time.

    python benchmarks/speed/share_stages.py --out DIR [--benchmark digits-loo] [--share 8]
        [--pairs 6] [--seconds 300] [--scale 1] [--width 32] [--inner 2] [--tests 2] [--minutes 3]

A pair is two studies of OMASGAN on one fold with one seed: one shares nothing, in the other up to
``--share`` trials share Tasks 1 to 3. They search the shipped space, whose phases are
``--scale`` times as long, for ``--seconds`` each, trial by trial in turn. Each study's winner by
half of that time, and by its end, is trained anew on ``--tests`` fresh seeds and tested. Seconds
are CPU seconds of this process, which others on the machine disturb little.

The same command goes on where it stopped, or where ``--minutes`` were over; more ``--pairs`` add
to those that there are. It prints a table of all pairs that are done.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from omasgan import config, detectors
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols, selection
from omasgan.data.datasets import Dataset
from omasgan.store.journal import find_json, write_json
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.search import Search
from omasgan.study.sharing import sharing
from omasgan.study.space import Space
from omasgan.study.trial_log import TrialLog
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob
from omasgan.training.trials import Trial

DETECTOR = "omasgan"
MAX_TRAIN, MAX_TEST = 3000, 1000
MOST_TRIALS = 10_000
ARMS = ("apart", "shared")
PARTS = (0.5, 1.0)
"""Of the time, after which a winner is chosen."""


def scaled_space(scale: float, width: int) -> Space:
    """Return the shipped space with other lengths; a range of steps keeps its number of values."""
    tables = config.load_toml(config.resource("search_spaces", DETECTOR))
    for name, param in detectors.parameters(detectors.load(DETECTOR)).items():
        if name != f"{param.phase}_steps":
            continue
        if name not in tables:
            tables[name] = max(1, round(param.default * scale))
            continue
        entry = tables[name]
        step = max(1, round(entry["step"] * scale))
        entry |= {"low": entry["low"] // entry["step"] * step, "step": step} | {
            "high": entry["high"] // entry["step"] * step
        }
    return Space.from_dict(tables | {"width": width, "detector_width": width})


@dataclass
class Arm:
    """One study of a pair; ``ends`` are the CPU seconds after which each of its trials ended."""

    search: Search
    ends: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._path = self.search.folder / "ends.json"
        self.ends = (find_json(self._path) or {"ends": []})["ends"]

    @property
    def seconds(self) -> float:
        """What it has taken so far."""
        return max(self.ends, default=0.0)

    def advance(self) -> None:
        """Carry out one trial."""
        log = TrialLog(self.search, lambda event: None)
        start = time.process_time()
        trial = log.begin()
        for row in evaluate.run_trial(self.search.trial_job(trial), self.search.data):
            if log.enter(trial.number, [row]):
                break
        log.end(trial.number)
        self.ends.append(self.seconds + time.process_time() - start)
        write_json(self._path, {"ends": self.ends})

    def ended(self, seconds: float) -> list[Trial]:
        """Return the trials that had ended after so many seconds."""
        finished = self.search.guide.finished()
        return [t for t, end in zip(finished, self.ends, strict=True) if end <= seconds]


@dataclass(frozen=True)
class Pair:
    """Two studies with one seed on one fold, and the tests of their winners."""

    number: int
    spec: BenchmarkSpec
    dataset: Dataset
    options: argparse.Namespace

    @property
    def folder(self) -> Path:
        folder: Path = self.options.out / self.spec.name / f"pair-{self.number}"
        return folder

    def arms(self) -> dict[str, Arm]:
        """Return both studies, as far as they are."""
        fold = self.number % len(protocols.folds(self.spec, self.dataset))
        (study,) = selection.studies(
            "nested", self.spec, self.dataset, [fold], inner=self.options.inner, seed=self.number
        )
        arms = {}
        for name in ARMS:
            folder = self.folder / name
            space = scaled_space(self.options.scale, self.options.width)
            guide = Guide(space, folder, seed=self.number)
            if name == "shared":
                guide.share(sharing(self.options.share, DETECTOR, space))
            arms[name] = Arm(
                Search(guide, study.data, MOST_TRIALS, DETECTOR, folder, device="cpu")
            )
        return arms

    def carry_out(self, until: float) -> bool:
        """Search and test until the clock shows ``until``; return whether all is done."""
        arms = self.arms()
        while any(arm.seconds < self.options.seconds for arm in arms.values()):
            if time.monotonic() > until:
                return False
            min(arms.values(), key=lambda arm: arm.seconds).advance()
        rows = {}
        for part in PARTS:
            for name, arm in arms.items():
                ended = arm.ended(part * self.options.seconds)
                if time.monotonic() > until:
                    return False
                if not ended:
                    raise SystemExit(
                        f"no trial of '{name}' ended within {part:g} of --seconds "
                        f"{self.options.seconds:g}; give more"
                    )
                best = max(ended, key=lambda trial: trial.objective or 0.0)
                objective, auroc = best.objective, self._test(best)
                row = {"trials": len(ended), "objective": objective, "auroc": auroc}
                rows[f"{name} {part}"] = row
        write_json(self.folder / "pair.json", rows)
        return True

    def _test(self, winner: Trial) -> float:
        """Return the mean test AUROC of a winner that is trained anew."""
        params = detectors.check_params(detectors.load(DETECTOR), winner.params)
        (fold,) = {self.number % len(protocols.folds(self.spec, self.dataset))}
        job = partial(RunJob, fold, DETECTOR, params, selection="nested", device="cpu")
        jobs = [job(seed=s, store=Store(self.folder / "runs")) for s in range(self.options.tests)]
        return float(
            np.mean([evaluate.run_fold(job, self.spec, self.dataset)["auroc"] for job in jobs])
        )


def describe(pairs: Sequence[Pair]) -> None:
    """Print a line for each part of the time; differences are of pairs, with standard errors."""
    done = [row for row in (find_json(pair.folder / "pair.json") for pair in pairs) if row]
    options = pairs[0].options
    print(f"{options.benchmark}: {len(done)} pairs of {options.seconds:g} CPU s a study")
    heads = "trials", "objective of the winner", "its test AUROC"
    print(f"{'':7}{heads[0]:25}{heads[1]:36}{heads[2]}")
    columns = f"{'CPU s':7}{'apart  shared ratio':25}"
    print(columns + f"{'apart   shared  difference (se)':36}" * 2)
    for part in PARTS if done else ():
        apart, shared = ([pair[f"{arm} {part}"] for pair in done] for arm in ARMS)
        counts = [np.mean([row["trials"] for row in rows]) for rows in (apart, shared)]
        line = f"{part * options.seconds:<7.0f}"
        line += f"{counts[0]:<7.1f}{counts[1]:<7.1f}{counts[1] / counts[0]:<11.2f}"
        for name in ("objective", "auroc"):
            a, b = (np.array([row[name] for row in rows]) for rows in (apart, shared))
            error = (b - a).std(ddof=1) / math.sqrt(len(a)) if len(a) > 1 else math.nan
            difference = f"{(b - a).mean():+.4f} ({error:.4f})"
            line += f"{a.mean():<8.4f}{b.mean():<8.4f}{difference:20}"
        print(line)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--benchmark", default="digits-loo", help="MNIST needs OMASGAN_DATA")
    parser.add_argument("--share", type=int, default=8, help="trials of a group at most")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=300.0, help="of each study")
    parser.add_argument("--scale", type=float, default=1.0, help="of all phases")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--inner", type=int, default=2, help="tasks of a trial")
    parser.add_argument("--tests", type=int, default=2, help="seeds that a winner is tested with")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="then stop, to go on later"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    spec = config.load_benchmark(options.benchmark, max_train=MAX_TRAIN, max_test=MAX_TEST)
    dataset = protocols.load_data(spec)
    until = time.monotonic() + 60 * options.minutes
    pairs = [Pair(number, spec, dataset, options) for number in range(options.pairs)]
    for pair in pairs:
        if not (pair.folder / "pair.json").exists() and not pair.carry_out(until):
            break
    describe(pairs)


if __name__ == "__main__":
    main()
