"""Detectors, found by scanning this folder: one file, one detector, no registry.

The file ``deep_svdd.py`` is the detector ``deep-svdd``; its one public subclass of
``IterativeDetector`` is what ``load`` returns. A detector outside the package is named
``package.module:Class`` or ``./file.py:Class``.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from typing import Any

from omasgan.detectors import declarations, foreign
from omasgan.detectors.foreign import folder_name, full_name, version
from omasgan.detectors.params import (
    NOT_PARAMS,
    check_params,
    check_usable,
    parameters,
    parse_params,
)
from omasgan.errors import ConfigError, unknown

__all__ = [
    "NOT_PARAMS",
    "check_params",
    "check_usable",
    "declared",
    "folder_name",
    "full_name",
    "load",
    "module_of",
    "name_of",
    "names",
    "parameters",
    "parse_params",
    "summary",
    "version",
]

PRIVATE = frozenset(
    {"adapter", "bar", "base", "borrowed", "calibration", "declarations", "density_boundary"}
    | {"estimator", "foreign", "inputs", "labels", "neural", "notes", "params", "ranges"}
    | {"yardstick"}
)
"""Files in this folder that hold no detector of their own."""


def names() -> list[str]:
    """Return the names of the package's detectors, without importing them.

    >>> "omasgan" in names()
    True
    """
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in files if name not in PRIVATE)


def module_of(name: str) -> str:
    """Return the module of one of the package's detectors.

    >>> module_of("deep-svdd")
    'omasgan.detectors.deep_svdd'
    """
    return f"{__name__}.{name.replace('-', '_')}"


def summary(name: str) -> str:
    """Return the first line of the docstring of a detector's file, without importing it.

    >>> summary("knn")
    'Distance to the k-th nearest training sample: the yardstick that needs no learning.'
    """
    path = Path(__file__).parent / f"{name.replace('-', '_')}.py"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def name_of(cls: type[Any]) -> str:
    """Return the name by which ``load`` finds a class.

    Raises:
        ConfigError: it stands in a function, where none can find it.
    """
    package = f"{__name__}."
    if cls.__module__.startswith(package):
        return cls.__module__.removeprefix(package).replace("_", "-")
    return foreign.name_of(cls)


def declared(name: str) -> type[Any]:
    """Return a class that has the params of a detector and states what it is, and trains nothing.

    It is made without torch. The detector's own class is returned where it has been imported
    already, or can't be read without that; one from elsewhere always is.

    Raises:
        ConfigError: see ``load``.
    """
    module = module_of(name)
    if name in names() and module not in sys.modules:
        with contextlib.suppress(LookupError):
            return declarations.stated(module)
    return load(name)


def load(name: str) -> type[Any]:
    """Load the detector class for ``omasgan``, ``package.module:Class`` or ``./file.py:Class``.

    Raises:
        ConfigError: there is no such class, it cannot be imported, or it is no detector.
    """
    if ":" in name:
        return foreign.load(name)
    if "/" in name or "." in name:
        raise ConfigError(f"detector '{name}' names no class; write {foreign.FORMS}")
    if name not in names():
        raise unknown("detector", name, names())
    module = importlib.import_module(module_of(name))
    (cls,) = (
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and member.__module__ == module.__name__
        and not member.__name__.startswith("_")
        and hasattr(member, "fit_epochs")
    )
    return cls
