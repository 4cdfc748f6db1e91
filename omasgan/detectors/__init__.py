"""Detectors are found by scanning this folder: one file, one detector, no registry.

The file ``deep_svdd.py`` is the detector ``deep-svdd``; its one public subclass of
``IterativeDetector`` is what ``load`` gives. A detector outside the package is named
``package.module:Class``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from omasgan.errors import ConfigError, unknown

PRIVATE = frozenset({"base", "neural", "yardstick"})
"""Files in this folder that hold no detector of their own."""

NOT_PARAMS = frozenset({"seed", "device"})
"""Constructor arguments that are not params: a run has its own seed, a machine its own device."""


def names() -> list[str]:
    """The detectors of the package, without importing them.

    >>> "omasgan" in names()
    True
    """
    found = (m.name for m in pkgutil.iter_modules(__path__))
    return sorted(n.replace("_", "-") for n in found if n not in PRIVATE)


def summary(name: str) -> str:
    """The first line that a detector's file says of itself, without importing it.

    >>> summary("knn")
    'Distance to the k-th nearest training sample: the yardstick that needs no learning.'
    """
    path = Path(__file__).parent / f"{name.replace('-', '_')}.py"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def load(name: str) -> type[Any]:
    """The detector class for ``name`` (``omasgan`` or ``package.module:Class``).

    Raises:
        ConfigError: there is no such detector.
    """
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        try:
            return getattr(importlib.import_module(module_name), class_name)  # type: ignore[no-any-return]
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"detector '{name}' cannot be imported: {error}") from error
    if name not in names():
        raise unknown("detector", name, names())
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    (cls,) = (
        c
        for c in vars(module).values()
        if inspect.isclass(c)
        and c.__module__ == module.__name__
        and not c.__name__.startswith("_")
        and hasattr(c, "fit_epochs")
    )
    return cls


def check_params(cls: type[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """All params of ``cls``: the given ones checked and converted, the others at their defaults.

    Values may be strings (from the command line): each is converted by the constructor's
    annotations, which also state the ranges. ``seed`` and ``device`` are not params.

    Raises:
        ConfigError: an unknown name, a wrong type or a value out of its range.
    """
    from pydantic import ConfigDict, ValidationError, create_model

    signature = inspect.signature(cls.__init__)
    hints = get_type_hints(cls.__init__, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], parameter.default)
        for name, parameter in signature.parameters.items()
        if name != "self" and name not in NOT_PARAMS
    }
    for name in params:
        if name not in fields:
            raise unknown(f"parameter of {cls.__name__}", name, fields)
    model = create_model(cls.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    try:
        checked: dict[str, Any] = model(**params).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{cls.__name__}: {first['loc'][0]}: {first['msg']}, got {first['input']!r}"
        ) from error
    return checked
