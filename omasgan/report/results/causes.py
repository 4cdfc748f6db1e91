"""What did not end well and why: runs and trials by outcome and cause, and what helps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from omasgan.report.results.inputs import StoredStudy

REMEDIES = {
    "pruned": "none needed: the search gave it up for better ones",
    "diverged": "a lower learning rate or another loss; the same seed would only repeat it",
    "out-of-memory": "a smaller batch or network, or a larger share (--gpus-per-trial, "
    "--cpus-per-trial); --resume runs it again",
    "failed": "what the cause names; --resume runs it again",
}
"""What helps, by outcome."""
MOST = 60
"""So many causes are told; further ones are counted together."""
CHANGING = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
"""What differs between two errors of the same cause: numbers and addresses."""


@dataclass(frozen=True)
class _Bad:
    """A run or a trial that gave no number: ``of`` is its entry or its study."""

    kind: str
    of: str
    outcome: str
    error: str
    place: str


def table(frame: pd.DataFrame, studies: Sequence[StoredStudy]) -> pd.DataFrame:
    """One line for each entry or study, outcome and cause; most frequent first.

    Errors that differ in numbers alone are one cause, told by the first of them. Indexed by the
    entry or the study; ``first`` is where it happened first.
    """
    found: dict[tuple[str, ...], list[_Bad]] = {}
    for bad in (*_runs(frame), *_trials(studies)):
        key = (bad.kind, bad.of, bad.outcome, CHANGING.sub("#", bad.error))
        found.setdefault(key, []).append(bad)
    groups = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    lines = [
        {
            "what": bad[0].kind,
            "of": bad[0].of,
            "outcome": bad[0].outcome,
            "count": len(bad),
            "cause": bad[0].error or "not told",
            "first": bad[0].place,
            "remedy": REMEDIES.get(bad[0].outcome, "-"),
        }
        for _, bad in groups[:MOST]
    ]
    rest = [bad for _, members in groups[MOST:] for bad in members]
    if rest:
        told = {"what": "both", "of": "further ones", "outcome": "-", "count": len(rest)}
        lines.append({**told, "cause": "see runs.csv and the trials' files"})
    return pd.DataFrame(lines, index=[str(line["of"]) for line in lines])


def _runs(frame: pd.DataFrame) -> Iterator[_Bad]:
    if frame.empty:
        return
    bad = frame[frame["current"] & (frame["outcome"] != "ok")]
    for row in bad.to_dict("records"):
        place = f"fold {row['fold']}, seed {row['seed']}"
        error = row.get("error")
        yield _Bad("run", row["entry"], row["outcome"], _line(error), place)


def _trials(studies: Iterable[StoredStudy]) -> Iterator[_Bad]:
    for study in studies:
        for trial in study.trials:
            if trial["outcome"] != "ok":
                place, error = f"trial {trial['number']}", trial.get("error")
                yield _Bad("trial", study.label, trial["outcome"], _line(error), place)


def _line(error: object) -> str:
    """An error's text in one line of bounded length; empty for none."""
    text = " ".join(error.split()) if isinstance(error, str) else ""
    return text if len(text) <= 200 else f"{text[:199]}…"
