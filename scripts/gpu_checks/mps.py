"""CUDA's Multi-Process Service: kernels of several processes run on a card at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from gpu_checks.rows import SkippedError

PROGRAM = "nvidia-cuda-mps-control"


@contextmanager
def service() -> Iterator[None]:
    """Return a context in which processes started by this one are clients of a daemon of its own.

    Raises:
        SkippedError: there is no such daemon here, or it does not start.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise SkippedError(f"{PROGRAM} is not on this machine")
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        variables = {f"CUDA_MPS_{name}_DIRECTORY": folder for name in ("PIPE", "LOG")}
        with mock.patch.dict(os.environ, variables):
            daemon = subprocess.Popen(
                [program, "-f"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                _wait_for(daemon, program, Path(folder))
                yield
            finally:
                _tell(program, "quit")
                _end(daemon)


def servers() -> int:
    """Return how many servers the daemon has started: none as long as no client has come."""
    return len(_tell(PROGRAM, "get_server_list").split())


def _wait_for(daemon: subprocess.Popen[bytes], program: str, folder: Path) -> None:
    for _ in range(50):
        if daemon.poll() is not None:
            log = folder / "control.log"
            told = log.read_text()[-300:] if log.exists() else f"it ended with {daemon.returncode}"
            raise SkippedError(f"{program} does not start: {' '.join(told.split())}")
        if (folder / "control").exists():
            return
        time.sleep(0.1)
    raise SkippedError(f"{program} opens no pipe within 5 s")


def _tell(program: str, command: str) -> str:
    try:
        told = subprocess.run(
            [program],
            input=f"{command}\n",
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return told.stdout if told.returncode == 0 else ""


def _end(daemon: subprocess.Popen[bytes]) -> None:
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
