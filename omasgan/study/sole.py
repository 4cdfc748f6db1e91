"""The storage of a study that one driver alone writes to.

Optuna reads every running trial anew whenever it looks at a study, since other processes might
have written to it; with many trials at once that is most of what a driver does.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Container, Iterator
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage, _CachedStorage
from optuna.trial import FrozenTrial, TrialState


class SoleStorage(_CachedStorage):
    """A database with one study, of whose trials no more is read than this process has not
    written itself.
    """

    def __init__(self, database: RDBStorage) -> None:
        super().__init__(database)
        self._known: dict[int, FrozenTrial] | None = None
        self._stale: set[int] = set()

    def get_trial(self, trial_id: int) -> FrozenTrial:
        known = None if trial_id in self._stale else (self._known or {}).get(trial_id)
        return super().get_trial(trial_id) if known is None else copy.copy(known)

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
            for trial_id in sorted(self._stale):
                self._known[trial_id] = super().get_trial(trial_id)
        self._stale.clear()
        trials = [t for t in self._known.values() if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def create_new_trial(self, *args: Any, **kwargs: Any) -> int:
        with self._writing():
            trial_id: int = super().create_new_trial(*args, **kwargs)
        self._stale.add(trial_id)
        return trial_id

    def set_trial_state_values(self, trial_id: int, *args: Any, **kwargs: Any) -> bool:
        self._stale.add(trial_id)
        with self._writing():
            return super().set_trial_state_values(trial_id, *args, **kwargs)

    def set_trial_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution
    ) -> None:
        with self._writing():
            super().set_trial_param(trial_id, name, value, distribution)
        self._note(trial_id, "params", name, distribution.to_external_repr(value))
        self._note(trial_id, "distributions", name, distribution)

    def set_trial_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        with self._writing():
            super().set_trial_intermediate_value(trial_id, step, value)
        self._note(trial_id, "intermediate_values", step, value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        with self._writing():
            super().set_trial_user_attr(trial_id, key, value)
        self._note(trial_id, "user_attrs", key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        with self._writing():
            super().set_trial_system_attr(trial_id, key, value)
        self._note(trial_id, "system_attrs", key, value)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Of a write that was broken off nobody knows whether it was done."""
        try:
            yield
        except BaseException:
            self._known = None
            raise

    def _note(self, trial_id: int, part: str, key: Any, value: Any) -> None:
        """Whoever was given the trial before keeps it as it was."""
        if self._known is not None and trial_id in self._known:
            trial = copy.copy(self._known[trial_id])
            setattr(trial, part, {**getattr(trial, part), key: value})
            self._known[trial_id] = trial
