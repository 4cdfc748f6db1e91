"""The study of what sharing stages is worth still runs, and goes on where it has stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_speed import SPEED, run

SMALL = "--pairs 1 --scale 0.02 --width 8 --inner 1 --seconds 8 --tests 1"


@pytest.mark.slow
def test_a_small_study_comes_to_its_end_and_is_not_repeated(tmp_path: Path) -> None:
    command = ("--out", str(tmp_path), *SMALL.split())
    stopped = run(SPEED / "share_stages.py", *command, "--minutes", "0")
    assert "0 pairs" in stopped
    told = run(SPEED / "share_stages.py", *command)
    assert "1 pairs" in told and "difference" in told
    assert run(SPEED / "share_stages.py", *command, "--minutes", "0") == told
