"""What the texts of options mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from omasgan.errors import ConfigError, unknown

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def params(detector: str, file: Path | None, assigned: list[str] | None) -> dict[str, Any]:
    """All params of a detector, given in a file and one by one."""
    from omasgan import config, detectors

    cls = detectors.load(detector)
    given = config.load_params(file) if file else {}
    given |= detectors.parse_params(cls, assignments(assigned or []))
    return detectors.check_params(cls, given)


def assignments(pairs: Iterable[str]) -> dict[str, str]:
    """``name=value`` texts as a dict.

    >>> assignments(["mu=3", "form=pixel"])
    {'mu': '3', 'form': 'pixel'}
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise ConfigError(f"--set needs name=value, got '{pair}'")
        if name in found:
            raise ConfigError(f"--set gives {name} twice: '{found[name]}' and '{value}'")
        found[name] = value
    return found


def integers(flag: str, text: str | None) -> list[int] | None:
    """``0,3`` as numbers without repetitions.

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
    """The seeds of runs, none of which a trial may use."""
    from omasgan.data.selection import TRIAL_SEEDS

    found = integers("--seeds", text)
    if found and max(found) >= TRIAL_SEEDS:
        raise ConfigError(f"--seeds must be below {TRIAL_SEEDS}, got {max(found)}")
    return found


def share(text: str | None) -> float | Literal["auto"]:
    """The share of a GPU that a trial gets: a number, or ``auto``.

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
    """A number of bytes.

    >>> size("--checkpoint-budget", "2GB"), size("--checkpoint-budget", "1.5 kB")
    (2000000000, 1500)
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kKMGT]?B)", text.strip())
    if found is None:
        units = ", ".join(UNITS)
        raise ConfigError(f"{flag} must be a number with a unit ({units}), got '{text}'")
    return round(float(found[1]) * UNITS[found[2].replace("K", "k")])


def rule(name: str) -> str:
    """A selection rule that there is."""
    from omasgan.data.selection import RULES

    if name not in RULES:
        raise unknown("selection rule", name, RULES)
    return name
