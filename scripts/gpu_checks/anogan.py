"""How long AnoGAN's searches take, by how many of them run side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from gpu_checks.rows import Options, Row, Value
from gpu_checks.samples import build, largest_movement, samples
from omasgan.detectors import anogan as module

ON_CPU = 50
"""Images that a CPU scores; its time is scaled."""


def anogan(options: Options) -> Iterator[Row]:
    n, steps = (40, 5) if options.small else (1000, 200)
    X, test = samples("digits" if options.small else "mnist", 2000, n)
    trained = build("anogan", steps, options).fit(X)
    kind = "cuda" if options.on_gpu else "cpu"
    by_slots = {}
    for slots in (64, 1024) if options.on_gpu else (64,):
        with mock.patch.dict(module.SLOTS, {kind: slots}):
            trained.stage_scores(test[:slots])
            seconds, scores = _timed(trained, test)
        by_slots[slots] = scores
        yield Row("anogan", f"{n} images on {kind}, {slots} slots", "told", {"seconds": seconds})
    if not options.on_gpu:
        return
    on_cpu = build("anogan", steps, replace(options, device="cpu"))
    on_cpu.load_state_dict(trained.state_dict())
    seconds, scores = _timed(on_cpu, test[:ON_CPU])
    values: dict[str, Value] = {"seconds": seconds * n / ON_CPU}
    yield Row("anogan", f"{n} images on a CPU (from {ON_CPU})", "told", values)
    values = {
        "64 and 1024 slots": largest_movement(by_slots[64], by_slots[1024]),
        "rank correlation": _rank_correlation(by_slots[64], by_slots[1024]),
    }
    yield Row("anogan", "scores moved, of their spread", "told", values)


def _timed(detector: Any, X: Any) -> tuple[float, dict[str, Any]]:
    begun = time.perf_counter()
    scores = detector.stage_scores(X)
    return time.perf_counter() - begun, scores


def _rank_correlation(one: dict[str, Any], other: dict[str, Any]) -> float:
    ranks = [np.argsort(np.argsort(scores["anogan"])) for scores in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])
