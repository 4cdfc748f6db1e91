"""A copy of studies in an Optuna storage, for dashboards and colleagues; the record stays true.

A server that is away holds nothing up: what it misses is sent once it is back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import optuna
import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from omasgan.errors import BackendError, StoreError, without_secrets

if TYPE_CHECKING:
    from omasgan.study.guide import Guide

logger = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""How long a server that cannot be reached is left alone while trials go on."""

OUTAGE_SECONDS = 600.0
"""How long it is waited for once the search is over."""

CONNECT_SECONDS = 10

_AWAY = (SQLAlchemyError, optuna.exceptions.StorageInternalError)


class StorageCopy:
    """One study in an Optuna storage at a URL, with the numbers that the trials have here.

    Finished trials are sent in the order of their numbers: one that still runs holds back those
    after it.
    """

    def __init__(self, url: str, name: str, guide: Guide) -> None:
        """Open the copy, or begin it.

        Raises:
            BackendError: the storage cannot be used.
            StoreError: it holds another study under this name.
        """
        self._url, self._guide = url, guide
        self._is_away = False
        self._try_again = 0.0
        try:
            self._study = optuna.create_study(
                storage=_storage(url), study_name=name, direction="maximize", load_if_exists=True
            )
            copied = self._study.get_trials(deepcopy=False)
        except (*_AWAY, ImportError, ValueError) as error:
            raise _unusable(url, "use", error) from error
        self._n_sent = len(copied)
        self._refuse_another(copied)

    def _refuse_another(self, copied: Sequence[optuna.trial.FrozenTrial]) -> None:
        own = self._guide.stored()
        if len(copied) > len(own) or any(
            a.params != b.params for a, b in zip(copied, own, strict=False)
        ):
            raise StoreError(
                f"storage '{without_secrets(self._url)}' holds another study under the name "
                f"'{self._study.study_name}' ({len(copied)} trials, {len(own)} here); "
                "give another --storage or --out"
            )

    def update(self) -> None:
        """Send what has ended, unless the storage was away a moment ago."""
        if time.monotonic() < self._try_again:
            return
        try:
            self._send()
        except _AWAY as error:
            if not self._is_away:
                logger.warning("%s; the search goes on", _unusable(self._url, "reach", error))
            self._is_away = True
            self._try_again = time.monotonic() + RETRY_SECONDS
        else:
            self._is_away = False

    def finish(self) -> None:
        """Send what is missing; wait for a storage that is away.

        Raises:
            BackendError: it stays away.
        """
        started = time.monotonic()
        while True:
            try:
                return self._send()
            except _AWAY as error:
                if time.monotonic() - started > OUTAGE_SECONDS:
                    raise BackendError(
                        f"{_unusable(self._url, 'reach', error)}; "
                        "the results are kept, and the same command sends them"
                    ) from error
                time.sleep(RETRY_SECONDS / 2)

    def _send(self) -> None:
        for stored in self._guide.stored()[self._n_sent :]:
            if not stored.state.is_finished():
                break
            # A write that was broken off may have been done.
            if len(self._study.get_trials(deepcopy=False)) == self._n_sent:
                self._study.add_trial(stored)
            self._n_sent += 1


def check_storage(url: str) -> None:
    """Connect to the storage at ``url`` once, before any work starts.

    Raises:
        BackendError: it cannot be used.
    """
    try:
        engine = sqlalchemy.create_engine(url, **_options(url))
        engine.connect().close()
        engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise _unusable(url, "use", error) from error


def _storage(url: str) -> optuna.storages.BaseStorage:
    return optuna.storages.RDBStorage(url, engine_kwargs=_options(url))


def _options(url: str) -> dict[str, Any]:
    # Connections that a server has lost are noticed before they are used.
    options: dict[str, Any] = {"pool_pre_ping": True}
    if not url.startswith("sqlite:"):
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    return options


def _unusable(url: str, do: str, error: Exception) -> BackendError:
    line = str(error.__cause__ or error).splitlines()[0]
    return BackendError(without_secrets(f"cannot {do} the storage '{url}': {line}"))
