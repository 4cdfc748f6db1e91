"""The progress of ``fit``: shown to a terminal, and to nobody else."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.contracts.test_detector import images, quick


def test_elsewhere_than_in_a_terminal_fit_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    quick("vae").fit(images())
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_the_phases_and_then_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    X = images()
    silent = quick("vae").fit(X).decision_function(X)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    seen = quick("vae").fit(X)
    shown = capfd.readouterr()
    assert shown.out == "" and "VAE train" in shown.err and "100%" in shown.err
    assert shown.err.endswith("\x1b[2K"), "the bar is wiped away"
    assert np.array_equal(seen.decision_function(X), silent)
