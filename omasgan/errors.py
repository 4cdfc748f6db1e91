"""Errors with one clear line for the user each.

Only ``cli`` turns them into exit codes; the other rooms raise them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class OmasganError(Exception):
    """Base class; the message is one line: problem, constraint, value, remedy."""


class ConfigError(OmasganError, ValueError):
    """A name, a value, a flag or a TOML file that cannot be used."""


class DataError(OmasganError, ValueError):
    """A data set that is missing, damaged or of the wrong kind."""


class StoreError(OmasganError):
    """An output folder that cannot be written, or that holds something else."""


class DamagedError(StoreError):
    """A file of an output folder whose content is not what was written to it."""


class BackendError(OmasganError):
    """A cluster or tracking server that cannot be reached or used."""


class TrainingDiverged(OmasganError):  # noqa: N818 - an outcome, not a mistake
    """A loss that is not finite; the training cannot go on."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> ConfigError:
    """Return the error for a name that does not exist, with the closest valid one.

    >>> str(unknown("detector", "omasgn", ["knn", "omasgan"]))
    "unknown detector 'omasgn'; did you mean 'omasgan'? (valid: knn, omasgan)"
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return ConfigError(f"unknown {kind} '{name}'{hint} (valid: {', '.join(names)})")


def unreadable(file: object, error: BaseException) -> DataError:
    """Return the one line for a file whose reading has raised ``error``."""
    reason = " ".join((str(error) or type(error).__name__).split())[:200]
    return DataError(f"'{file}' cannot be read: {reason}")


def without_secrets(text: str) -> str:
    """Return ``text`` with the credentials of every URI in it hidden.

    >>> without_secrets("postgresql://ann:pw@db:5432/optuna?password=pw&sslmode=require is away")
    'postgresql://***@db:5432/optuna?password=***&sslmode=require is away'
    """
    # Up to the last @ before the path: a password that is not quoted may hold one itself.
    text = re.sub(r"(?<=://)[^\s/'\"]*@", "***@", text)
    return re.sub(
        r"(?i)([?&][\w-]*(?:password|secret|token|key|sig)[\w-]*=)[^&\s'\"]+", r"\1***", text
    )
