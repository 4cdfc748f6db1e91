"""Which configurations of a space are probed to see what its trials need."""

from __future__ import annotations

from typing import Any

from omasgan.study.guide import Guide
from omasgan.study.space import Choice, Fixed, Params, Range, Space

SAMPLED = 3
"""Configurations that are probed besides the largest."""


def configurations(space: Space) -> list[Params]:
    """Return the largest configuration of the space and some with which a study begins."""
    return [largest(space), *first(space, SAMPLED)]


def largest(space: Space) -> Params:
    """Return the configuration with every number at its upper end, and of choices without an order
    the first.

    Memory grows with widths, depths and batch sizes, and hardly depends on anything else.
    """
    params: Params = {}
    for param in space.params:
        if param.is_active(params):
            params[param.name] = _upper(param.domain)
    return params


def first(space: Space, n: int, *, seed: int = 0, sampler: str = "TPESampler") -> list[Params]:
    """Return the configurations that a study with this seed begins with: what its sampler suggests
    as long as no trial has ended.
    """
    guide = Guide(space, None, seed=seed, sampler=sampler)
    return [dict(guide.ask().params) for _ in range(n)]


def _upper(domain: Range | Choice | Fixed) -> Any:
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, Range):
        return domain.high
    numbers = [c for c in domain.choices if isinstance(c, int | float)]
    return max(numbers) if len(numbers) == len(domain.choices) else domain.choices[0]
