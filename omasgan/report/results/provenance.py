"""Entries whose runs differ in where they were computed or in the code that computed them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from omasgan.report.results.runs import current, ok

NOTES = {
    "device_class": "{entry} mixes kinds of device: {counts}. The same seed gives slightly "
    "different numbers on another kind.",
    "code_version": "{entry} mixes code versions: {counts}. Versions may differ in their scores: "
    "see the changelog, or train all runs anew in another --out folder.",
}
"""By column of a run, what is said of an entry with several values of it."""


def notes(frame: pd.DataFrame) -> Iterator[str]:
    """A note on each entry whose numbers mix classes of device or code versions."""
    for column, note in NOTES.items():
        for entry, group in ok(current(frame)).groupby("entry", sort=False):
            counts = group[column].astype(str).value_counts().sort_index()
            if len(counts) > 1:
                texts = (f"{v} ({n} run{'' if n == 1 else 's'})" for v, n in counts.items())
                yield note.format(entry=entry, counts=", ".join(texts))
