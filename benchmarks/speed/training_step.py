"""What a training step of each detector takes, by phase, and the scoring of some samples; with
``--against REV``, how many times as fast that is as at an earlier revision.

    OMASGAN_DATA=... python benchmarks/speed/training_step.py --against REV
    ... --detectors omasgan,anogan --data digits
    ... --against REV --detectors omasgan --data mnist --whole --rounds 7

Each revision is measured by this same file in a process of its own, which uses nothing but
``fit_epochs``, ``stage_scores`` and ``get_params`` of its detectors. The processes take turns, so
that a busy spell of the machine meets both, and a ratio is the median of those of all rounds;
above 1, this checkout is faster. Times are CPU seconds of one thread, which others on the machine
disturb little; on a GPU those of the clock.

A short training has a few epochs for each phase: the first, which builds networks and warms up,
and the last, which prepares for scoring, are not counted. ``default`` are the steps of all phases
at their default numbers. ``--whole`` trains at the default numbers instead, each round with a seed
of its own, and adds the AUROC of every stage, so that a loss of quality is seen beside the gain.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
DATA = {"digits": "digits-loo", "mnist": "mnist-loo"}
COUNTED = 2
"""Epochs of a phase that are counted; one more comes before them and one after."""

Figures: TypeAlias = dict[str, float]
"""Seconds by what they were spent on, and AUROCs by stage."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--against", metavar="REV", help="an earlier revision of this checkout")
    parser.add_argument("--detectors", help="by default all that are trained by steps")
    parser.add_argument("--data", default="digits,mnist", help="mnist needs OMASGAN_DATA")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--train", type=int, default=10_000, help="samples at most")
    parser.add_argument("--score", type=int, default=512, help="samples at most")
    parser.add_argument("--steps", type=int, default=10, help="of an epoch of a short training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="train at the default lengths")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        answer_requests(arguments.device)
        return
    names = arguments.detectors.split(",") if arguments.detectors else by_steps()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        roots = {"here": ROOT}
        if arguments.against:
            roots["before"] = extract(arguments.against, Path(folder) / "before")
        arms = {name: stack.enter_context(arm(at, arguments.device)) for name, at in roots.items()}
        for data in arguments.data.split(","):
            files = save_samples(data, Path(folder) / f"{data}.npz", arguments)
            print(heading(data, arguments), flush=True)
            for name in names:
                request = {"detector": name, "samples": str(files)}
                request["steps"] = 0 if arguments.whole else arguments.steps
                rounds = in_turn(arms, request, arguments.rounds)
                print_rows(name, rounds)


# What is measured: this part runs in each revision


def answer_requests(device: str) -> None:
    """Measure what each line of the standard input asks for, and answer with a line."""
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(measured(device=device, **json.loads(line))), flush=True)


def measured(detector: str, samples: str, steps: int, seed: int, device: str) -> Figures:
    """Train and score once: shortly, ``steps`` an epoch, or with 0 steps at the default length."""
    from omasgan import detectors

    arrays = np.load(samples)
    defaults = detectors.load(detector)().get_params()
    short = {name: (COUNTED + 2) * steps for name in defaults if is_length(name)}
    params = {**short, "epoch_steps": steps} if steps else {}
    trained = detectors.load(detector)(**params, seed=seed, device=device)
    now = time.process_time if device == "cpu" else time.perf_counter
    if steps:
        figures = step_seconds(trained, arrays["train"], steps, now)
        lengths = {phase: default_length(defaults, phase) for phase in figures}
        figures["default"] = sum(n * figures[phase] for phase, n in lengths.items())
    else:
        begun = now()
        trained.fit(arrays["train"])
        figures = {"training": now() - begun}
    begun = now()
    scores = trained.stage_scores(arrays["test"])
    figures["scoring"] = now() - begun
    return figures if steps else figures | aurocs(scores, arrays["labels"])


def step_seconds(
    detector: Any, X: NDArray[Any], steps: int, now: Callable[[], float]
) -> dict[str, float]:
    """Return the seconds of a step of each phase."""
    seconds: dict[str, list[float]] = defaultdict(list)
    before = now()
    for epoch in detector.fit_epochs(X):
        seconds[epoch.phase].append(now() - before)
        before = now()
    return {
        phase: sum(epochs[1:-1]) / ((len(epochs) - 2) * steps) for phase, epochs in seconds.items()
    }


