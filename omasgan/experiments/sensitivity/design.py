"""Which settings a study trains: values of the named params around a base point."""

from __future__ import annotations

import itertools
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from omasgan.detectors import NOT_PARAMS, check_params, parameters
from omasgan.errors import ConfigError, unknown
from omasgan.study.space import Choice, Domain, Fixed, Param, Range, Space

DESIGNS = ("one-at-a-time", "grid")
SYMBOLS = {"n": "boundary_batch", "q": "boundary_reference"}
"""The paper's symbols that are no names of params, in lower case."""
FACTOR = 4.0
"""A number that the space does not vary goes from base / FACTOR to base * FACTOR."""
LEAST_POINTS = 3
"""With fewer values a curve has no inside."""


@dataclass(frozen=True)
class Axis:
    """A param and the values that are tried, in order; the base value is one of them.

    ``log`` says that equal ratios are equal steps, ``ordered`` that the values are numbers.
    ``source`` says where the range comes from.
    """

    name: str
    values: tuple[Any, ...]
    base: Any
    log: bool
    source: str

    @property
    def ordered(self) -> bool:
        return not isinstance(self.base, str | bool)


@dataclass(frozen=True)
class SensitivityPlan:
    """All that is trained: settings of the axes' params, on folds, with seeds.

    ``points`` are the values of a param at most, choices apart.
    """

    design: str
    points: int
    axes: tuple[Axis, ...]
    base: Mapping[str, Any]
    settings: tuple[Mapping[str, Any], ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def trainings(self) -> int:
        return len(self.settings) * len(self.folds) * len(self.seeds)

    def __str__(self) -> str:
        folds, seeds = (",".join(map(str, of)) for of in (self.folds, self.seeds))
        return (
            f"{self.trainings} trainings: {len(self.settings)} settings ({self.design}) on folds "
            f"{folds} with seeds {seeds}"
        )


def design(
    detector: type[Any],
    names: Sequence[str],
    base: Mapping[str, Any],
    space: Space | None,
    *,
    design: str = "one-at-a-time",
    points: int = 5,
    folds: Sequence[int],
    seeds: Sequence[int],
    budget: int | None = None,
) -> SensitivityPlan:
    """The study of the params ``names`` around ``base``.

    Args:
        detector: whose constructor says what its params take.
        names: params, or the paper's symbols for them.
        base: all params of the detector.
        space: whose ranges the values come from; what it does not vary is varied around the base.
        design: ``one-at-a-time`` or ``grid``.
        points: values of a param at most; a choice has all of its own.
        folds: their indices.
        seeds: of the trainings.
        budget: trainings at most; within it there are as many points as it allows.

    Raises:
        ConfigError: an unknown param or design, one that cannot be varied, a base value outside
            its range, or a budget that is too small.
    """
    if design not in DESIGNS:
        raise unknown("design", design, DESIGNS)
    if points < LEAST_POINTS:
        raise ConfigError(f"--points must be at least {LEAST_POINTS}, got {points}")
    chosen = params(detector, names)
    least = 0
    for count in range(points, LEAST_POINTS - 1, -1):
        axes = tuple(_axis(detector, name, base, space, count) for name in chosen)
        settings = tuple(_settings(design, axes, base, space))
        made = SensitivityPlan(design, count, axes, base, settings, tuple(folds), tuple(seeds))
        if budget is None or made.trainings <= budget:
            return made
        least = made.trainings
    raise ConfigError(
        f"--budget {budget} is too small: {len(chosen)} params with {LEAST_POINTS} values each on "
        f"{len(folds)} folds with {len(seeds)} seeds are {least} trainings; give fewer --params, "
        "--folds or --seeds"
    )


def varied(space: Space | None, base: Mapping[str, Any]) -> list[str]:
    """The params that the space varies and that exist beside ``base``.

    Raises:
        ConfigError: there is no space.
    """
    if space is None:
        raise ConfigError("without a search space --params must say what to vary")
    return [p.name for p in space.params if not isinstance(p.domain, Fixed) and p.is_active(base)]


def params(detector: type[Any], names: Sequence[str]) -> list[str]:
    """The params that ``names`` mean, each once.

    Raises:
        ConfigError: a name that the detector does not take.
    """
    known = list(check_params(detector, {}))
    found = []
    for name in names:
        name = name.strip()
        symbol = SYMBOLS.get(name.lower(), name)
        given = symbol if symbol in known else name
        if given not in known:
            raise unknown(f"parameter of {detector.__name__}", given, known)
        found.append(given)
    if not found:
        raise ConfigError("--params names no parameter; give for instance --params mu,nu")
    return list(dict.fromkeys(found))


def _settings(
    design: str, axes: Sequence[Axis], base: Mapping[str, Any], space: Space | None
) -> Iterator[Mapping[str, Any]]:
    """All params of each setting, the base first.

    In a grid, a param is not varied where a condition of the space takes it away.
    """
    yield dict(base)
    if design == "one-at-a-time":
        for axis in axes:
            for value in axis.values:
                if value != axis.base:
                    yield {**base, axis.name: value}
        return
    conditions = {param.name: param for param in space.params} if space else {}
    for values in itertools.product(*(axis.values for axis in axes)):
        point = {**base, **{axis.name: v for axis, v in zip(axes, values, strict=True)}}
        idle = (a for a in axes if a.name in conditions and point[a.name] != a.base)
        if point != base and all(conditions[axis.name].is_active(point) for axis in idle):
            yield point


def _axis(
    detector: type[Any], name: str, base: Mapping[str, Any], space: Space | None, points: int
) -> Axis:
    param = next((p for p in space.params if p.name == name), None) if space else None
    if param is None or isinstance(param.domain, Fixed):
        return _around(detector, name, base[name], points)
    _check_base(param, base)
    if isinstance(param.domain, Choice):
        return Axis(name, param.domain.choices, base[name], False, "space")
    values = _spread(param.domain, base[name], points)
    return Axis(name, values, base[name], param.domain.log, "space")


def _check_base(param: Param, base: Mapping[str, Any]) -> None:
    if not param.is_active(base):
        needs = " and ".join(f"{k} = {' or '.join(map(str, v))}" for k, v in param.when)
        raise ConfigError(
            f"'{param.name}' exists in the space only with {needs}, which the base does not have; "
            "give a base that has (--around FILE)"
        )
    value = base[param.name]
    inside = value in param.domain.choices if isinstance(param.domain, Choice) else (
        isinstance(param.domain, Range) and param.domain.low <= value <= param.domain.high
    )  # fmt: skip
    if not inside:
        raise ConfigError(
            f"the base has {param.name} = {value}, which is outside the space: "
            f"{_text(param.domain)}; give another --around or --space FILE"
        )


def _text(domain: Domain) -> str:
    if isinstance(domain, Range):
        return f"{domain.low:g} to {domain.high:g}"
    return ", ".join(map(str, domain.choices if isinstance(domain, Choice) else [domain.value]))


def _spread(domain: Range, base: float, points: int) -> tuple[Any, ...]:
    """``points`` values over the range, evenly; that which is nearest to the base gives way."""
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


def _around(detector: type[Any], name: str, base: Any, points: int) -> Axis:
    """Values of a param that no space varies: all of its choices, or a range around the base."""
    hint = parameters(detector)[name].annotation
    choices = _choices(hint)
    if choices:
        return Axis(name, choices, base, False, "all choices")
    if isinstance(base, bool) or not isinstance(base, int | float) or name in NOT_PARAMS:
        raise ConfigError(f"'{name}' is {base!r}, which has no range; give one with --space FILE")
    low, high = _bounds(hint)
    if low is not None and high is not None and not isinstance(base, int):
        inside = [v for v in np.linspace(low, high, points).tolist() if _takes(detector, name, v)]
        domain = Range(float(inside[0]), float(inside[-1]))
        return Axis(name, _spread(domain, base, points), base, False, "all that it takes")
    if base <= 0:
        raise ConfigError(
            f"'{name}' is {base} in the base and the space does not vary it, so that there is no "
            "range around it; give one with --space FILE, or another base with --around FILE"
        )
    ends: tuple[Any, Any] = (base / FACTOR, base * FACTOR)
    if isinstance(base, int):
        ends = (max(round(ends[0]), math.ceil(low if low is not None else 0), 1), round(ends[1]))
    if high is not None:
        ends = (ends[0], min(ends[1], high))
    domain = Range(*ends, log=True)
    return Axis(
        name, _spread(domain, base, points), base, True, f"base / {FACTOR:g} to base * {FACTOR:g}"
    )


def _takes(detector: type[Any], name: str, value: Any) -> bool:
    try:
        check_params(detector, {name: value})
    except ConfigError:
        return False
    return True


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values of a Literal or bool annotation; () for others."""
    if get_origin(hint) is Annotated:
        return _choices(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return ()
    if hint is bool:
        return (False, True)
    return get_args(hint) if get_origin(hint) is Literal else ()


def _bounds(hint: Any) -> tuple[float | None, float | None]:
    """The ends that pydantic's metadata in an annotation set, open or closed."""
    ends: dict[str, float] = {}
    for field in getattr(hint, "__metadata__", ()):
        for mark in getattr(field, "metadata", ()):
            for name in ("ge", "gt", "le", "lt"):
                if hasattr(mark, name):
                    ends[name[0]] = getattr(mark, name)
    return ends.get("g"), ends.get("l")
