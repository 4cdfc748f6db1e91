"""Copies of studies in an Optuna storage, for dashboards and colleagues; the record stays true.

A server that is away holds nothing up: what it misses is sent once it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import optuna

from omasgan.errors import BackendError, StoreError, without_secrets

if TYPE_CHECKING:
    from omasgan.study.guide import Guide

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""How long a server that cannot be reached is left alone."""

OUTAGE_SECONDS = 600.0
"""How long it is waited for once all else is done."""

CONNECT_SECONDS = 10


class StorageCopy:
    """One study in an Optuna storage, with the numbers that the trials have here.

    Ended trials are sent in the order of their numbers: one that still runs holds back those
    after it.
    """

    def __init__(
        self, storage: optuna.storages.BaseStorage, url: str, name: str, guide: Guide
    ) -> None:
        """Open the copy called ``name``, or begin it; ``url`` is the storage's.

        Raises:
            BackendError: the storage cannot be used.
            StoreError: it holds another study under this name.
        """
        self._guide = guide
        try:
            self._study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True
            )
            copied = self._study.get_trials(deepcopy=False)
        except _away() as error:
            raise BackendError(_cannot("use", url, error)) from error
        self._n_sent = len(copied)
        self._refuse_another(copied, url)

    def _refuse_another(self, copied: Sequence[optuna.trial.FrozenTrial], url: str) -> None:
        own = self._guide.stored()
        if len(copied) > len(own) or any(
            a.params != b.params for a, b in zip(copied, own, strict=False)
        ):
            raise StoreError(
                f"storage '{without_secrets(url)}' holds another study under the name "
                f"'{self._study.study_name}' ({len(copied)} trials, {len(own)} here); "
                "give another --storage or --out"
            )

    def send(self) -> None:
        """Send what has ended since the last time; what broke off is sent again.

        Raises:
            SQLAlchemyError, StorageInternalError: the server is away.
        """
        for stored in self._guide.stored()[self._n_sent :]:
            if not stored.state.is_finished():
                break
            # A write that was broken off may have been done.
            if len(self._study.get_trials(deepcopy=False)) == self._n_sent:
                self._study.add_trial(stored)
            self._n_sent += 1


class StorageCopies:
    """The copies of a sweep's studies; a thread of its own keeps them up to date."""

    def __init__(self) -> None:
        self._storages: dict[str, optuna.storages.BaseStorage] = {}
        self._copies: list[StorageCopy] = []
        self._news = threading.Event()
        self._deadline: float | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="storage copies", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadline = self._deadline or time.monotonic()
        self._news.set()

    def open(self, url: str) -> None:
        """Open a storage.

        Raises:
            BackendError: it cannot be used.
        """
        if url not in self._storages:
            try:
                self._storages[url] = _storage(url)
            except _away(ImportError, ValueError) as error:
                raise BackendError(_cannot("use", url, error)) from error

    def add(self, url: str, name: str, guide: Guide) -> None:
        """Copy the study of ``guide`` to the storage at ``url`` from now on.

        Raises:
            BackendError: the storage cannot be used.
            StoreError: it holds another study under this name.
        """
        self.open(url)
        self._copies.append(StorageCopy(self._storages[url], url, name, guide))
        self.update()

    def update(self) -> None:
        """Send what has ended, by and by."""
        if not self._copies:
            return
        if self._thread.ident is None:
            self._thread.start()
        self._news.set()

    def finish(self) -> None:
        """Return once everything is sent; wait for a storage that is away.

        Raises:
            BackendError: it stays away.
        """
        if not self._copies:
            return
        self._deadline = time.monotonic() + OUTAGE_SECONDS
        self._news.set()
        self._thread.join(OUTAGE_SECONDS + CONNECT_SECONDS)
        if self._thread.is_alive() or self._error is not None:
            reason = self._error or TimeoutError("it does not answer")
            raise BackendError(
                _cannot("reach", ", ".join(self._storages), reason)
                + "; the results are kept, and the same command sends them"
            ) from self._error

    def _work(self) -> None:
        is_last = False
        while not is_last:
            self._news.wait()
            self._news.clear()
            is_last = self._deadline is not None
            try:
                self._send_all()
            except Exception as error:  # for whoever waits for this thread
                self._error = error
                return

    def _send_all(self) -> None:
        """Send until everything is there, or until nobody waits for it any more."""
        while not self._send():
            if self._deadline is not None and time.monotonic() > self._deadline:
                return
            time.sleep(RETRY_SECONDS)

    def _send(self) -> bool:
        """Return whether everything is sent; if not, the storage is away."""
        try:
            for copy in self._copies:
                copy.send()
        except _away() as error:
            if self._error is None:
                url = ", ".join(self._storages)
                logger.warning("%s; the search goes on", _cannot("reach", url, error))
            self._error = error
            return False
        self._error = None
        return True


def _away(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the errors of a server that is away, and ``others``; only who has a storage imports
    its library.
    """
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, optuna.exceptions.StorageInternalError, *others


def check_storage(url: str) -> None:
    """Connect to the storage at ``url`` once, before any work starts.

    Raises:
        BackendError: it cannot be used.
    """
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = sqlalchemy.create_engine(url, **_options(url))
        engine.connect().close()
        engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise BackendError(_cannot("use", url, error)) from error


def _cannot(do: str, url: str, error: Exception) -> str:
    line = str(error.__cause__ or error).splitlines()[0]
    return without_secrets(f"cannot {do} the storage '{url}': {line}")


def _storage(url: str) -> optuna.storages.BaseStorage:
    return optuna.storages.RDBStorage(url, engine_kwargs=_options(url))


def _options(url: str) -> dict[str, Any]:
    # Connections that a server has lost are noticed before they are used.
    options: dict[str, Any] = {"pool_pre_ping": True}
    if not url.startswith("sqlite:"):
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    return options
