"""Runs and trials that ended without a number: by outcome and cause, and what helps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from omasgan.report.results.inputs import StoredStudy
from omasgan.report.results.runs import current

REMEDIES = {
    "pruned": "none needed: the search dropped it for better ones",
    "diverged": "a lower learning rate or another loss; the same seed would only repeat it",
    "out-of-memory": "a smaller batch or network, or a larger share (--gpus-per-trial, "
    "--cpus-per-trial); the same command runs it again",
    "failed": "see the cause; the same command runs it again",
}
"""What helps, by outcome."""
MAX_CAUSES = 60
"""Rarer causes are counted together."""
CHANGING = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
"""What differs between two errors of the same cause: numbers and addresses."""
MAX_LENGTH = 200
"""Characters of an error that are shown."""


@dataclass(frozen=True)
class _Failure:
    """A ``run`` or ``trial`` that gave no number; ``of`` is its entry or its study, ``where`` the
    fold and seed, or the number of the trial.
    """

    kind: str
    of: str
    outcome: str
    error: str
    where: str


def table(frame: pd.DataFrame, studies: Sequence[StoredStudy]) -> pd.DataFrame:
    """One row for each entry or study, outcome and cause; most frequent first.

    Errors that differ only in numbers are one cause, shown by the first of them. The index is the
    entry or the study; ``first`` is where the cause occurred first.
    """
    causes: dict[tuple[str, ...], list[_Failure]] = {}
    for failure in (*_runs(frame), *_trials(studies)):
        key = (failure.kind, failure.of, failure.outcome, CHANGING.sub("#", failure.error))
        causes.setdefault(key, []).append(failure)
    groups = sorted(causes.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [_row(failures) for _, failures in groups[:MAX_CAUSES]]
    others = [failure for _, failures in groups[MAX_CAUSES:] for failure in failures]
    if others:
        counts = {"what": "both", "of": "other causes", "outcome": "-", "count": len(others)}
        rows.append({**counts, "cause": "see runs.csv and the trials' files"})
    return pd.DataFrame(rows, index=[str(row["of"]) for row in rows])


def _row(failures: Sequence[_Failure]) -> dict[str, object]:
    first = failures[0]
    return {
        "what": first.kind,
        "of": first.of,
        "outcome": first.outcome,
        "count": len(failures),
        "cause": first.error or "unknown",
        "first": first.where,
        "remedy": REMEDIES.get(first.outcome, "-"),
    }


def _runs(frame: pd.DataFrame) -> Iterator[_Failure]:
    if frame.empty:
        return
    shown = current(frame)
    for row in shown[shown["outcome"] != "ok"].to_dict("records"):
        where = f"fold {row['fold']}, seed {row['seed']}"
        yield _Failure("run", row["entry"], row["outcome"], _one_line(row.get("error")), where)


def _trials(studies: Iterable[StoredStudy]) -> Iterator[_Failure]:
    for study in studies:
        for trial in study.trials:
            if trial["outcome"] != "ok":
                where, error = f"trial {trial['number']}", _one_line(trial.get("error"))
                yield _Failure("trial", study.label, trial["outcome"], error, where)


def _one_line(error: object) -> str:
    """An error's text in one line of bounded length; empty for none."""
    text = " ".join(error.split()) if isinstance(error, str) else ""
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"
