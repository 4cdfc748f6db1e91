"""Runs that were made on another kind of device than this start would use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from omasgan.progress import Note
from omasgan.training.environment import device_class
from omasgan.training.evaluate import run_key

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.training.jobs import RunJob


def notes(jobs: Sequence[RunJob], spec: BenchmarkSpec, expected: Sequence[str]) -> Iterator[Note]:
    """Yield what to tell of the runs that are done already, but were made on another kind of
    device than ``expected`` for their job: their rows say so, and they are not trained again.

    A run's identity does not hold the device: the same seed gives nearly the same numbers.
    """
    if not jobs:
        return
    done = jobs[0].store.read_done([run_key(job, spec) for job in jobs])
    counts: Counter[tuple[str, str]] = Counter()
    for row, device in zip(done, expected, strict=True):
        if row is not None:
            counts[device_class(row["device"]), device_class(device)] += 1
    for (made_on, asked), n in sorted(counts.items()):
        if made_on != asked:
            were = "run was" if n == 1 else "runs were"
            yield Note(
                f"{n} {were} made on {made_on}, this start uses {asked}: done already, and not "
                "trained again; another --out trains all on one kind of device"
            )
