"""Detectors that are not of this package: classes of installed modules and of single files."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from omasgan.errors import ConfigError, unknown

FORMS = "package.module:Class or ./file.py:Class"

PREFIX = "omasgan_detector_"
"""Begins the names of the modules that single files are imported as."""

CONTRACT = (
    *("fit", "fit_epochs", "beginnings", "state_dict", "load_state_dict"),
    *("stage", "stage_scores", "decision_function", "pictures"),
)
"""What a detector has; see ``omasgan.detectors.base.IterativeDetector``."""


def full_name(name: str) -> str:
    """Return the name by which every process and every result knows a detector.

    ``./file.py:Class`` is written with the whole path of the file; other names stay as they are.

    >>> full_name("knn"), full_name("/home/ann/../mine.py:Mine")
    ('knn', '/home/mine.py:Mine')
    """
    source, _, cls = name.rpartition(":")
    return f"{Path(source).expanduser().resolve()}:{cls}" if _is_file(source) else name


def folder_name(name: str) -> str:
    """Return a detector's name as the name of a folder, which every file system takes.

    >>> folder_name("package.module:Class"), folder_name("/home/ann/mine.py:Mine")
    ('package.module.Class', 'mine.Mine-82500200')
    """
    source, _, cls = name.rpartition(":")
    if _is_file(source):
        return f"{Path(source).stem}.{cls}-{_digest(source)}"
    return name.replace(":", ".")


def name_of(cls: type[Any]) -> str:
    """Return the name by which ``load`` finds a class that is not of this package.

    Raises:
        ConfigError: it stands in a function or a class, where none can find it.
    """
    if "borrowed_as" in vars(cls):
        return str(vars(cls)["borrowed_as"])
    if cls.__qualname__ != cls.__name__:
        raise ConfigError(
            f"{cls.__qualname__} cannot be found again; define it at the top of a module"
        )
    module = sys.modules[cls.__module__]
    source = module.__file__ if cls.__module__.startswith(PREFIX) else cls.__module__
    return f"{source}:{cls.__name__}"


def load(name: str) -> type[Any]:
    """Load the class that ``package.module:Class`` or ``./file.py:Class`` names.

    Raises:
        ConfigError: there is no such file, module or class, its code fails, or it is no detector.
    """
    source, _, cls_name = name.rpartition(":")
    if not source or not cls_name:
        raise ConfigError(f"detector '{name}' names no class; write {FORMS}")
    if _is_file(source) and not Path(source).expanduser().is_file():
        raise ConfigError(f"detector '{name}' cannot be imported: there is no file '{source}'")
    try:
        module = _module_of(source) if _is_file(source) else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # whatever the code of others may do
        raise ConfigError(
            f"detector '{name}' cannot be imported: {type(error).__name__}: {_reason(error)}"
        ) from error
    if not hasattr(module, cls_name):
        classes = [key for key, member in vars(module).items() if _is_of(module, member)]
        reason = unknown("class", cls_name, classes)
        raise ConfigError(f"detector '{name}' cannot be imported: {reason}")
    return _as_detector(name, getattr(module, cls_name))


@functools.cache
def version(name: str) -> str | None:
    """Return what tells the code of a detector that is not of this package from other versions of
    it: its package's name and version, else its file's name and a digest; None for others.

    >>> version("sklearn.svm:OneClassSVM").split()[0], version("knn")
    ('sklearn', None)
    """
    source, _, _ = name.rpartition(":")
    if not source:
        return None
    file = Path(source)
    if not _is_file(source):
        package = importlib.import_module(source.partition(".")[0])
        if said := getattr(package, "__version__", None):
            return f"{package.__name__} {said}"
        file = Path(str(importlib.import_module(source).__file__))
    return f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def _is_file(source: str) -> bool:
    return source.endswith(".py")


def _digest(path: str) -> str:
    """Return eight hex digits that tell a path from others."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def _module_of(file: str) -> ModuleType:
    """Import the module in a file, once, under a name that its path decides."""
    path = Path(file).expanduser().resolve()
    name = f"{PREFIX}{path.stem}_{_digest(str(path))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{path}' is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and annotations look the module up while it runs.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_of(module: ModuleType, member: Any) -> bool:
    return isinstance(member, type) and member.__module__ == module.__name__


def _reason(error: BaseException) -> str:
    """Describe what went wrong and, where the message does not, in which line of which file."""
    message = " ".join(str(error).split())
    if isinstance(error, ImportError | SyntaxError):
        return message
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{message} ({frame.filename}, line {frame.lineno})"


def _as_detector(name: str, cls: Any) -> type[Any]:
    """Return ``cls`` if it implements ``CONTRACT``, else a detector that is made of it.

    Raises:
        ConfigError: it is no class, or lacks ``fit`` or ``decision_function``.
    """
    if not isinstance(cls, type):
        raise ConfigError(
            f"detector '{name}' must be a class, got a {type(cls).__name__}; write {FORMS}"
        )
    abstract: frozenset[str] = getattr(cls, "__abstractmethods__", frozenset())
    if not abstract and all(hasattr(cls, part) for part in CONTRACT):
        return cls
    from omasgan.detectors import borrowed

    lacking = [part for part in borrowed.NEEDED if not hasattr(cls, part)] + sorted(abstract)
    if lacking:
        raise ConfigError(
            f"detector '{name}' is no detector, it lacks {', '.join(lacking)}; a detector has "
            "fit(X) and decision_function(X)"
        )
    return borrowed.adapted(cls, full_name(name))
