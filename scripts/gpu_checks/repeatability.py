"""Whether a seed gives the same scores twice, and an interrupted training those of a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_checks.rows import Options, Row, Value, judged
from gpu_checks.running import described
from gpu_checks.samples import build, largest_movement, neural, samples
from omasgan.detectors.neural import NeuralDetector
from omasgan.store.states import load_state, save_state

EPOCHS = 3
"""Epochs of a phase: the training is interrupted within each."""

ALIKE = 0.05
"""Share of their spread that scores may move by after another order of sums; on a CPU none."""


def repeatability(options: Options) -> Iterator[Row]:
    steps = 2 if options.small else 10
    kind, n = ("digits", 64) if options.small else ("mnist", 256)
    X, test = samples(kind, 1000, n)
    for name in neural():
        try:
            yield _repeated(name, steps, X, test, options)
        except Exception as error:
            yield Row("repeatability", name, "failed", {"error": described(error)})


def _repeated(name: str, steps: int, X: Any, test: Any, options: Options) -> Row:
    def new(**params: Any) -> NeuralDetector:
        return build(name, EPOCHS * steps, options, epoch_steps=steps, **params)

    first, second = new().fit(X), new().fit(X)
    resumed = _interrupted(new, X)
    scores = first.stage_scores(test)
    twice = largest_movement(scores, second.stage_scores(test))
    cut = largest_movement(scores, resumed.stage_scores(test))
    limit = max(ALIKE, 3 * twice) if options.on_gpu else 0.0
    values: dict[str, Value] = {
        "same seed": _moved(twice),
        "resumed": _moved(cut),
    }
    if options.on_gpu:
        on_cpu = build(name, EPOCHS * steps, replace(options, device="cpu"), epoch_steps=steps)
        on_cpu.load_state_dict(first.state_dict())
        values["scored on a CPU"] = _moved(largest_movement(scores, on_cpu.stage_scores(test)))
    return judged("repeatability", name, cut <= limit, values)


def _interrupted(new: Any, X: Any) -> NeuralDetector:
    """Return a training that was saved and loaded by another process's means in each phase."""
    detector: NeuralDetector = new()
    epochs = detector.fit_epochs(X)
    total = len({epoch.phase for epoch in new().fit_epochs(X)}) * EPOCHS
    with tempfile.TemporaryDirectory() as folder:
        for index in range(total):
            next(epochs)
            if index % EPOCHS == 1:
                save_state(Path(folder) / "state", detector.state_dict())
                detector = new()
                detector.load_state_dict(load_state(Path(folder) / "state"))
                epochs = detector.fit_epochs(X)
    return detector


def _moved(movement: float) -> str:
    return "bit-equal" if movement == 0 else f"moved by {movement:.2g} of the spread"
