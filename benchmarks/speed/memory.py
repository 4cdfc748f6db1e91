"""Peak resident memory of a trial on MNIST, against the size of the data that it trains on.

OMASGAN_DATA=... python benchmarks/speed/memory.py [--steps 20]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from omasgan import config
from omasgan.data import protocols, selection
from omasgan.training import evaluate
from omasgan.training.jobs import TrialJob
from omasgan.training.trials import Ending


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="steps of every phase")
    arguments = parser.parse_args()
    spec = config.load_benchmark("mnist-loo")
    dataset = protocols.load_data(spec, root=None, download=False)
    (study,) = selection.studies("nested", spec, dataset, [0], inner=1)
    data = study.data
    del dataset
    phases = ("gan", "boundary", "retrain", "detector")
    steps = {f"{phase}_steps": arguments.steps for phase in phases}
    import torch  # noqa: F401 - counted with what is resident before

    before = resident_mb()
    *_, ending = evaluate.run_trial(TrialJob("omasgan", steps, device="cpu"), data)
    assert isinstance(ending, Ending) and ending.outcome == "ok", ending
    print(f"samples of the trial (uint8)      {data.pool.nbytes / 2**20:8.0f} MiB")
    print(f"the same in float32               {data.pool.nbytes * 4 / 2**20:8.0f} MiB")
    print(f"resident before, with the samples {before:8.0f} MiB")
    print(f"peak of the trial                 {ending.peak_memory_mb:8.0f} MiB")


def resident_mb() -> float:
    """Return the resident memory of this process now, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("VmRSS is not known here")


if __name__ == "__main__":
    main()
