"""The record of a study: one append-only file, without which nothing about it is true.

``journal.jsonl`` in the study's folder holds what happened, in the format of Optuna's journal
storage: a trial was asked for with these params, a task's value came in, the trial ended so.
Everything else (reports, MLflow, a copy in a database) is made from it. ``optuna.load_study`` and
``optuna-dashboard`` read it as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages.journal import BaseJournalBackend

from omasgan.errors import DamagedError
from omasgan.store.journal import append_rows, keep_rows, read_rows
from omasgan.training.trials import Ending, Trial

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath
    from omasgan.study.space import Space

FILE = "journal.jsonl"

VALUES, ENDING, ATTEMPTS, ENQUEUED = "values", "ending", "attempts", "enqueued"
"""The user attributes of a trial that hold what Optuna has no field for."""


class Journal(BaseJournalBackend):
    """Optuna's journal in a file of JSON lines, in a folder or on an object store.

    One process alone writes to it (``store.lock``), so that it is read once.
    """

    def __init__(self, path: AnyPath, *, read_only: bool = False) -> None:
        """Open the file; to write, drop the line that a driver that was killed has torn."""
        self._path = path
        if not read_only:
            keep_rows(path, lambda row: True)
        self._unread = read_rows(path)
        self._n_read = 0
        self._unwritten: list[dict[str, Any]] | None = None

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the rows from a number on; those before it are not asked for again."""
        self._unread = self._unread[log_number_from - self._n_read :]
        self._n_read = log_number_from
        return list(self._unread)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write rows, or keep them for the end of ``together``.

        Raises:
            StoreError: they cannot be written.
        """
        if self._unwritten is None:
            append_rows(self._path, logs)
        else:
            self._unwritten += logs
        self._unread += logs

    def damage(self, error: Exception) -> DamagedError:
        """Return the error to raise where Optuna cannot make sense of the rows."""
        return DamagedError(
            f"'{self._path}' is damaged: {type(error).__name__}: {error}; give another --out"
        )

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write the rows of this context at its end, in one go.

        Raises:
            StoreError: they cannot be written.
        """
        self._unwritten = []
        try:
            yield
        finally:
            rows, self._unwritten = self._unwritten, None
            append_rows(self._path, rows)


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
    )


def read_trials(folder: AnyPath, space: Space) -> list[Trial]:
    """Return the trials that the record in a study's ``folder`` holds, by number; none if there
    is no record.

    Raises:
        StoreError: the record cannot be read.
        DamagedError: a row of it belongs to no study or trial.
    """
    journal = Journal(folder / FILE, read_only=True)
    try:
        storage = optuna.storages.JournalStorage(journal)
        return [
            trial_of(stored, space)
            for study in optuna.study.get_all_study_names(storage)
            for stored in optuna.load_study(study_name=study, storage=storage).trials
            if stored.state != optuna.trial.TrialState.WAITING
        ]
    except (LookupError, ValueError, TypeError, AssertionError) as error:
        raise journal.damage(error) from error
