"""The values that the texts of options stand for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from omasgan.errors import ConfigError, unknown

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def params(detector: str, file: Path | None, assigned: list[str] | None) -> dict[str, Any]:
    """Return all params of a detector: those of ``--set``, of a file, and the defaults.

    Raises:
        ConfigError: an unknown detector or param, or a value that the param cannot have.
    """
    from omasgan import config, detectors

    cls = detectors.declared(detector)
    from_file = config.load_params(file) if file else {}
    from_texts = detectors.parse_params(cls, assignments(assigned or []))
    chosen = detectors.check_params(cls, from_file | from_texts)
    detectors.check_usable(cls, chosen)
    return chosen


def present(**options: Any) -> dict[str, Any]:
    """Return the options that were given: for the others the callee has a default.

    >>> present(inner=3, sampler=None)
    {'inner': 3}
    """
    return {name: value for name, value in options.items() if value is not None}


def assignments(pairs: Iterable[str]) -> dict[str, str]:
    """Return ``name=value`` texts as a dict.

    >>> assignments(["mu=3", "form=pixel"])
    {'mu': '3', 'form': 'pixel'}
    """
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise ConfigError(f"--set needs name=value, got '{pair}'")
        if name in texts:
            raise ConfigError(f"--set gives {name} twice: '{texts[name]}' and '{value}'")
        texts[name] = value
    return texts


def names(flag: str, text: str) -> list[str]:
    """Return the names in ``mu,nu``.

    >>> names("--params", "mu, nu")
    ['mu', 'nu']
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ConfigError(f"{flag} must be names with commas between them, got '{text}'")
    return parts


def detector_names(flag: str, text: str) -> list[str]:
    """Return the detectors' names in ``knn,./mine.py:Mine``, files by their whole paths."""
    from omasgan import detectors

    return [detectors.full_name(name) for name in names(flag, text)]


def figures(text: str | None) -> list[str]:
    """Return the endings of figures' files in ``pdf,png``, each once.

    Raises:
        ConfigError: there is no such kind of file.
    """
    if text is None:
        return []
    from omasgan.report.page.files import FIGURES

    endings = list(dict.fromkeys(names("--figures", text)))
    for ending in endings:
        if ending not in FIGURES:
            raise unknown("kind of figure", ending, FIGURES)
    return endings


def integers(flag: str, text: str | None) -> list[int] | None:
    """Return the numbers in ``0,3``, each once.

    >>> integers("--folds", "0,3,0")
    [0, 3]
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"{flag} must be whole numbers such as 0,3, got '{text}'")
    return list(dict.fromkeys(int(part) for part in parts))


def seeds(text: str | None) -> list[int] | None:
    """Return the seeds of runs, all below those of trials."""
    from omasgan.data.selection import TRIAL_SEEDS

    numbers = integers("--seeds", text)
    if numbers and max(numbers) >= TRIAL_SEEDS:
        raise ConfigError(f"--seeds must be below {TRIAL_SEEDS}, got {max(numbers)}")
    return numbers


def finite(flag: str, number: float | None) -> float | None:
    """Return a number that is neither infinite nor nan, which Python's ``float`` reads as well."""
    if number is not None and not math.isfinite(number):
        raise ConfigError(f"{flag} must be a finite number, got {number}")
    return number


def share(text: str | None) -> float | Literal["auto"]:
    """Return the share of a GPU that a trial gets: a number, or ``auto``.

    >>> share("0.25"), share("auto"), share(None)
    (0.25, 'auto', 0.0)
    """
    if text == "auto":
        return "auto"
    try:
        return float(text or 0)
    except ValueError:
        raise ConfigError(f"--gpus-per-trial must be a number or auto, got '{text}'") from None


def size(flag: str, text: str | None) -> int | None:
    """Return a number of bytes.

    >>> size("--checkpoint-budget", "2GB"), size("--checkpoint-budget", "1.5 kB")
    (2000000000, 1500)
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kKMGT]?B)", text.strip())
    if match is None:
        units = ", ".join(UNITS)
        raise ConfigError(f"{flag} must be a number with a unit ({units}), got '{text}'")
    return round(float(match[1]) * UNITS[match[2].replace("K", "k")])


def rule(name: str) -> str:
    """Return the name of a selection rule.

    Raises:
        ConfigError: there is no such rule.
    """
    from omasgan.data.selection import RULES

    if name not in RULES:
        raise unknown("selection rule", name, RULES)
    return name


def top(text: str) -> int:
    """Return how many of a study's trials win.

    >>> top("best"), top("top-5")
    (1, 5)
    """
    match = re.fullmatch(r"top-(\d+)", text)
    if text == "best":
        return 1
    if match is None or int(match[1]) < 2:
        raise ConfigError(f"--winner must be best or top-K with K of at least 2, got '{text}'")
    return int(match[1])
