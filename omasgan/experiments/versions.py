"""Runs that another version of this code has made: results say which code they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from omasgan.config import BenchmarkSpec
from omasgan.progress import Note, OnEvent
from omasgan.training.environment import code_version
from omasgan.training.evaluate import run_key
from omasgan.training.jobs import RunJob


def note_others(jobs: Sequence[RunJob], benchmark: BenchmarkSpec, on_event: OnEvent) -> None:
    """Say in one line which of ``jobs`` are done already, by another version of this code: they
    are not trained again.

    Raises:
        StoreError: the store cannot be read.
    """
    counts = Counter(
        version for version in _versions(jobs, benchmark) if version != code_version()
    )
    if not counts:
        return
    lines = ", ".join(
        f"{n} run{'s were' if n > 1 else ' was'} made by version {version}"
        for version, n in sorted(counts.items())
    )
    on_event(Note(f"{lines} (this is {code_version()}); delete their folders to train them anew"))


def _versions(jobs: Sequence[RunJob], benchmark: BenchmarkSpec) -> list[str]:
    """Return the version of each job that is done."""
    rows = jobs[0].store.read_done([run_key(job, benchmark) for job in jobs]) if jobs else []
    return [str(row.get("code_version", "unknown")) for row in rows if row is not None]
