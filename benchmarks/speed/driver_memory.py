"""Memory of a sweep's driver on MNIST, at its peak: what is its own, and what it shares.

It starts `omasgan sweep mnist-loo DETECTOR` on Ray with two short trials and looks at the driver's
pages ten times a second. Resident pages (RSS) are its own (anonymous), of libraries' files, or of
Ray's object store; the proportional set size (PSS) divides those that several processes map, and
the unique set size (USS) has only those that nobody else maps.

    OMASGAN_DATA=... python benchmarks/speed/driver_memory.py [DETECTOR] [--folds 0]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STATUS = {"VmRSS": "RSS", "RssAnon": "own", "RssFile": "files", "RssShmem": "object store"}
ROLLUP = {"Pss": "PSS", "Private_Clean": "USS", "Private_Dirty": "USS"}
ROWS = (*STATUS.values(), *dict.fromkeys(ROLLUP.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", nargs="?", default="vae")
    parser.add_argument("--folds", default="0")
    parser.add_argument("--tracking-uri", default="none", help="as for omasgan sweep")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from omasgan.cli import main; raise SystemExit(main())"]
        command += ["sweep", "mnist-loo", arguments.detector, "--folds", arguments.folds]
        command += ["--trials", "2", "--seeds", "0", "--max-test", "200", "--out", "out"]
        if arguments.tracking_uri != "own":
            command += ["--tracking-uri", arguments.tracking_uri]
        command += ["--space", _short_space(Path(folder))] if arguments.detector == "vae" else []
        peaks = watched(command, Path(folder), arguments.root)
    print(f"{'MiB at its peak':16}{'':8}  when RSS was highest")
    for row in ROWS:
        print(f"{row:16}{peaks[row]:8.0f}  {peaks[f'{row} then']:8.0f}")


def _short_space(folder: Path) -> str:
    """Return the file of a space of trainings that take seconds."""
    path = folder / "space.toml"
    path.write_text(
        "lr = {low = 1e-4, high = 4e-4, log = true}\ntrain_steps = 20\nwidth = 4\n"
        "importance_samples = 1\n"
    )
    return str(path)


def watched(command: list[str], folder: Path, root: Path) -> dict[str, float]:
    """Return the highest of each figure, and all at the moment of the highest RSS."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    peaks = dict.fromkeys(ROWS, 0.0)
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        now = pages(process.pid)
        if now and now["RSS"] > peaks["RSS"]:
            peaks |= {f"{row} then": value for row, value in now.items()}
        peaks |= {row: max(peaks[row], value) for row, value in now.items()}
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"the sweep ended with {process.returncode}")
    return peaks


def pages(pid: int) -> dict[str, float]:
    """Return the figures of a process now, in MiB; none if it has just ended."""
    found = dict.fromkeys(ROWS, 0.0)
    try:
        for file, names in (("status", STATUS), ("smaps_rollup", ROLLUP)):
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in names:
                    found[names[name]] += int(rest.split()[0]) / 1024
    except (OSError, ValueError):
        return {}
    return found if found["RSS"] else {}


if __name__ == "__main__":
    main()
