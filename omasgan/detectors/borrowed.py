"""A class of another package, or of one's own, as a detector: ``fit`` and ``decision_function``.

It is given flat float32 rows ``(n, d)`` in [-1, 1]; one that says ``takes_images = True`` is given
images ``(n, c, h, w)`` as they are. Scores are its ``decision_function``, with the sign turned
where the class is one of scikit-learn's outlier detectors, whose scores are lower for anomalies.
The seed is its ``random_state``; what draws from the global generators of Python, numpy and torch
is seeded as well. Its state is its training data, as that of the yardsticks.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, TypeAlias, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, TypeAdapter
from pydantic.errors import PydanticUserError

from omasgan.detectors.params import NO_MATTER, NOT_PARAMS
from omasgan.detectors.yardstick import Yardstick
from omasgan.errors import ConfigError

NEEDED = ("fit", "decision_function")
"""What a class must have."""

SEEDS = ("random_state", "seed")
"""The names under which constructors take a seed."""


def _literal(value: Any) -> Any:
    """Return what a text of the command line means where no annotation says it.

    >>> [_literal(text) for text in ("0.5", "true", "None", "[1, 2]", "auto")]
    [0.5, True, None, [1, 2], 'auto']
    """
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(value.lower(), value)


Loose: TypeAlias = Annotated[Any, BeforeValidator(_literal)]
"""The type of a param whose constructor does not say one."""


class Borrowed(Yardstick):
    """Base of such detectors; ``borrows`` is the class, ``borrowed_as`` the name that it was asked
    for by.
    """

    borrows: ClassVar[type[Any]]
    borrowed_as: ClassVar[str]

    @classmethod
    def check_usable(cls, params: Mapping[str, Any]) -> None:
        """See that the class can be made with ``params`` and then has what is needed.

        Raises:
            ConfigError: it cannot, or has not.
        """
        inner = cls._made(params, seed=0, device="auto")
        for name in NEEDED:
            try:
                getattr(inner, name)
            except AttributeError as error:
                reason = f"it lacks {name}: {_one_line(error.__cause__ or error)}"
                raise ConfigError(
                    f"detector '{cls.borrowed_as}' cannot be used: {reason}"
                ) from error

    @classmethod
    def _made(cls, params: Mapping[str, Any], *, seed: int, device: str) -> Any:
        """Return an object of the class."""
        takes = inspect.signature(cls.borrows).parameters
        run = {name: seed for name in SEEDS if name in takes}
        if "device" in takes and device != "auto":
            run["device"] = device  # type: ignore[assignment]
        try:
            return cls.borrows(**params, **run)
        except Exception as error:  # whatever the code of others may do
            raise ConfigError(
                f"detector '{cls.borrowed_as}' cannot be made: {type(error).__name__}: "
                f"{_one_line(error)}"
            ) from error

    def _fit(self, X: NDArray[np.float32]) -> None:
        params = {name: getattr(self, name) for name in _params(self.borrows)}
        self._inner = self._made(params, seed=self.seed, device=self.device)
        images = getattr(self.borrows, "takes_images", False)
        self._given = self._trained_on.shape[1:] if images else X.shape[1:]
        with _seeded(self.seed):
            self._inner.fit(X.reshape(-1, *self._given))

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        from sklearn.base import OutlierMixin

        scores = np.asarray(self._inner.decision_function(X.reshape(-1, *self._given)))
        if scores.shape != (len(X),):
            raise ConfigError(
                f"the decision_function of '{self.borrowed_as}' must return a score for each "
                f"sample, {(len(X),)}, got {scores.shape}"
            )
        return -scores if isinstance(self._inner, OutlierMixin) else scores

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (self.borrows, self.borrowed_as), dict(vars(self))


@functools.cache
def adapted(cls: type[Any], name: str) -> type[Borrowed]:
    """Return ``cls``, which ``name`` names and which has what is needed, as a detector.

    Raises:
        ConfigError: its ``fit`` needs what a detector is not given.
    """
    wanted = list(inspect.signature(cls.fit).parameters.values())[2:]
    needed = [p.name for p in wanted if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
    if needed:
        raise ConfigError(
            f"detector '{name}' cannot be used: its fit needs {', '.join(needed)}; a detector is "
            "given normal samples X alone"
        )
    members = {
        "__doc__": cls.__doc__,
        "__init__": _constructor(cls),
        "borrows": cls,
        "borrowed_as": name,
    }
    return type(cls.__name__, (Borrowed,), members)


def _blank(cls: Any, name: str) -> Borrowed:
    made = adapted(cls, name)
    return made.__new__(made)


def _constructor(cls: type[Any]) -> Callable[..., None]:
    """Return a constructor that takes the params of ``cls`` by name, and seed and device."""
    arguments = {
        **_params(cls),
        "seed": (int, 0),
        "device": (str, "auto"),
        NO_MATTER: (float, 0.1),
    }
    signature = inspect.Signature(
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                for name, (_, default) in arguments.items()
            ),
        ]
    )

    def __init__(self: Borrowed, **values: Any) -> None:  # noqa: N807
        bound = signature.bind(self, **values)
        bound.apply_defaults()
        vars(self).update({name: bound.arguments[name] for name in arguments})

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__annotations__ = {name: annotation for name, (annotation, _) in arguments.items()}
    return __init__


def _params(cls: type[Any]) -> dict[str, tuple[Any, Any]]:
    """Return the type and the default of each param of the constructor of ``cls``.

    What seeds it is none, nor what JSON cannot hold: that keeps its default.
    """
    arguments = inspect.signature(cls).parameters.values()
    not_params = {*SEEDS, *NOT_PARAMS, NO_MATTER}
    annotations = _annotations(cls)
    return {
        argument.name: (annotations.get(argument.name, Loose), argument.default)
        for argument in arguments
        if argument.name not in not_params
        and argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
        and (argument.default is argument.empty or _is_plain(argument.default))
    }


def _annotations(cls: type[Any]) -> dict[str, Any]:
    """Return the annotations of a constructor that can be checked."""
    try:
        hints = get_type_hints(cls.__init__, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError):
        return {}
    return {name: hint for name, hint in hints.items() if _is_checkable(hint)}


def _is_checkable(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation)
    except (PydanticUserError, NameError, TypeError, RuntimeError):
        return False
    return True


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Return a context in which the global generators are seeded; they are as before after it."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    # Whoever uses torch has imported it.
    torch = sys.modules.get("torch")
    of_torch = torch and torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if torch:
            torch.set_rng_state(of_torch)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
