"""Search spaces: a TOML whose keys are a detector's params becomes what Optuna is asked for.

    lr = { low = 1e-4, high = 1e-2, log = true }
    steps = { low = 300, high = 1200, step = 100 }
    divergence = { choices = ["kl-wgan", "pearson"] }
    tau = { low = 0.5, high = 10.0, when = { divergence = "kl-wgan" } }
    score = "combined"

Two integer ends make an integer param. A param with ``when`` exists only in those trials where
every param that it names has (one of) the given values; ``{ value = 3, when = ... }`` is a fixed
value with a condition. The order in the file does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from omasgan import config
from omasgan.detectors import check_params
from omasgan.errors import ConfigError, unknown

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

    def suggest(self, name: str, trial: BaseTrial) -> Value:
        if self.integer:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.integer else int | float):
            return False
        on_grid = self.step is None or _is_whole((value - self.low) / self.step)
        return self.low <= value <= self.high and on_grid

    def examples(self) -> Iterator[Value]:
        """Both ends and, for a param that must turn out to be an integer, a value between."""
        yield self.low
        yield self.high
        if not self.integer:
            yield self.low + (self.step or 0.381966 * (self.high - self.low))

    def to_dict(self) -> dict[str, Any]:
        step = {} if self.step is None else {"step": self.step}
        log = {"log": True} if self.log else {}
        return {"low": self.low, "high": self.high, **step, **log}


@dataclass(frozen=True)
class Choice:
    """One of several values, without an order."""

    choices: tuple[Value, ...]

    def suggest(self, name: str, trial: BaseTrial) -> Any:
        return trial.suggest_categorical(name, self.choices)

    def contains(self, value: Any) -> bool:
        return any(_same(value, choice) for choice in self.choices)

    def examples(self) -> Iterator[Value]:
        yield from self.choices

    def to_dict(self) -> dict[str, Any]:
        return {"choices": list(self.choices)}


@dataclass(frozen=True)
class Fixed:
    """A value that is not searched."""

    value: Any

    def suggest(self, name: str, trial: BaseTrial) -> Any:
        return self.value

    def contains(self, value: Any) -> bool:
        return _same(value, self.value)

    def examples(self) -> Iterator[Any]:
        yield self.value

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value}


Domain: TypeAlias = Range | Choice | Fixed
When: TypeAlias = tuple[tuple[str, tuple[Value, ...]], ...]


@dataclass(frozen=True)
class Param:
    """A param, its domain and the conditions under which it exists."""

    name: str
    domain: Domain
    when: When = ()

    def is_active(self, params: Mapping[str, Any]) -> bool:
        """Whether it exists beside ``params``, which hold the params that it depends on."""
        return all(
            parent in params and any(_same(params[parent], value) for value in values)
            for parent, values in self.when
        )

    def to_toml(self) -> Any:
        """The value that stands in the TOML."""
        if isinstance(self.domain, Fixed) and not self.when:
            return self.domain.value
        when = {k: list(v) if len(v) > 1 else v[0] for k, v in self.when}
        return self.domain.to_dict() | ({"when": when} if when else {})


STAGE = "score"
"""The param that names the stage which is the score: a training gives them all, so that a space
does not search it."""


@dataclass(frozen=True)
class Space:
    """Distributions over a detector's params; ``params`` stand after those they depend on.

    ``stages`` are those among which the best is the score, none where the space leaves no choice:
    one training gives them all, and each trial is judged by its best.
    """

    params: tuple[Param, ...]
    stages: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> Space:
        """The space that a TOML's top level describes.

        Raises:
            ConfigError: an unknown key, an empty or impossible range, a condition that names no
                param or a value it never takes, or conditions that go in a circle.
        """
        params = {name: _param(name, entry) for name, entry in sorted(tables.items())}
        for param in params.values():
            _check_conditions(param, params)
        stages = _take_stages(params)
        return cls(tuple(_in_order(params)), stages)

    def to_dict(self) -> dict[str, Any]:
        """What ``from_dict`` makes this space of; ready for JSON."""
        tables = {param.name: param.to_toml() for param in self.params}
        return tables | ({STAGE: {"choices": list(self.stages)}} if self.stages else {})

    @property
    def is_conditional(self) -> bool:
        return any(param.when for param in self.params)

    def suggest(self, trial: BaseTrial) -> Params:
        """Params of one trial, fixed ones included."""
        params: Params = {}
        for param in self.params:
            if param.is_active(params):
                params[param.name] = param.domain.suggest(param.name, trial)
        return params

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial can have exactly these params."""
        active = [param for param in self.params if param.is_active(params)]
        return {param.name for param in active} == params.keys() and all(
            param.domain.contains(params[param.name]) for param in active
        )

    def within(self, params: Mapping[str, Any]) -> Params:
        """Return of a detector's ``params`` those that this space searches.

        Raises:
            ConfigError: a value is not in the space.
        """
        searched: Params = {}
        for param in self.params:
            if not param.is_active(params):
                continue
            value = params.get(param.name)
            if not param.domain.contains(value):
                raise ConfigError(
                    f"{param.name} = {value!r} is not in the search space, which has "
                    f"{param.domain.to_dict()}; widen the space, or don't enqueue it"
                )
            if not isinstance(param.domain, Fixed):
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


