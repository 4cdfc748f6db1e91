"""Runs that another version of this code has finished: their rows say which one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from omasgan.config import BenchmarkSpec
from omasgan.detectors import version
from omasgan.progress import Note, OnEvent
from omasgan.store.journal import Row
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
    counts = Counter(
        _version(row)
        for job, row in zip(jobs, rows, strict=True)
        if row is not None and _version(row) != _version(_row_of_now(job))
    )
    if not counts:
        return
    counted = ", ".join(
        f"{n} run{'s were' if n > 1 else ' was'} made by version {made_by}"
        for made_by, n in sorted(counts.items())
    )
    remedy = "delete their folders to train them anew"
    these = sorted({_version(_row_of_now(job)) for job in jobs})
    on_event(Note(f"{counted} (this is {' and '.join(these)}); {remedy}"))


def _row_of_now(job: RunJob) -> Row:
    """Return what the row of a run says of the versions if it is trained now."""
    return {"code_version": code_version(), "detector_version": version(job.detector)}


def _version(row: Row) -> str:
    """Return the version of this code, with that of the detector's own where it is not of this
    package.
    """
    own = row.get("detector_version")
    return str(row.get("code_version", "unknown")) + (f" with {own}" if own else "")
