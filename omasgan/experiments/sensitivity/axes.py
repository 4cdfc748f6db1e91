"""The values that a study tries of one param: from a search space, or else around the base."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omasgan.detectors import parameters
from omasgan.detectors.params import Parameter
from omasgan.errors import ConfigError
from omasgan.study.space import Choice, Domain, Fixed, Param, Range, Space

FACTOR = 4.0
"""A number that no space varies goes from base / FACTOR to base * FACTOR."""
NO_SPACE = "since no space varies it"


@dataclass(frozen=True)
class Axis:
    """A param and the values that are tried, in order; the base value is one of them.

    ``log`` says that equal ratios are equal steps, ``source`` where the range comes from.
    """

    name: str
    values: tuple[Any, ...]
    base: Any
    log: bool
    source: str

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers."""
        return not isinstance(self.base, str | bool)


def varied_params(spaces: Mapping[str, Space]) -> dict[str, tuple[str, Param]]:
    """By name, each param that one of the spaces varies, with the name of the first that does."""
    params: dict[str, tuple[str, Param]] = {}
    for source, space in spaces.items():
        for param in space.params:
            if not isinstance(param.domain, Fixed):
                params.setdefault(param.name, (source, param))
    return params


def axis(
    detector: type[Any],
    name: str,
    base: Mapping[str, Any],
    spaces: Mapping[str, Space],
    points: int,
) -> Axis:
    """The values of the param ``name``, at most ``points`` unless they are choices.

    The range comes from the first of ``spaces`` that varies the param. Where none does, it comes
    from the param's annotation and its base value, and ``source`` says so.

    Raises:
        ConfigError: the base is outside the range, does not have the param, or gives no range.
    """
    if name not in (known := varied_params(spaces)):
        return _around(parameters(detector)[name], base[name], points)
    source, param = known[name]
    _check_base(param, base)
    if isinstance(param.domain, Range):
        values = _spread(param.domain, base[name], points)
        return Axis(name, values, base[name], param.domain.log, source)
    assert isinstance(param.domain, Choice)
    return Axis(name, param.domain.choices, base[name], False, source)


def _check_base(param: Param, base: Mapping[str, Any]) -> None:
    if not param.is_active(base):
        needs = " and ".join(f"{k} = {' or '.join(map(str, v))}" for k, v in param.when)
        raise ConfigError(
            f"'{param.name}' exists in the space only with {needs}, which the base does not have; "
            "give a base that has it (--around FILE)"
        )
    value, domain = base[param.name], param.domain
    inside = value in domain.choices if isinstance(domain, Choice) else (
        isinstance(domain, Range) and domain.low <= value <= domain.high
    )  # fmt: skip
    if not inside:
        raise ConfigError(
            f"the base has {param.name} = {value}, which is outside the space: {_text(domain)}; "
            "give another --around or --space FILE"
        )


def _text(domain: Domain) -> str:
    if isinstance(domain, Range):
        return f"{domain.low:g} to {domain.high:g}"
    return ", ".join(map(str, domain.choices if isinstance(domain, Choice) else [domain.value]))


def _spread(domain: Range, base: float, points: int) -> tuple[Any, ...]:
    """``points`` values spread evenly over the range; the base replaces the nearest of them."""
    space = np.geomspace if domain.log else np.linspace
    values = [float(f"{value:.3g}") for value in space(domain.low, domain.high, points)]
    values[0], values[-1] = domain.low, domain.high
    if domain.integer:
        step = int(domain.step or 1)
        low = int(domain.low)
        values = [low + step * round((value - low) / step) for value in values]

    def distance(value: float) -> float:
        return abs(math.log(value / base)) if domain.log else abs(value - base)

    values.remove(min(values, key=distance))
    return tuple(sorted({*values, base}))


def _around(param: Parameter, base: Any, points: int) -> Axis:
    """All choices of a param that no space varies, its whole range, or values around the base."""
    if param.choices:
        return Axis(param.name, param.choices, base, False, f"all its choices, {NO_SPACE}")
    if isinstance(base, bool) or not isinstance(base, int | float):
        raise ConfigError(
            f"'{param.name}' is {base!r}, which has no range; give one with --space FILE"
        )
    low, high = _bounds(param)
    if low is not None and high is not None and not isinstance(base, int):
        inside = [v for v in np.linspace(low, high, points).tolist() if param.takes(v)]
        values = _spread(Range(float(inside[0]), float(inside[-1])), base, points)
        return Axis(param.name, values, base, False, f"all that the detector accepts, {NO_SPACE}")
    if base <= 0:
        raise ConfigError(
            f"'{param.name}' is {base} in the base and no space varies it, so that there is no "
            "range around it; give one with --space FILE, or another base with --around FILE"
        )
    ends: tuple[Any, Any] = (base / FACTOR, base * FACTOR)
    if isinstance(base, int):
        ends = (max(round(ends[0]), math.ceil(low if low is not None else 0), 1), round(ends[1]))
    if high is not None:
        ends = (ends[0], min(ends[1], high))
    values = _spread(Range(*ends, log=True), base, points)
    source = f"base / {FACTOR:g} to base * {FACTOR:g}, {NO_SPACE}"
    return Axis(param.name, values, base, True, source)


def _bounds(param: Parameter) -> tuple[float | None, float | None]:
    """The ends that the annotation of a number sets, open or closed."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(param.annotation).json_schema()
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    return low, schema.get("maximum", schema.get("exclusiveMaximum"))
