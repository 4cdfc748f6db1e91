"""The tables of a search space's TOML become params."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from omasgan.errors import ConfigError, unknown
from omasgan.study.domains import Choice, Domain, Fixed, Param, Range, Value, When


def read_params(tables: Mapping[str, Any]) -> list[Param]:
    """Return the params that a TOML's top level describes, each after those that it depends on.

    Raises:
        ConfigError: an unknown key, an empty or impossible range, a condition that names no param
            or a value it never takes, or conditions that go in a circle.
    """
    params = {name: _param(name, entry) for name, entry in sorted(tables.items())}
    for param in params.values():
        _check_conditions(param, params)
    return _in_order(params)


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


def _in_order(params: Mapping[str, Param]) -> list[Param]:
    """Return ``params`` by name, each after those that its conditions name."""
    done: dict[str, Param] = {}
    while len(done) < len(params):
        ready = next(
            (p for p in params.values() if p.name not in done and p.parents <= done.keys()), None
        )
        if ready is None:
            names = ", ".join(sorted(params.keys() - done.keys()))
            raise ConfigError(f"the conditions of {names} go in a circle; drop one of them")
        done[ready.name] = ready
    return list(done.values())


def _check_number(name: str, key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"'{name}': {key} must be a finite number, got {value!r}")
