"""The record of a study: one append-only file, without which nothing about it is true.

``journal.jsonl`` in the study's folder holds what happened, in the format of Optuna's journal
storage: a trial was asked for with these params, a task's value came in, the trial ended so.
Everything else (reports, MLflow, a copy in a database) is made from it. ``optuna.load_study`` and
``optuna-dashboard`` read it as it is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import optuna
from optuna.storages.journal import BaseJournalBackend

from omasgan.errors import DamagedError
from omasgan.store.files import read, write_atomic
from omasgan.store.journal import Row, append_rows
from omasgan.training.trials import Ending, Trial

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath
    from omasgan.study.space import Space

FILE = "journal.jsonl"

VALUES, ENDING, ATTEMPTS, ENQUEUED = "values", "ending", "attempts", "enqueued"
GROUP, LAST = "group", "last"
"""The user attributes of a trial that hold what Optuna has no field for."""

CONTINUES = "continues"
"""The key of a row that is followed by another one of the same entry; Optuna passes it over."""


class Journal(BaseJournalBackend):
    """Optuna's journal in a file of JSON lines, in a folder or on an object store.

    What ``together`` holds is one entry: a driver that is killed leaves all of it or nothing. One
    process alone writes to the file (``store.lock``), so that it is read once.
    """

    def __init__(self, path: AnyPath, *, read_only: bool = False) -> None:
        """Open the file; to write, cut off the entry that a killed driver has torn.

        Raises:
            StoreError: the file cannot be read, or not be mended.
            DamagedError: a line before its last one is no row.
        """
        self._path = path
        self._unread, whole, content = _read(path)
        if not read_only and whole != content:
            write_atomic(path, whole)
        self._n_read = 0
        self._entry: list[Row] | None = None

    def read_logs(self, log_number_from: int) -> Iterable[Row]:
        """Return the rows from a number on, and forget those before it."""
        self._unread = self._unread[log_number_from - self._n_read :]
        self._n_read = log_number_from
        return list(self._unread)

    def append_logs(self, logs: list[Row]) -> None:
        """Write rows, or keep them for the end of ``together``.

        Raises:
            StoreError: they cannot be written.
        """
        if self._entry is None:
            append_rows(self._path, logs)
        else:
            self._entry += logs
        self._unread += logs

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write the rows of this context at its end, as one entry; none of them after an error,
        which leaves the journal of no further use.

        Raises:
            StoreError: they cannot be written.
        """
        entry: list[Row] = []
        self._entry = entry
        try:
            yield
        finally:
            self._entry = None
        append_rows(self._path, [*({**row, CONTINUES: True} for row in entry[:-1]), *entry[-1:]])

    @contextlib.contextmanager
    def understood(self) -> Iterator[None]:
        """Make sense of what the rows say within this context.

        Raises:
            DamagedError: they make none.
        """
        try:
            yield
        except (LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise _damage(self._path, reason) from error


def _read(path: AnyPath) -> tuple[list[Row], bytes, bytes]:
    """Return the rows of all whole entries, the part of the file that holds them, and the file."""
    content = read(path) or b""
    lines = content.splitlines(keepends=True)
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            if number < len(lines):
                raise _damage(path, f"line {number} is no row") from error
    while rows and CONTINUES in rows[-1]:
        rows.pop()
    whole = b"".join(lines[: len(rows)])
    # The file may have been cut right before the end of a line.
    return rows, whole if whole.endswith(b"\n") or not whole else whole + b"\n", content


def _damage(path: AnyPath, reason: str) -> DamagedError:
    return DamagedError(
        f"'{path}' is damaged: {reason}; delete it to begin the study anew, or give another --out"
    )


def trial_of(stored: optuna.trial.FrozenTrial, space: Space) -> Trial:
    """Return what a record says of a trial, with the values that ``space`` fixes among its params.

    A trial that Optuna alone has ended, by another tool's hand, counts as failed.
    """
    attributes = stored.user_attrs
    ending = None
    if stored.state.is_finished():
        ending = Ending(**attributes.get(ENDING, {"outcome": "failed"}))
    ended = stored.datetime_complete
    return Trial(
        number=stored.number,
        params=space.suggest(optuna.trial.FixedTrial(stored.params)),
        values={int(step): by_stage for step, by_stage in attributes.get(VALUES, {}).items()},
        ending=ending,
        attempts=attributes.get(ATTEMPTS, 1),
        ended_at=None if ended is None else ended.timestamp(),
        enqueued=attributes.get(ENQUEUED),
        group=attributes.get(GROUP),
    )


def read_trials(folder: AnyPath, space: Space) -> list[Trial]:
    """Return the trials that the record in a study's ``folder`` holds, by number; none if there
    is no record.

    Raises:
        StoreError: the record cannot be read.
        DamagedError: a row of it belongs to no study or trial.
    """
    journal = Journal(folder / FILE, read_only=True)
    with journal.understood():
        storage = optuna.storages.JournalStorage(journal)
        return [
            trial_of(stored, space)
            for study in optuna.study.get_all_study_names(storage)
            for stored in optuna.load_study(study_name=study, storage=storage).trials
            if stored.state != optuna.trial.TrialState.WAITING
        ]
