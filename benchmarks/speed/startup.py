"""How soon a sweep on Ray says something, trains its first trial and its first final run.

It starts `omasgan sweep digits-loo omasgan` with two trials and short trainings. The table has
seconds since the start, median of several starts, and seconds of CPU until the first trial trains,
by which to judge where others use the machine, too. With --against, starts of another checkout
alternate with those of this one.

    python benchmarks/speed/startup.py [--times 3] [--against FOLDER]
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
STEPS = 30
SPACE = "gan_lr = {low = 1e-4, high = 4e-4, log = true}\n" + "".join(
    f"{phase}_steps = {STEPS}\n" for phase in ("gan", "boundary", "retrain", "detector")
)
ROWS = (
    "first line",
    "first trial trains",
    "search has ended",
    "first final run trains",
    "end",
    "CPU of the driver",
    "CPU of the trial's process",
)
TRIAL, RUN = b"ray::trial ", b"ray::run of "
"""What Ray calls a process while it trains a trial, and a final run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--against", type=Path, help="the root of another checkout")
    arguments = parser.parse_args()
    roots = [ROOT, *filter(None, [arguments.against])]
    measured: dict[Path, list[list[float]]] = {root: [] for root in roots}
    for _ in range(arguments.times):
        for root in roots:
            measured[root].append(start(root))
            print(root, " ".join(f"{seconds:.1f}" for seconds in measured[root][-1]), flush=True)
    medians = [[statistics.median(t) for t in zip(*measured[r], strict=True)] for r in roots]
    for row, *seconds in zip(ROWS, *medians, strict=True):
        ratio = f"  ratio {seconds[1] / seconds[0]:.2f}" if len(seconds) > 1 else ""
        print(f"{row:28}" + "".join(f"{s:8.1f} s" for s in seconds) + ratio)


def start(root: Path) -> list[float]:
    """Return the seconds of ``ROWS`` of one start of the package in ``root``."""
    with tempfile.TemporaryDirectory() as folder:
        space, out = Path(folder, "space.toml"), Path(folder, "out")
        space.write_text(SPACE)
        command = [sys.executable, "-c", "from omasgan.cli import main; raise SystemExit(main())"]
        command += ["sweep", "digits-loo", "omasgan", "--folds", "0", "--trials", "2"]
        command += ["--backend", "ray", "--space", str(space), "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        begun = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        first_line = _first_line(process.stdout)
        trial = _wait(lambda: next(_training(process, TRIAL), None))
        times = [time.monotonic()]
        cpu = [_cpu_seconds(process.pid), _cpu_seconds(trial)]
        _wait(lambda: list(out.glob("*/*/*/studies/*/winner.json")) or None)
        times.append(time.monotonic())
        _wait(lambda: next(_training(process, RUN), None))
        times.append(time.monotonic())
        if process.wait():
            raise RuntimeError(f"the sweep in {root} ended with {process.returncode}")
        times.append(time.monotonic())
    return [t - begun for t in (first_line.get(), *times)] + cpu


def _first_line(output: IO[bytes]) -> queue.SimpleQueue[float]:
    """Return what will hold the time of the first line; read all the others."""
    times: queue.SimpleQueue[float] = queue.SimpleQueue()

    def read() -> None:
        for _ in output:
            times.put(time.monotonic())

    threading.Thread(target=read, daemon=True).start()
    return times


def _training(process: subprocess.Popen[bytes], title: bytes) -> Iterator[int]:
    """Yield the processes of the sweep with that title."""
    if process.poll() is not None:
        raise RuntimeError(f"the sweep ended with {process.returncode}")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(title) and process.pid in _ancestors(path.parent):
                yield int(path.parent.name)
        except OSError:
            continue


def _ancestors(process: Path) -> set[int]:
    found = {int(process.name)}
    while (parent := int(_fields(process)[1])) > 0:
        found.add(parent)
        process = process.with_name(str(parent))
    return found


def _cpu_seconds(pid: int) -> float:
    fields = _fields(Path(f"/proc/{pid}"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fields(process: Path) -> list[str]:
    """Return what /proc says of a process, from its state on."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def _wait(look: Callable[[], T | None]) -> T:
    """Return what is seen at last."""
    while (seen := look()) is None:
        time.sleep(0.1)
    return seen


if __name__ == "__main__":
    main()
