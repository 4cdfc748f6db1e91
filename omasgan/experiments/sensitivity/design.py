"""Which settings a study trains: values of the named params around a base point."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omasgan.detectors import check_params
from omasgan.errors import ConfigError, unknown
from omasgan.experiments.sensitivity.axes import Axis, axis, varied_params
from omasgan.study.space import Fixed, Param, Space

DESIGNS = ("one-at-a-time", "grid")
SYMBOLS = {"n": "boundary_batch", "q": "boundary_reference"}
"""The paper's symbols that are no names of params, in lower case."""
MIN_POINTS = 3
"""With fewer values a curve has no interior."""


@dataclass(frozen=True)
class SensitivityPlan:
    """All that is trained: ``settings`` of the axes' params, on folds, with seeds.

    ``points`` is the largest number of values of a param, choices apart.
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


def design(  # noqa: PLR0913 - each is a choice that the user has
    detector: type[Any],
    names: Sequence[str],
    base: Mapping[str, Any],
    spaces: Mapping[str, Space],
    *,
    design: str = "one-at-a-time",
    points: int = 5,
    folds: Sequence[int],
    seeds: Sequence[int],
    budget: int | None = None,
) -> SensitivityPlan:
    """The study of the params ``names`` around ``base``.

    Args:
        detector: whose constructor declares the params.
        names: params, or the paper's symbols for them.
        base: all params of the detector.
        spaces: by name, search spaces from which the ranges come, the first one first; a param
            that none of them varies is varied around the base.
        design: ``one-at-a-time`` or ``grid``.
        points: the largest number of values of a param; a choice has all of its own.
        folds: their indices.
        seeds: of the trainings.
        budget: the largest number of trainings; points are left out to keep to it.

    Raises:
        ConfigError: an unknown param or design, one that cannot be varied, a base value outside
            its range, or a budget that is too small.
    """
    if design not in DESIGNS:
        raise unknown("design", design, DESIGNS)
    if points < MIN_POINTS:
        raise ConfigError(f"--points must be at least {MIN_POINTS}, got {points}")
    chosen = params(detector, names)
    for count in range(points, MIN_POINTS - 1, -1):
        axes = tuple(axis(detector, name, base, spaces, count) for name in chosen)
        settings = tuple(_settings(design, axes, base, spaces))
        plan = SensitivityPlan(design, count, axes, base, settings, tuple(folds), tuple(seeds))
        if budget is None or plan.trainings <= budget:
            return plan
    raise ConfigError(
        f"--budget {budget} is too small: {len(chosen)} params with {MIN_POINTS} values each on "
        f"{len(folds)} folds with {len(seeds)} seeds are {plan.trainings} trainings; give fewer "
        "--params, --folds or --seeds"
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
        ConfigError: a name that the detector does not have.
    """
    known = list(check_params(detector, {}))
    chosen = []
    for name in names:
        name = name.strip()
        symbol = SYMBOLS.get(name.lower(), name)
        param = symbol if symbol in known else name
        if param not in known:
            raise unknown(f"parameter of {detector.__name__}", param, known)
        chosen.append(param)
    if not chosen:
        raise ConfigError("--params names no parameter; give for instance --params mu,nu")
    return list(dict.fromkeys(chosen))


def _settings(
    design: str, axes: Sequence[Axis], base: Mapping[str, Any], spaces: Mapping[str, Space]
) -> Iterator[Mapping[str, Any]]:
    """All params of each setting, the base first."""
    yield dict(base)
    if design == "grid":
        yield from _grid(axes, base, {n: param for n, (_, param) in varied_params(spaces).items()})
        return
    for one in axes:
        for value in one.values:
            if value != one.base:
                yield {**base, one.name: value}


def _grid(
    axes: Sequence[Axis], base: Mapping[str, Any], conditions: Mapping[str, Param]
) -> Iterator[Mapping[str, Any]]:
    """Every combination but the base; a param is not varied where its space's condition does not
    hold.
    """
    for values in itertools.product(*(one.values for one in axes)):
        point = {**base, **{one.name: v for one, v in zip(axes, values, strict=True)}}
        moved = (one for one in axes if one.name in conditions and point[one.name] != one.base)
        if point != base and all(conditions[one.name].is_active(point) for one in moved):
            yield point
