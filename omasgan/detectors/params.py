"""A detector's params: what its constructor says of them, and values checked against that."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from omasgan.errors import ConfigError, unknown

NOT_PARAMS = frozenset({"seed", "device"})
"""Constructor arguments that are not params: a run has its own seed, a machine its own device."""

NO_MATTER = "contamination"
"""A constructor argument on which no score depends; a detector need not have it."""


@dataclass(frozen=True)
class Phase:
    """Stands beside a param: the first phase of training whose result depends on it.

    For instance ``mu: Annotated[float, Field(ge=0), Phase("boundary")] = 1.0``. The result of a
    phase is the state at its end and the losses of its epochs. A param without a phase counts
    from the first phase on. See ``NeuralDetector.beginnings``.
    """

    name: str


@dataclass(frozen=True)
class Parameter:
    """One param as the constructor of ``owner`` declares it.

    ``annotation`` states its type and range, ``default`` is ``inspect.Parameter.empty`` where
    there is none.
    """

    owner: str
    name: str
    annotation: Any
    default: Any

    @property
    def phase(self) -> str | None:
        """The phase that stands beside it, if there is one."""
        marks = get_args(self.annotation)[1:] if get_origin(self.annotation) is Annotated else ()
        return next((mark.name for mark in marks if isinstance(mark, Phase)), None)

    @property
    def choices(self) -> tuple[Any, ...]:
        """All values of a ``Literal`` or a bool; empty for other types."""
        annotation = self.annotation
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if annotation is bool:
            return (False, True)
        return get_args(annotation) if get_origin(annotation) is Literal else ()

    def check(self, value: Any) -> Any:
        """Return ``value``, converted to the type of the param.

        Raises:
            ConfigError: it has another type (a text or a bool is no number), is out of the range,
                is not finite, or JSON cannot hold it.
        """
        checked = self._validate(value)
        wanted = type(checked).__name__
        if isinstance(value, str) and not isinstance(checked, str):
            raise self._error(f"must be {wanted}, got the text {value!r}; leave the quotes out")
        if isinstance(value, bool) and not isinstance(checked, bool):
            raise self._error(f"must be {wanted}, got {value!r}; give a number")
        return checked

    def check_unchanged(self, value: Any) -> None:
        """See that ``value`` is one of the param as it stands, without a conversion that would
        change it; numpy's numbers are numbers.

        Raises:
            ConfigError: it is none.
        """
        given = plain(value)
        checked = self.check(given)
        if isinstance(given, float) and isinstance(checked, int):
            raise self._error(f"must be int, got {given!r}; give {checked}")

    def parse(self, text: str) -> Any:
        """Return the value that a text of the command line means.

        Raises:
            ConfigError: it means no value of the param.
        """
        return self._validate(text)

    def takes(self, value: Any) -> bool:
        """Return whether this is a value of the param."""
        try:
            self.check(value)
        except ConfigError:
            return False
        return True

    def _validate(self, value: Any) -> Any:
        from pydantic import ConfigDict, TypeAdapter, ValidationError
        from pydantic.errors import PydanticUserError

        try:
            adapter = TypeAdapter(self.annotation, config=ConfigDict(allow_inf_nan=False))
        except (PydanticUserError, NameError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise self._error(
                f"its annotation must be a type such as int, float, bool, str or Literal: {reason}"
            ) from error
        try:
            checked = adapter.validate_python(value)
            json.dumps(checked, allow_nan=False)
        except ValidationError as error:
            first = error.errors()[0]
            raise self._error(f"{first['msg']}, got {first['input']!r}") from error
        except (TypeError, ValueError) as error:
            raise self._error(
                f"must be finite numbers, texts, bools, or lists of them, got {value!r}"
            ) from error
        return checked

    def _error(self, message: str) -> ConfigError:
        return ConfigError(f"{self.owner}: {self.name}: {message}")


def plain(value: Any) -> Any:
    """Return a number of numpy's as Python's, anything else as it is."""
    return value.item() if hasattr(value, "item") else value


def parameters(cls: type[Any]) -> dict[str, Parameter]:
    """Return the params of a detector by name, in the order of the constructor.

    Raises:
        ConfigError: the constructor does not name and annotate its params, or does not take
            ``seed`` and ``device``.
    """
    arguments = list(inspect.signature(cls.__init__).parameters.values())[1:]
    for argument in arguments:
        if argument.kind not in (argument.KEYWORD_ONLY, argument.POSITIONAL_OR_KEYWORD):
            raise ConfigError(
                f"{cls.__name__}: the constructor must take each param by its name, "
                f"got '{argument}'; write the params out"
            )
    missing = NOT_PARAMS - {argument.name for argument in arguments}
    if missing:
        raise ConfigError(
            f"{cls.__name__}: the constructor must take seed and device, got no "
            f"{' and no '.join(sorted(missing))}; add seed: int = 0, device: str = 'auto'"
        )
    annotations = _annotations(cls)  # type: ignore[arg-type]  # a class is hashable
    params = {}
    for argument in arguments:
        name = argument.name
        if name in NOT_PARAMS or name == NO_MATTER:
            continue
        if name not in annotations:
            raise ConfigError(
                f"{cls.__name__}: the constructor must annotate '{name}' with its type, "
                f"for instance {name}: float = 1.0"
            )
        params[name] = Parameter(cls.__name__, name, annotations[name], argument.default)
    return params


def check_params(cls: type[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return all params of ``cls``: ``params`` checked and converted, the others at their
    defaults.

    The constructor's annotations state types and ranges. ``seed`` and ``device`` are not params.

    Raises:
        ConfigError: an unknown name, a wrong type, a value that is not finite or out of its range,
            a missing value, or a constructor that does not say what it takes.
    """
    known = _known(cls, params)
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in params:
            raise ConfigError(f"{cls.__name__}: {name} has no default; give it a value")
    defaults = {name: parameter.default for name, parameter in known.items()}
    return defaults | {name: known[name].check(value) for name, value in params.items()}


def check_values(detector: Any) -> None:
    """See that the params of ``detector`` have values that they can have.

    Raises:
        ConfigError: one has not: another type, not finite, or out of its range.
    """
    seed = detector.seed
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise ConfigError(f"seed must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    for name, parameter in parameters(type(detector)).items():
        parameter.check_unchanged(getattr(detector, name))


def check_usable(cls: type[Any], params: Mapping[str, Any]) -> None:
    """See that ``cls`` can be used with ``params``, which are all of its params.

    Raises:
        ConfigError: it is a class of another package that can't be made of them, or lacks
            something then.
    """
    if check := getattr(cls, "check_usable", None):
        check(params)


def parse_params(cls: type[Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``name=value`` texts of the command line mean, for these names alone.

    Raises:
        ConfigError: an unknown name, or a text that means no value of its param.
    """
    known = _known(cls, texts)
    return {name: known[name].parse(text) for name, text in texts.items()}


def _known(cls: type[Any], names: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the params of ``cls``; refuse names that are not among them."""
    known = parameters(cls)
    for name in names:
        if name not in known:
            raise unknown(f"parameter of {cls.__name__}", name, known)
    return known


@functools.cache
def _annotations(cls: type[Any]) -> Mapping[str, Any]:
    """Return types by argument, read where they were written: a dataclass inherits fields whose
    annotations use names that its own module need not import.
    """
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    source = owner if "__dataclass_fields__" in vars(owner) else cls.__init__
    try:
        return get_type_hints(source, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise ConfigError(
            f"{cls.__name__}: an annotation of the constructor cannot be understood: {error}"
        ) from error
