"""What a param may be: a range of numbers, one of several choices, or one fixed value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Value: TypeAlias = bool | int | float | str
Params: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; integers if both ends are."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> float:
        """How many values there are; inf if they are continuous."""
        if not self.integer and self.step is None:
            return math.inf
        return round((self.high - self.low) / (self.step or 1)) + 1

    def suggest(self, name: str, trial: BaseTrial) -> Value:
        """Return the value that ``trial`` draws for the param ``name``."""
        if self.integer:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is one of the numbers, and an integer where they are."""
        if isinstance(value, bool) or not isinstance(value, int if self.integer else int | float):
            return False
        on_grid = self.step is None or _is_whole((value - self.low) / self.step)
        return self.low <= value <= self.high and on_grid

    def examples(self) -> Iterator[Value]:
        """Yield both ends and, for a param that may have to be an integer, a value between."""
        yield self.low
        yield self.high
        if not self.integer:
            yield self.low + (self.step or 0.381966 * (self.high - self.low))

    def to_dict(self) -> dict[str, Any]:
        """Return the table of a TOML that describes it."""
        step = {} if self.step is None else {"step": self.step}
        log = {"log": True} if self.log else {}
        return {"low": self.low, "high": self.high, **step, **log}


@dataclass(frozen=True)
class Choice:
    """One of several values, without an order."""

    choices: tuple[Value, ...]

    @property
    def size(self) -> float:
        """How many choices there are."""
        return len(self.choices)

    def suggest(self, name: str, trial: BaseTrial) -> Any:
        """Return the choice that ``trial`` draws for the param ``name``."""
        return trial.suggest_categorical(name, self.choices)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is one of the choices."""
        return any(same(value, choice) for choice in self.choices)

    def examples(self) -> Iterator[Value]:
        """Yield all choices."""
        yield from self.choices

    def to_dict(self) -> dict[str, Any]:
        """Return the table of a TOML that describes it."""
        return {"choices": list(self.choices)}


@dataclass(frozen=True)
class Fixed:
    """A value that is not searched."""

    value: Any

    @property
    def size(self) -> float:
        """One."""
        return 1

    def suggest(self, name: str, trial: BaseTrial) -> Any:
        """Return the value; nothing is drawn."""
        return self.value

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is the fixed one."""
        return same(value, self.value)

    def examples(self) -> Iterator[Any]:
        """Yield the value."""
        yield self.value

    def to_dict(self) -> dict[str, Any]:
        """Return the table of a TOML that describes it."""
        return {"value": self.value}


Domain: TypeAlias = Range | Choice | Fixed
When: TypeAlias = tuple[tuple[str, tuple[Value, ...]], ...]


@dataclass(frozen=True)
class Param:
    """A param, its domain and the conditions under which it exists."""

    name: str
    domain: Domain
    when: When = ()

    @property
    def parents(self) -> set[str]:
        """The names of the params that its conditions name."""
        return {parent for parent, _ in self.when}

    def is_active(self, params: Mapping[str, Any]) -> bool:
        """Return whether it exists beside ``params``, which hold those that it depends on."""
        return all(
            parent in params and any(same(params[parent], value) for value in values)
            for parent, values in self.when
        )

    def to_toml(self) -> Any:
        """Return the value that stands in the TOML."""
        if isinstance(self.domain, Fixed) and not self.when:
            return self.domain.value
        when = {k: list(v) if len(v) > 1 else v[0] for k, v in self.when}
        return self.domain.to_dict() | ({"when": when} if when else {})


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal, where true is not 1.

    >>> same(1, 1.0), same(1, True)
    (True, False)
    """
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _is_whole(quotient: float) -> bool:
    return math.isclose(quotient, round(quotient), abs_tol=1e-9)
