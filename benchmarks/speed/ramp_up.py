"""How soon the slots of a sweep are at work: seconds from its start to each slot's first trial.

The trials train nothing: each notes when it begins, and waits until all slots have begun. The
cluster is there already, and claims as many CPUs as there are slots.

    python benchmarks/speed/ramp_up.py [--slots 8]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan import config
from omasgan.backends.ray.backend import RayBackend
from omasgan.data import protocols, selection
from omasgan.detectors.base import Epoch, IterativeDetector
from omasgan.study.guide import Guide
from omasgan.study.search import Search
from omasgan.study.space import Space


@dataclass(kw_only=True, eq=False, repr=False)
class Waiting(IterativeDetector):
    """Notes in the folder ``place`` that it has begun, and waits until ``n`` have done so."""

    place: str
    n: int
    lr: float = 0.1

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        (Path(self.place) / str(os.getpid())).write_text(str(time.time()))
        while len(list(Path(self.place).iterdir())) < self.n:
            time.sleep(0.1)
        yield Epoch(0, "waiting", {})

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        return {self.stage: np.zeros(len(X), np.float32)}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        """Nothing is learned."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=8)
    slots = parser.parse_args().slots
    seconds = ramp_up(slots)
    first, last = seconds[0], seconds[-1]
    print(" ".join(f"{s:.1f}" for s in seconds))
    print(
        f"{slots} slots on {os.cpu_count()} cores: the first trial began after {first:.1f} s, the "
        f"last after {last:.1f} s (ratio {last / first:.1f}), {last / slots:.2f} s a slot"
    )


def ramp_up(slots: int) -> list[float]:
    """Return the seconds after which the first, the second ... trial has begun."""
    spec = config.load_benchmark("digits-loo", max_train=100, max_test=60)
    dataset = protocols.load_data(spec, root=None, download=False)
    (study,) = selection.studies("proxy", spec, dataset, [0])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "place")
        place.mkdir()
        space = {"place": str(place), "n": slots, "lr": {"low": 0.1, "high": 1.0}}
        guide = Guide(Space.from_dict(space), Path(folder, "study"), sampler="RandomSampler")
        search = Search(guide, study.data, slots, "ramp_up:Waiting", Path(folder, "study"))
        backend = RayBackend(num_cpus=slots)
        started = time.time()
        backend.search([search], lambda event: None)
        backend.close()
        return sorted(float(path.read_text()) - started for path in place.iterdir())


if __name__ == "__main__":
    main()
