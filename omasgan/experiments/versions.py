"""Runs that another version of this code has finished: their rows say which one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from omasgan.config import BenchmarkSpec
from omasgan.progress import Note, OnEvent
from omasgan.training.environment import code_version
from omasgan.training.evaluate import run_key
from omasgan.training.jobs import RunJob


def note_others(jobs: Sequence[RunJob], benchmark: BenchmarkSpec, on_event: OnEvent) -> None:
    """Say in one line how many of ``jobs`` another version of this code has finished: they are not
    trained again.

    Raises:
        StoreError: the store cannot be read.
    """
    if not jobs:
        return
    rows = jobs[0].store.read_done([run_key(job, benchmark) for job in jobs])
    counts = Counter(str(row.get("code_version", "unknown")) for row in rows if row is not None)
    del counts[code_version()]
    if not counts:
        return
    counted = ", ".join(
        f"{n} run{'s were' if n > 1 else ' was'} made by version {version}"
        for version, n in sorted(counts.items())
    )
    remedy = "delete their folders to train them anew"
    on_event(Note(f"{counted} (this is {code_version()}); {remedy}"))
