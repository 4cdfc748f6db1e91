"""What TPE looks at in a long study: not all trials, so that a suggestion costs the same however
long the study grows.

TPE compares its best trials (25 at most, by its own rule) with the density of all others, and
weighs old ones ever less (Bergstra et al. 2011; Optuna's ``default_weights``). Its time grows with
each trial nevertheless. Beyond ``LOOKED_AT`` trials it sees the ``BEST`` of them and the latest.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

LOOKED_AT = 1000
BEST = 100


class Outlook(optuna.Study):
    """A study as its sampler sees it while it draws one trial: the trials that are done are at
    most ``LOOKED_AT``, and are looked through once.
    """

    def __init__(self, study: optuna.Study) -> None:
        super().__init__(study.study_name, study._storage, study.sampler, study.pruner)
        self._seen: dict[tuple[TrialState, ...] | None, list[FrozenTrial]] = {}

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        key = None if states is None else tuple(s for s in TrialState if s in states)
        if key not in self._seen:
            trials = super()._get_trials(deepcopy=False, states=states, use_cache=False)
            self._seen[key] = looked_at(trials)
        return self._seen[key]


def looked_at(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return of ``trials`` the ``BEST`` complete ones and the latest, ``LOOKED_AT`` together, in
    their order; all if they are no more.
    """
    if len(trials) <= LOOKED_AT:
        return trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: -float(trial.value or 0.0))[:BEST]
    kept = {trial.number for trial in best}
    for trial in reversed(trials):
        if len(kept) == LOOKED_AT:
            break
        kept.add(trial.number)
    return [trial for trial in trials if trial.number in kept]


class Bounded(optuna.samplers.BaseSampler):
    """A sampler of one trial that looks at an ``Outlook`` of its study; the draws are its own."""

    def __init__(self, sampler: optuna.samplers.BaseSampler) -> None:
        self._sampler = sampler
        self._outlook: Outlook | None = None

    def _look(self, study: optuna.Study) -> Outlook:
        self._outlook = self._outlook or Outlook(study)
        return self._outlook

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Any:
        return self._sampler.infer_relative_search_space(self._look(study), trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> Any:
        return self._sampler.sample_relative(self._look(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        study = self._look(study)
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: Any, values: Any
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)
