"""Measurements of speed still run: they reach into the package, and nothing else calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEED = ROOT / "benchmarks" / "speed"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("script", sorted(SPEED.glob("*.py")), ids=lambda path: path.stem)
def test_a_measurement_says_what_it_measures(script: Path) -> None:
    assert "usage:" in run(script, "--help")


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("scale", "--trials 100 --slots 4 --ray-trials 0 --histories 100", "100 trials"),
        ("stage_cache", "--scale 0.005", "ratio"),
        ("report", "--seeds 1", "CPU ms per run"),
        (
            "training_step",
            "--against HEAD --data digits --detectors vae --rounds 1 --steps 1 --score 64",
            "scoring",
        ),
    ],
)
def test_a_small_measurement_comes_to_its_end(name: str, options: str, told: str) -> None:
    assert told in run(SPEED / f"{name}.py", *options.split())


def run(script: Path, *options: str) -> str:
    """What a script prints; it must end well."""
    command = [sys.executable, str(script), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
