"""Studies of a made-up objective, whose truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from omasgan.store.journal import write_json
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.space import Space
from omasgan.training.trials import Ending

SPACE = Space.from_dict(
    {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "form": {"choices": ["good", "bad"]},
        "radius": {"low": 0.0, "high": 1.0, "when": {"form": "good"}},
        "gan_steps": {"low": 100, "high": 500, "step": 100},
        "idle": {"low": 0.0, "high": 1.0},
        "stage": "j",
    }
)


def fill(root: Path, n: int, name: str = "fold-0", level: float = 0.7, seed: int = 0) -> Store:
    """A study of random trials; every tenth one has diverged."""
    folder = root / "digits-loo-v1" / "omasgan" / "nested" / "studies" / name
    about = {"detector": "omasgan", "benchmark": {"name": "digits-loo"}, "status": "complete"}
    write_json(folder / "study.json", {**about, "space": SPACE.to_dict(), "tasks": ["class-1"]})
    guide = Guide(SPACE, folder, sampler="RandomSampler", seed=seed)
    rng = np.random.default_rng(seed)
    for number in range(n):
        params = guide.ask().params
        value = level - 0.08 * (math.log10(params["lr"]) + 2) ** 2 + 0.02 * rng.normal()
        value += 0.2 * (params["form"] == "good") + params["gan_steps"] / 2500
        seconds = 1 + params["gan_steps"] / 50
        if number % 10 == 9:
            guide.tell(number, Ending("diverged", None, seconds=seconds))
        else:
            guide.report(number, 0, {"score": value})
            guide.tell(number, Ending("ok", value, seconds=seconds))
    return Store(root)
