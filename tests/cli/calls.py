"""Calls of the command line, as the tests make them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from omasgan import cli

CURVE = "tests.toy:CurveDetector"
SCRIPTED = "tests.training.test_evaluate:Scripted"
# A shell may have started the tests with SIGINT ignored, which children inherit.
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from omasgan.cli import main; sys.exit(main())"
)
SPACE = "lr = {low = 0.001, high = 0.1, log = true}\n"
SMALL = ["--max-folds", "2", "--max-train", "100", "--max-test", "60", "--tracking-uri", "none"]


def omasgan(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


def run(out: Path, *arguments: str | Path, detector: str = CURVE) -> int:
    return omasgan("run", "digits-loo", detector, *SMALL, "--out", out, *arguments)


def sweep(folder: Path, *arguments: str | Path) -> int:
    (folder / "space.toml").write_text(SPACE)
    options = ["--space", folder / "space.toml", "--out", folder / "out", "--backend", "local"]
    return omasgan("sweep", "digits-loo", CURVE, *SMALL, *options, *arguments)


def compare(out: Path, *arguments: str | Path) -> int:
    options = ["--backend", "local", "--out", out]
    return omasgan("compare", "digits-loo", *SMALL, *options, *arguments)


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(command, capture_output=True, text=True)