def is_length(param: str) -> bool:
    """Return whether a param is the number of steps of a phase."""
    others = ("epoch_steps", "critic_steps", "search_steps")
    return param.endswith("_steps") and param not in others


def default_length(defaults: dict[str, Any], phase: str) -> int:
    """Return the default number of steps of a phase; a sole phase's param is ``train_steps``."""
    return int(defaults.get(f"{phase}_steps", defaults.get("train_steps", 0)))


def aurocs(scores: dict[str, NDArray[Any]], labels: NDArray[Any]) -> Figures:
    from sklearn.metrics import roc_auc_score

    return {f"AUROC {name}": float(roc_auc_score(labels, s)) for name, s in scores.items()}


# Who measures


def by_steps() -> list[str]:
    """Return the detectors that are trained by steps."""
    from omasgan import detectors

    return [n for n in detectors.names() if "epoch_steps" in detectors.load(n)().get_params()]


def save_samples(data: str, file: Path, arguments: argparse.Namespace) -> Path:
    """Save what is trained on and scored, and the labels of what is scored."""
    from omasgan import config
    from omasgan.data import protocols

    some = {"max_train": arguments.train, "max_test": arguments.score}
    limits = {} if arguments.whole else some
    spec = config.load_benchmark(DATA[data], **limits)
    dataset = protocols.load_data(spec, root=None, download=False)
    (fold,) = protocols.choose(protocols.folds(spec, dataset), [arguments.fold])
    labels = protocols.labels(fold, dataset.test.classes[fold.test])
    X, test = dataset.train.X[fold.train], dataset.test.X[fold.test]
    np.savez(file, train=X, test=test, labels=labels)
    return file


def extract(revision: str, folder: Path) -> Path:
    """Write the package as it was at ``revision`` into ``folder``."""
    command = ["git", "-C", str(ROOT), "archive", revision, "omasgan"]
    git = subprocess.run(command, capture_output=True, check=False)
    if git.returncode:
        sys.exit(f"--against {revision}: {git.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(git.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@contextlib.contextmanager
def arm(root: Path, device: str) -> Iterator[subprocess.Popen[str]]:
    """Return a context with a process that measures the package below ``root``."""
    command = [sys.executable, __file__, "--measure", "--device", device]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.setdefault("OMP_NUM_THREADS", "1")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, text=True, cwd=root
    ) as process:
        yield process


def in_turn(
    arms: dict[str, subprocess.Popen[str]], request: dict[str, Any], rounds: int
) -> dict[str, list[Figures]]:
    """Return what each arm measured, round by round; which of them begins changes."""
    answers: dict[str, list[Figures]] = {name: [] for name in arms}
    for seed in range(rounds):
        for name in sorted(arms, reverse=seed % 2 == 1):
            assert arms[name].stdin is not None and arms[name].stdout is not None
            print(json.dumps(request | {"seed": seed}), file=arms[name].stdin, flush=True)
            answer = arms[name].stdout.readline()
            if not answer:
                sys.exit(f"{request['detector']} could not be measured {name}; see above")
            answers[name].append(json.loads(answer))
    return answers


def heading(data: str, arguments: argparse.Namespace) -> str:
    clock = "CPU time" if arguments.device == "cpu" else f"time on {arguments.device}"
    before = f"  {'before':>9}  {'ratio':>5}  (lowest-highest)" if arguments.against else ""
    return f"\n{data}, {clock} in ms\n{'detector':12} {'':16} {'here':>9}{before}"


def print_rows(detector: str, rounds: dict[str, list[Figures]]) -> None:
    here, before = rounds["here"], rounds.get("before")
    for name in here[0]:
        unit = 1 if name.startswith("AUROC") else 1000
        values = [unit * figures[name] for figures in here]
        row = f"{detector:12} {name:16} {statistics.median(values):9.3f}"
        if before is not None and name in before[0]:
            row += against(values, [unit * figures[name] for figures in before], unit == 1)
        print(row, flush=True)


def against(here: list[float], before: list[float], is_score: bool) -> str:
    """Return the rest of a row: the median before, and the ratios of times or the differences of
    scores, this checkout's less those before.
    """
    pairs = zip(here, before, strict=True)
    compared = [a - b if is_score else b / a for a, b in pairs]
    median, low, high = statistics.median(compared), min(compared), max(compared)
    form = "+.3f" if is_score else ".2f"
    middle = f"{median:{form}}"
    return f"  {statistics.median(before):9.3f}  {middle:>5}  ({low:{form}} - {high:{form}})"


if __name__ == "__main__":
    main()
