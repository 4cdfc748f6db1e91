"""Search spaces: a TOML whose keys are a detector's params, and what Optuna draws from it.

    lr = { low = 1e-4, high = 1e-2, log = true }
    steps = { low = 300, high = 1200, step = 100 }
    divergence = { choices = ["kl-wgan", "pearson"] }
    tau = { low = 0.5, high = 10.0, when = { divergence = "kl-wgan" } }
    stage = "combined"

Two integer ends make an integer param. A param with ``when`` exists only in those trials where
every param that it names has (one of) these values; ``{ value = 3, when = ... }`` is a fixed
value with a condition. The order in the file does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omasgan import config
from omasgan.detectors import check_params
from omasgan.errors import ConfigError
from omasgan.study.domains import Choice, Domain, Fixed, Param, Params, Range, same
from omasgan.study.tables import read_params

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = [
    "STAGE",
    "Choice",
    "Domain",
    "Fixed",
    "Param",
    "Params",
    "Range",
    "Space",
    "load_space",
]

STAGE = "stage"
"""The param that names the stage which is the score: a training gives them all, so that a space
does not search it.
"""


@dataclass(frozen=True)
class Space:
    """Distributions over a detector's params; ``params`` stand after those they depend on.

    ``stages`` are those among which the best is the score, none where the space leaves no choice:
    one training gives them all, and each trial is judged by its best. A trial's objective is then
    the largest of as many means, which all come from the same trained networks and the same
    samples. It is the more optimistic the more stages there are, as it is with more trials, and
    it must not be compared with the objective of a study of one stage. The winner's test AUROC is
    none the worse for it: the stage is frozen with the params, before the test samples are seen.
    """

    params: tuple[Param, ...]
    stages: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> Space:
        """Return the space that a TOML's top level describes.

        Raises:
            ConfigError: an unknown key, an empty or impossible range, a condition that names no
                param or a value it never takes, or conditions that go in a circle.
        """
        params = read_params(tables)
        stages = _stages(params)
        return cls(tuple(p for p in params if not (stages and p.name == STAGE)), stages)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``from_dict`` makes this space of; ready for JSON."""
        tables = {param.name: param.to_toml() for param in self.params}
        return tables | ({STAGE: {"choices": list(self.stages)}} if self.stages else {})

    @property
    def is_conditional(self) -> bool:
        """Whether there are params that only some trials have."""
        return any(param.when for param in self.params)

    @property
    def size(self) -> float:
        """How many different params it holds; inf if one of them is continuous."""
        return _size(self.params, {})

    def suggest(self, trial: BaseTrial) -> Params:
        """Return the params that ``trial`` draws, fixed ones included."""
        params: Params = {}
        for param in self.params:
            if param.is_active(params):
                params[param.name] = param.domain.suggest(param.name, trial)
        return params

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Return whether a trial can have exactly these params."""
        active = [param for param in self.params if param.is_active(params)]
        return {param.name for param in active} == params.keys() and all(
            param.domain.contains(params[param.name]) for param in active
        )

    def within(self, params: Mapping[str, Any]) -> Params:
        """Return of a detector's ``params`` those that this space searches; what it fixes stays
        as it is.

        Raises:
            ConfigError: a value is not in the space.
        """
        searched: Params = {}
        fixed: Params = {}
        for param in self.params:
            if not param.is_active(fixed | searched):
                continue
            if isinstance(param.domain, Fixed):
                fixed[param.name] = param.domain.value
                continue
            value = params.get(param.name)
            if not param.domain.contains(value):
                raise ConfigError(
                    f"{param.name} = {value!r} is not in the search space, which has "
                    f"{param.domain.to_dict()}; widen the space, or don't enqueue it"
                )
            searched[param.name] = value
        return searched

    def check(self, detector: type[Any]) -> None:
        """Check each key and its values against the constructor of ``detector``.

        Raises:
            ConfigError: an unknown param, or a value that the constructor does not take.
        """
        for param in self.params:
            for value in param.domain.examples():
                check_params(detector, {param.name: value})
        for stage in self.stages:
            check_params(detector, {STAGE: stage})


def _stages(params: Sequence[Param]) -> tuple[str, ...]:
    """Return the stages that a space leaves a choice of."""
    param = next((param for param in params if param.name == STAGE), None)
    if param is None or not isinstance(param.domain, Choice) or param.when:
        return ()
    if any(STAGE in other.parents for other in params):
        raise ConfigError(
            f"no param can depend on '{STAGE}' where it has choices, for every trial is judged by "
            "all of them; drop the condition"
        )
    return tuple(str(choice) for choice in param.domain.choices)


def _size(params: Sequence[Param], chosen: Mapping[str, Any]) -> float:
    """Return how many params there are beside those that are ``chosen`` already."""
    if not params:
        return 1
    first, *rest = params
    if not first.is_active(chosen):
        return _size(rest, chosen)
    named: list[Any] = []
    for param in rest:
        for value in dict(param.when).get(first.name, ()):
            if not any(same(value, other) for other in named):
                named.append(value)
    others = first.domain.size - len(named)
    size = sum(_size(rest, {**chosen, first.name: value}) for value in named)
    # All values that no condition names leave the same params.
    return size + (others * _size(rest, {**chosen, first.name: math.nan}) if others else 0)


def load_space(source: str | Path, detector: type[Any]) -> Space:
    """Return the space in a TOML, or the one shipped for a detector's name, checked against its
    class.

    Raises:
        ConfigError: no such file or space, or one that does not fit the detector.
    """
    path = _locate(str(source))
    tables = config.load_toml(path)
    try:
        space = Space.from_dict(tables)
        space.check(detector)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return space


def _locate(source: str) -> Path:
    if source.endswith(".toml") or ("/" in source and ":" not in source):
        return Path(source)
    if ":" in source:
        raise ConfigError(f"no search space is shipped for '{source}'; give one with --space FILE")
    return config.resource("search_spaces", source)
