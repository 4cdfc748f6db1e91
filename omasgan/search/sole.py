"""The storage of a study that one driver alone writes to.

Optuna reads every running trial anew whenever it looks at a study, since other processes might
have written to it; with many trials at once that is most of what a driver does.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Container, Iterator
from typing import Any

from optuna.storages import RDBStorage, _CachedStorage
from optuna.trial import FrozenTrial, TrialState


class SoleStorage(_CachedStorage):
    """A database with one study, of whose trials only those that were written to are read anew."""

    def __init__(self, database: RDBStorage) -> None:
        super().__init__(database)
        self._known: dict[int, FrozenTrial] | None = None
        self._written: set[int] = set()

    def get_trial(self, trial_id: int) -> FrozenTrial:
        known = None if trial_id in self._written else (self._known or {}).get(trial_id)
        if known is not None and known.state.is_finished():
            return known
        return super().get_trial(trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        if self._known is None:
            found = super().get_all_trials(study_id, deepcopy=False)
            self._known = {trial._trial_id: trial for trial in found}
        else:
            for trial_id in sorted(self._written):
                self._known[trial_id] = super().get_trial(trial_id)
        self._written.clear()
        trials = [t for t in self._known.values() if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def create_new_trial(self, *args: Any, **kwargs: Any) -> int:
        with self._writing():
            trial_id: int = super().create_new_trial(*args, **kwargs)
        self._written.add(trial_id)
        return trial_id

    def set_trial_param(self, trial_id: int, *args: Any, **kwargs: Any) -> None:
        with self._writing(trial_id):
            super().set_trial_param(trial_id, *args, **kwargs)

    def set_trial_state_values(self, trial_id: int, *args: Any, **kwargs: Any) -> bool:
        with self._writing(trial_id):
            return super().set_trial_state_values(trial_id, *args, **kwargs)

    def set_trial_intermediate_value(self, trial_id: int, *args: Any, **kwargs: Any) -> None:
        with self._writing(trial_id):
            super().set_trial_intermediate_value(trial_id, *args, **kwargs)

    def set_trial_user_attr(self, trial_id: int, *args: Any, **kwargs: Any) -> None:
        with self._writing(trial_id):
            super().set_trial_user_attr(trial_id, *args, **kwargs)

    def set_trial_system_attr(self, trial_id: int, *args: Any, **kwargs: Any) -> None:
        with self._writing(trial_id):
            super().set_trial_system_attr(trial_id, *args, **kwargs)

    @contextlib.contextmanager
    def _writing(self, *trial_ids: int) -> Iterator[None]:
        self._written.update(trial_ids)
        try:
            yield
        except BaseException:
            # Of a write that was broken off nobody knows whether it was done.
            self._known = None
            raise
