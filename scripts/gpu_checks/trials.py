"""Eight trials that share a GPU: in processes of our own, and as a sweep on Ray."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from gpu_checks.neighbour import trial_data
from gpu_checks.rows import Options, Row, SkippedError, Value, judged
from gpu_checks.samples import lengths, small
from gpu_checks.workers import WorkerError, all_call, workers
from omasgan.backends import shares as gpu_shares
from omasgan.training.evaluate import run_trial
from omasgan.training.jobs import TrialJob
from omasgan.training.trials import Ending

SHARE, TRIALS = 0.25, 8
NEEDED = ("ray", "optuna", "typer", "rich")


class Slot:
    """A process that trains on its share of a GPU."""

    def __init__(self, options: Options) -> None:
        self._options = options
        if options.on_gpu:
            gpu_shares.keep_to_share(SHARE)

    def train(self, trials: int) -> list[tuple[str, str]]:
        return [self._trial() for _ in range(trials)]

    def _trial(self) -> tuple[str, str]:
        few = lengths("omasgan", 2) | small("omasgan")
        job = TrialJob("omasgan", few if self._options.small else {}, self._options.device)
        *_, ending = run_trial(job, trial_data())
        assert isinstance(ending, Ending)
        return ending.outcome, (ending.error or "")[:160]


def shares(options: Options) -> Iterator[Row]:
    """Eight trainings of default length in four processes, each kept to its quarter."""
    n = 2 if options.small else round(1 / SHARE)
    each = 1 if options.small else TRIALS // n
    with workers(n, Slot, options) as crew:
        begun = time.perf_counter()
        try:
            answers = all_call(crew, "train", trials=each)
        except WorkerError as error:
            yield Row("shares", "", "failed", {"error": str(error)})
            return
        seconds = time.perf_counter() - begun
    outcomes = [outcome for answer in answers for outcome in answer]
    errors = [error for outcome, error in outcomes if outcome != "ok"]
    values: dict[str, Value] = {"ok": len(outcomes) - len(errors), "seconds": seconds}
    values["trials/h"] = 3600 * len(outcomes) / seconds
    if errors:
        values["error"] = errors[0]
    yield judged("shares", f"{len(outcomes)} trials, {n} processes", not errors, values)


def sweep(options: Options) -> Iterator[Row]:
    """The command itself: eight trials of OMASGAN on digits at a quarter of a GPU, on Ray."""
    for package in NEEDED:
        importlib.import_module(package)
    if not options.on_gpu:
        raise SkippedError("a sweep without a GPU is what make demo runs")
    with tempfile.TemporaryDirectory() as out:
        arguments = ["sweep", "digits-loo", "omasgan", "--trials", str(TRIALS), "--folds", "0"]
        arguments += ["--gpus-per-trial", str(SHARE), "--inner", "1", "--tracking-uri", "none"]
        arguments += ["--out", out, "--max-train", "500", "--max-test", "200"]
        code = "import sys; from omasgan.cli import main; main()"
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=dict(os.environ), capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - begun
        devices = _devices(Path(out))
    passed = done.returncode == 0 and devices == {"cuda"}
    told = {"seconds": seconds, "cards": torch.cuda.device_count()}
    error = {} if passed else {"error": " ".join(done.stderr.split()[-30:])}
    yield judged("sweep", f"{TRIALS} trials at {SHARE}", passed, {**told, **error})


def _devices(out: Path) -> set[str]:
    """Return the kinds of device that the final runs were made on."""
    from omasgan.store.results import Store

    return {row["device_class"] for row in Store(out).results()}
