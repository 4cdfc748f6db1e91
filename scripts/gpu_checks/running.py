"""Runs checks, each in a process of its own, and gathers their rows."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gpu_checks.rows import Options, Row, SkippedError, as_line, from_line

SCRIPTS = Path(__file__).parents[1]
SIDE_BY_SIDE = 4
"""Checks that run at once where each asks only whether something is right."""
GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Check:
    """A function ``name`` of the module ``module`` that yields rows.

    ``alone``: it measures time or memory. It is ended after ``seconds``.
    """

    module: str
    alone: bool
    seconds: float


CHECKS = {
    "machine": Check("machine", False, 60),
    "capture": Check("graphs", False, 200),
    "equality": Check("graphs", False, 200),
    "repeatability": Check("repeatability", False, 200),
    "audit": Check("audits", False, 200),
    "speed": Check("speed", True, 210),
    "neighbour": Check("neighbour", True, 120),
    "memory": Check("memory", True, 90),
    "anogan": Check("anogan", True, 90),
    "shares": Check("trials", True, 90),
    "sweep": Check("trials", True, 120),
    "two-cards": Check("machine", False, 30),
}


def run_all(names: Sequence[str], options: Options, seconds: float) -> list[Row]:
    """Run the named checks until their end, or until ``seconds`` are over."""
    end = time.monotonic() + seconds
    alone = [name for name in names if CHECKS[name].alone]
    together = [name for name in names if not CHECKS[name].alone]
    rows: dict[str, list[Row]] = {}
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(os.sched_getaffinity(0)))) as pool:
        results = pool.map(lambda name: run_apart(name, options, end), together)
        rows |= dict(zip(together, results, strict=True))
    for name in alone:
        rows[name] = run_apart(name, options, end)
    return [row for name in names for row in rows[name]]


def run_apart(name: str, options: Options, end: float) -> list[Row]:
    """Run a check in a process of its own; end it with its children when its time is over."""
    seconds = min(CHECKS[name].seconds, end - time.monotonic())
    if seconds <= 0:
        return [Row(name, "", "skipped", {"why": "the time is over; see --minutes"})]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "rows", Path(folder) / "log"
        file.touch()
        command = [sys.executable, str(SCRIPTS / "gpu-check"), "--device", options.device]
        command += ["--small"] * options.small + ["--run", name, str(file)]
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env=_environment(), start_new_session=True, stdout=output, stderr=output
            )
            try:
                code: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end_session(process)
        rows = [from_line(line) for line in file.read_text().splitlines()]
        problem = _problem(code, seconds, log)
    if problem:
        rows.append(Row(name, "", "failed", {"error": problem}))
    failed = [f"  {row.case}: {row.figures}" for row in rows if row.result == "failed"]
    done = f"{name}: {len(rows)} rows, {len(failed)} failed, in {time.monotonic() - begun:.0f} s"
    print("\n".join([done, *failed]), file=sys.stderr)
    return rows


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End the check, which then ends what it has started, and whatever is left of it."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _problem(code: int | None, seconds: float, log: Path) -> str:
    if code == 0:
        return ""
    last = " ".join(log.read_text(errors="replace").split()[-40:])
    return f"not done after {seconds:.0f} s" if code is None else f"ended with {code}: {last}"


def _environment() -> dict[str, str]:
    paths = [str(SCRIPTS.parent), str(SCRIPTS), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    # Several checks run at once: threads of torch's own would wait for each other.
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}


def run_here(name: str, options: Options, file: Path) -> None:
    """Run a check in this process; write each row to ``file`` as soon as it is there."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with file.open("a", buffering=1) as lines:
        for row in _rows(name, options):
            lines.write(as_line(row) + "\n")


def _rows(name: str, options: Options) -> Iterator[Row]:
    try:
        module = importlib.import_module(f"gpu_checks.{CHECKS[name].module}")
        yield from getattr(module, name.replace("-", "_"))(options)
    except SkippedError as reason:
        yield Row(name, "", "skipped", {"why": str(reason)})
    except ModuleNotFoundError as error:
        ours = str(error.name).startswith(("omasgan", "gpu_checks"))
        told = str(error) if ours else f"{error.name} is not installed"
        yield Row(name, "", "failed" if ours else "skipped", {"why": told})
    except Exception as error:
        traceback.print_exc()
        yield Row(name, "", "failed", {"error": described(error)})


def described(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