def _take_stages(params: dict[str, Param]) -> tuple[str, ...]:
    """Take the choice of a stage, if there is one, out of ``params``."""
    param = params.get(STAGE)
    if param is None or not isinstance(param.domain, Choice) or param.when:
        return ()
    if any(STAGE in _parents(other) for other in params.values()):
        raise ConfigError(
            f"no param can depend on '{STAGE}' where it has choices, for every trial is judged by "
            "all of them; drop the condition"
        )
    del params[STAGE]
    return tuple(str(choice) for choice in param.domain.choices)


def load_space(source: str | Path, detector: type[Any]) -> Space:
    """The space in a TOML, or the one shipped for a detector's name, checked against its class.

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


_FORMS: tuple[tuple[str, ...], ...] = (("low", "high", "step", "log"), ("choices",), ("value",))


def _param(name: str, entry: Any) -> Param:
    if not isinstance(entry, Mapping):
        return Param(name, Fixed(entry))
    form = next((form for form in _FORMS if any(key in entry for key in form)), None)
    valid = (*(form or [key for form in _FORMS for key in form]), "when")
    for key in entry:
        if key not in valid:
            raise unknown(f"key of '{name}'", key, valid)
    if form is None:
        raise ConfigError(f"'{name}' needs low and high, choices, or value; got {dict(entry)}")
    if form[0] == "choices":
        domain: Domain = _choice(name, entry["choices"])
    else:
        domain = Fixed(entry["value"]) if form[0] == "value" else _range(name, entry)
    return Param(name, domain, _when(name, entry.get("when", {})))


def _range(name: str, entry: Mapping[str, Any]) -> Range:
    for key in ("low", "high", "step"):
        if key in entry or key != "step":
            _check_number(name, key, entry.get(key))
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"'{name}': log must be true or false, got {log!r}")
    domain = Range(entry["low"], entry["high"], entry.get("step"), log)
    if not domain.integer:
        step = domain.step if domain.step is None else float(domain.step)
        domain = Range(float(domain.low), float(domain.high), step, log)
    if domain.low >= domain.high:
        raise ConfigError(f"'{name}': low must be below high, got {domain.low} and {domain.high}")
    if log and domain.low <= 0:
        raise ConfigError(f"'{name}': low must be above 0 with log, got {domain.low}")
    if domain.step is not None:
        _check_step(name, domain)
    return domain


def _check_step(name: str, domain: Range) -> None:
    if domain.log:
        raise ConfigError(f"'{name}': log and step exclude each other; leave one out")
    if not domain.step or domain.step < 0 or (domain.integer and not isinstance(domain.step, int)):
        kind = "a positive integer" if domain.integer else "positive"
        raise ConfigError(f"'{name}': step must be {kind}, got {domain.step}")
    low, high, by = (Decimal(str(x)) for x in (domain.low, domain.high, domain.step))
    if (high - low) % by:
        raise ConfigError(
            f"'{name}': high must be low plus a multiple of step, "
            f"got {domain.low}, {domain.high} and {domain.step}"
        )


def _choice(name: str, choices: Any) -> Choice:
    if not isinstance(choices, list) or not choices:
        raise ConfigError(f"'{name}': choices must be a list that is not empty, got {choices!r}")
    for i, choice in enumerate(choices):
        if not isinstance(choice, Value):
            raise ConfigError(
                f"'{name}': a choice must be a string, number or boolean, got {choice!r}"
            )
        # Optuna compares choices with ==, where 1, 1.0 and true are the same.
        if choice in choices[:i]:
            raise ConfigError(f"'{name}': choices must differ, got {choice!r} twice")
    return Choice(tuple(choices))


def _when(name: str, when: Any) -> When:
    if not isinstance(when, Mapping):
        raise ConfigError(f"'{name}': when must be a table of param = value(s), got {when!r}")
    return tuple(
        (parent, tuple(values) if isinstance(values, list) else (values,))
        for parent, values in sorted(when.items())
    )


def _check_conditions(param: Param, params: Mapping[str, Param]) -> None:
    for parent, values in param.when:
        if parent not in params:
            raise unknown(f"param in when of '{param.name}'", parent, params)
        if not values:
            raise ConfigError(f"'{param.name}': when.{parent} lists no value")
        domain = params[parent].domain
        for value in values:
            if not domain.contains(value):
                raise ConfigError(
                    f"'{param.name}': when.{parent} = {value!r} never holds; "
                    f"'{parent}' is {domain.to_dict()}"
                )


def _in_order(params: Mapping[str, Param]) -> Iterable[Param]:
    """``params`` by name, each after those that its conditions name."""
    done: dict[str, Param] = {}
    while len(done) < len(params):
        ready = next(
            (p for p in params.values() if p.name not in done and _parents(p) <= done.keys()), None
        )
        if ready is None:
            names = ", ".join(sorted(params.keys() - done.keys()))
            raise ConfigError(f"the conditions of {names} go in a circle; drop one of them")
        done[ready.name] = ready
    return done.values()


def _parents(param: Param) -> set[str]:
    return {parent for parent, _ in param.when}


def _check_number(name: str, key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"'{name}': {key} must be a finite number, got {value!r}")


def _is_whole(quotient: float) -> bool:
    return math.isclose(quotient, round(quotient), abs_tol=1e-9)


def _same(left: Any, right: Any) -> bool:
    """Equal, where true is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
