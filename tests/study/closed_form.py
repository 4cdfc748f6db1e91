"""A study whose objective is a closed form of its params: nothing is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from omasgan.study.guide import Guide
from omasgan.study.space import Space
from omasgan.training.trials import Ending, Trial

SPACE = Space.from_dict(
    {
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "width": {"low": 8, "high": 64, "step": 8},
        "kind": {"choices": ["a", "b"]},
        "tau": {"low": 0.0, "high": 1.0, "when": {"kind": "b"}},
        "stage": "j",
    }
)


def make(folder: Path | None = None, space: Space = SPACE, **options: Any) -> Guide:
    return Guide(space, folder, **options)


def quality(params: dict[str, Any]) -> float:
    lr = params.get("lr", 0.1)
    return 1.0 / (1.0 + abs(math.log10(lr) + 2)) - 0.01 * params.get("tau", 0.0)


def end(guide: Guide, trial: Trial) -> Trial:
    """Judge a trial by its closed form; every fourth one diverges."""
    value = quality(dict(trial.params))
    guide.report(trial.number, 0, {"score": value})
    if trial.number % 4 == 3:
        return guide.tell(trial.number, Ending("diverged"))
    return guide.tell(trial.number, Ending("ok", value))


def advance(guide: Guide, n: int) -> list[dict[str, Any]]:
    """Carry on a study by ``n`` trials; return their params."""
    asked = []
    for _ in range(n):
        trial = guide.ask()
        asked.append(dict(trial.params))
        end(guide, trial)
    return asked
