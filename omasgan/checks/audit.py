"""Whether a detector's scores stay where they are, however the samples come to it.

A score that moves with the other samples of a batch, with their order or with the number of calls
reports numbers that no one can reach on a single sample. The checks, each against the scores of
all samples together:

- ``twice``: scored once more by the same object;
- ``shuffled``: in another order;
- ``in batches``: at most 256 samples a call, and never all in one;
- ``one by one``: a single sample a call.

Every check but ``twice`` starts from a copy of the detector as it came, so that what a first call
leaves behind (a range learned from the first batch, say) cannot hide.

How much may a score move? What matters is its rank among the others: the unit of a sample is the
interquartile range of all scores, or its own distance from their median where that is more (an
extreme score carries more rounding). A score may move by ``TOLERANCE`` units beyond
``ROUNDING_STEPS`` float32 steps at its own size: sums in another order move it that much, however
small the range in which scores vary on top of a large constant. The verdict is thus the same for
``score``, ``1000 * score`` and, as far as float32 can hold it, ``score + 1000``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import ConfigError

if TYPE_CHECKING:
    from omasgan.detectors.base import IterativeDetector

TOLERANCE = 1e-4
ROUNDING_STEPS = 8

Scores = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Finding:
    """The result of one check of the scores of one stage.

    ``deviation`` is the largest movement in units (see the module), beyond rounding; infinite
    where a score is not finite, or where the detector could not score at all: then ``error`` says
    why.
    """

    check: str
    stage: str
    deviation: float
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the scores stayed."""
        return self.deviation <= TOLERANCE


@dataclass(frozen=True)
class Audit:
    """The results of all checks, stage by stage."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every score stayed in every check."""
        return all(finding.passed for finding in self.findings)

    def moved(self) -> str:
        """Describe the findings that did not pass in one line; empty if all did."""
        return "; ".join(
            f"{f.stage} {f.check}: {f.error or f'by {f.deviation:.2g} of their spread'}"
            for f in self.findings
            if not f.passed
        )


def audit(
    detector: IterativeDetector,
    X: NDArray[Any],
    *,
    batch_size: int = 256,
    singles: int = 200,
    seed: int = 0,
) -> Audit:
    """Score ``X`` in several ways and compare.

    Args:
        detector: trained; it scores copies of itself, but ``twice``.
        X: at least 2 samples, as ``stage_scores`` takes them.
        batch_size: samples a call of ``in batches``, at most half of them.
        singles: how many samples, evenly spaced in X, are scored ``one by one``.
        seed: of the order of ``shuffled``.

    Raises:
        ConfigError: there are fewer than 2 samples.
    """
    n = len(X)
    if n < 2:
        raise ConfigError(f"an audit needs at least 2 samples, got {n}")
    fresh = copy.deepcopy(detector)
    together = detector.stage_scores(X)
    order = np.random.default_rng(seed).permutation(n)
    size = min(batch_size, (n + 1) // 2)
    chosen = np.unique(np.linspace(0, n - 1, min(singles, n)).round().astype(np.int64))
    everything = np.arange(n)
    ways: dict[str, tuple[IterativeDetector, Sequence[NDArray[np.int64]]]] = {
        "twice": (detector, [everything]),
        "shuffled": (copy.deepcopy(fresh), [order]),
        "in batches": (copy.deepcopy(fresh), np.split(everything, range(size, n, size))),
        "one by one": (fresh, np.split(chosen, len(chosen))),
    }
    findings: list[Finding] = []
    for check, (scorer, calls) in ways.items():
        findings += _check(check, scorer.stage_scores, X, calls, together)
    return Audit(tuple(findings))


def _check(
    check: str,
    score: Callable[[NDArray[Any]], Scores],
    X: NDArray[Any],
    calls: Sequence[NDArray[np.int64]],
    together: Scores,
) -> list[Finding]:
    """Score the rows of each call and compare with what they scored ``together``."""
    try:
        parts = [score(X[rows]) for rows in calls]
    except Exception as error:  # such as a batch norm that trains and receives one sample
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [Finding(check, stage, float("inf"), reason) for stage in together]
    rows = np.concatenate(list(calls))
    return [
        Finding(check, stage, _deviation(np.concatenate([p[stage] for p in parts]), rows, known))
        for stage, known in together.items()
    ]


def _deviation(
    moved: NDArray[np.float32], rows: NDArray[np.int64], known: NDArray[np.float32]
) -> float:
    """Return the largest movement from ``known[rows]`` to ``moved`` in units, beyond rounding."""
    if not (np.isfinite(moved).all() and np.isfinite(known).all()):
        return float("inf")
    low, median, high = np.quantile(known.astype(np.float64), [0.25, 0.5, 0.75])
    before = known[rows].astype(np.float64)
    unit = np.maximum(high - low, np.abs(before - median))
    rounding = ROUNDING_STEPS * np.spacing(np.abs(known[rows]).astype(np.float32))
    beyond = np.maximum(np.abs(moved - before) - rounding, 0.0)
    shares = np.divide(beyond, unit, out=np.full_like(beyond, np.inf), where=unit > 0)
    return float(np.where(beyond > 0, shares, 0.0).max())
