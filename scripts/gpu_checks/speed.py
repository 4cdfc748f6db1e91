"""Steps per second of OMASGAN's phases: with graphs and without, and in several processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from gpu_checks import mps
from gpu_checks.rows import Options, Row, SkippedError, Value
from gpu_checks.samples import build, samples
from gpu_checks.workers import Worker, WorkerError, all_call, workers
from omasgan.detectors.omasgan import OMASGAN

COUNTED = 2
"""Epochs of a phase whose time is taken; one before them warms up, one more follows."""

CROWD = (4, 8)
"""Processes at once, besides one."""


class Stepper:
    """A training that goes on epoch by epoch, on one thread."""

    def __init__(self, options: Options) -> None:
        torch.set_num_threads(1)
        self._options = options

    def prepare(self, steps: int, graphs: bool, device: str) -> list[str]:
        """Begin a training of epochs of ``steps`` steps; return its phases."""
        kind = "digits" if self._options.small else "mnist"
        X, _ = samples(kind, 2000, 0)
        params: dict[str, Any] = {"epoch_steps": steps, "graphs": graphs, "device": device}
        detector = build("omasgan", (COUNTED + 2) * steps, self._options, **params)
        self._epochs = detector.fit_epochs(X)
        return ["gan", "boundary", "retrain", "detector"]

    def advance(self, epochs: int) -> float:
        """Train for so many epochs; return the seconds. An epoch ends with its losses as numbers,
        for which a GPU has to be done.
        """
        begun = time.perf_counter()
        for _ in range(epochs):
            next(self._epochs)
        return time.perf_counter() - begun


def speed(options: Options) -> Iterator[Row]:
    steps = 2 if options.small else 100
    yield _row("eager", 1, options, steps=steps // 2, graphs=False)
    yield _row("graph", 1, options, steps=steps, graphs=True)
    if options.on_gpu:
        yield _row("on a CPU, one thread", 1, options, steps=4, graphs=False, device="cpu")
    for n in CROWD if options.on_gpu else ():
        yield _row("graph", n, options, steps=steps, graphs=True)
    if not options.on_gpu:
        yield Row("speed", "MPS", "skipped", {"why": "MPS needs a GPU"})
        return
    try:
        with mps.service():
            yield from _with_mps(options, steps)
    except SkippedError as reason:
        yield Row("speed", "MPS", "skipped", {"why": str(reason)})
    yield _row("eager", CROWD[-1], options, steps=steps // 6, graphs=False)


def _with_mps(options: Options, steps: int) -> Iterator[Row]:
    alone = _row("graph, MPS", 1, options, steps=steps, graphs=True)
    if alone.result == "failed":
        raise SkippedError(f"a client of MPS cannot train here: {alone.figures}")
    yield alone
    yield Row("speed", "MPS", "told", {"servers": mps.servers()})
    for n in CROWD:
        yield _row("graph, MPS", n, options, steps=steps, graphs=True)
    yield _row("eager, MPS", CROWD[-1], options, steps=steps // 6, graphs=False)


def _row(
    way: str, n: int, options: Options, *, steps: int, graphs: bool, device: str | None = None
) -> Row:
    case = f"{way}, {n} process{'es' * (n > 1)}"
    try:
        with workers(n, Stepper, options) as crew:
            rates = _rates(crew, steps, graphs, device or options.device)
    except WorkerError as error:
        return Row("speed", case, "failed", {"error": str(error)})
    lengths = {phase: n_steps for phase, n_steps in OMASGAN()._phases().items() if n_steps}
    hour = 3600 * 1 / sum(n_steps / rates[phase] for phase, n_steps in lengths.items())
    values: dict[str, Value] = {f"{phase}/s": rate for phase, rate in rates.items()}
    return Row("speed", case, "told", {**values, "trainings/h": hour})


def _rates(crew: list[Worker], steps: int, graphs: bool, device: str) -> dict[str, float]:
    """Return the steps per second of all workers together, by phase; they begin each phase at
    once.
    """
    phases = all_call(crew, "prepare", steps=steps, graphs=graphs, device=device)[0]
    rates = {}
    for phase in phases:
        all_call(crew, "advance", epochs=1)
        seconds = all_call(crew, "advance", epochs=COUNTED)
        rates[phase] = len(crew) * COUNTED * steps / max(seconds)
        all_call(crew, "advance", epochs=1)
    return rates
