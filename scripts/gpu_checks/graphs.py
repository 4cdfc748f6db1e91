"""Steps as CUDA graphs: every phase of every detector can be recorded, and does the same so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gpu_checks.rows import Options, Row, Value, judged
from gpu_checks.running import described
from gpu_checks.samples import VARIANTS, build, neural, samples
from omasgan.detectors.base import State

LIMIT = 0.05
"""The largest relative difference of a loss that may come from sums in another order ..."""
TIMES_EAGER = 3.0
"""... or so many times what two trainings without graphs differ by, if that is more."""


def capture(options: Options) -> Iterator[Row]:
    """Train every detector on samples of each kind, and OMASGAN's other forms; count replays."""
    steps = 4 if options.small else 8
    kinds = ["digits", "vectors"] if options.small else ["mnist", "digits", "cifar10", "vectors"]
    for name in neural():
        yield _captured(name, {kind: (kind, {}) for kind in kinds}, steps, options)
    forms = {form: ("digits", params) for form, params in VARIANTS.items()}
    for form, case in forms.items():
        yield _captured("omasgan", {form: case}, steps, options)


def _captured(
    name: str, cases: Mapping[str, tuple[str, dict[str, Any]]], steps: int, options: Options
) -> Row:
    """Return a row with the replays of each case, of all steps; a phase without any fails."""
    values: dict[str, Value] = {}
    passed = True
    for case, (kind, params) in cases.items():
        X, test = samples(kind, 400, 16)
        detector = build(name, steps, options, **params)
        try:
            with _counting_replays() as replays:
                by_phase = [_since(replays) for _ in detector.fit_epochs(X)]
            finite = all(_is_finite(scores) for scores in detector.stage_scores(test).values())
        except Exception as error:
            passed, values[case] = False, described(error)
            continue
        passed &= finite and (all(by_phase) or not options.on_gpu)
        values[case] = f"{sum(by_phase)} of {steps * len(by_phase)}"
    return judged("capture", f"{name}: replayed steps", passed, values)


@contextmanager
def _counting_replays() -> Iterator[list[int]]:
    """Return a context with a list that gets an entry at each replay of a CUDA graph."""
    replays: list[int] = []
    original = torch.cuda.CUDAGraph.replay

    def counted(graph: torch.cuda.CUDAGraph) -> None:
        replays.append(1)
        original(graph)

    torch.cuda.CUDAGraph.replay = counted  # type: ignore[method-assign]
    try:
        yield replays
    finally:
        torch.cuda.CUDAGraph.replay = original  # type: ignore[method-assign]


def _since(replays: list[int]) -> int:
    count = len(replays)
    replays.clear()
    return count


def _is_finite(scores: Any) -> bool:
    return bool(torch.from_numpy(scores).isfinite().all())


def equality(options: Options) -> Iterator[Row]:
    """Compare 50 steps of each phase with graphs and without, and twice without."""
    steps = 4 if options.small else 50
    kinds = ["digits"] if options.small else ["mnist"]
    for kind in kinds:
        X, _ = samples(kind, 1000, 0)
        for name in neural():
            try:
                eager, again = (_trained(name, steps, X, options, graphs=False) for _ in range(2))
                graph = _trained(name, steps, X, options, graphs=True)
            except Exception as error:
                yield Row("equality", f"{name}, {kind}", "failed", {"error": described(error)})
                continue
            own, by_graph = _compared(eager, again), _compared(eager, graph)
            limit = max(LIMIT, TIMES_EAGER * own["losses"]) if options.on_gpu else 0.0
            values: dict[str, Value] = {
                "steps": len(eager[0]),
                "bit-equal": by_graph["weights"] == 0 == by_graph["losses"],
                "losses": by_graph["losses"],
                "weights": by_graph["weights"],
                "eager twice: losses": own["losses"],
                "weights ": own["weights"],
            }
            yield judged("equality", f"{name}, {kind}", by_graph["losses"] <= limit, values)


def _trained(
    name: str, steps: int, X: Any, options: Options, *, graphs: bool
) -> tuple[list[Mapping[str, float]], State]:
    """Return the losses of each step, and the state at the end."""
    detector = build(name, steps, options, epoch_steps=1, graphs=graphs)
    losses = [epoch.losses for epoch in detector.fit_epochs(X)]
    return losses, detector.state_dict()["networks"]


def _compared(
    one: tuple[list[Mapping[str, float]], State], other: tuple[list[Mapping[str, float]], State]
) -> dict[str, float]:
    """Return the largest relative difference of a loss and the largest of a weight."""
    losses = max(
        abs(a[name] - b[name]) / max(1.0, abs(a[name]))
        for a, b in zip(one[0], other[0], strict=True)
        for name in a
    )
    weights = max(
        _difference(tensor, other[1][network][name])
        for network, tensors in one[1].items()
        for name, tensor in tensors.items()
    )
    return {"losses": losses, "weights": weights}


def _difference(a: Tensor, b: Tensor) -> float:
    if a.numel() == 0 or torch.equal(a, b):
        return 0.0
    difference = float((a.double() - b.double()).abs().max())
    return difference if math.isfinite(difference) else math.inf
