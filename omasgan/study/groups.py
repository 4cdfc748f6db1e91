"""Groups of trials that begin their trainings alike, so that the beginning is trained once.

The first trial of a group draws all its params. The others keep those that the beginning depends
on and draw the rest. To Optuna they are trials like any others. A group goes on as long as it is
among the best: others would spend the time that is saved on beginnings that are no good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import TrialState

from omasgan.study.record import ENDING, GROUP, LAST

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from omasgan.study.space import Params

WORSE = 2 / 3
"""The share of all groups that get no other trial."""

FEWEST = 3
"""A group is compared with no fewer, itself included; the first ones have one trial each."""


@dataclass(frozen=True)
class Sharing:
    """Groups of up to ``n_trials`` that train alike up to the end of ``phase``: they agree in
    ``params``, those of the space that this depends on.
    """

    n_trials: int
    phase: str
    params: frozenset[str]

    def held(self, params: Mapping[str, object]) -> Params:
        """Return those of a trial's params that are its group's."""
        return {name: value for name, value in params.items() if name in self.params}


@dataclass
class Group:
    """What a study's record says of one group.

    ``held`` are the params that its trials agree in, ``best`` is their highest objective, None as
    long as none has ended ok; where it ``is_given_up`` it gets no other trial.
    """

    number: int
    held: Params
    n_asked: int = 0
    n_running: int = 0
    best: float | None = None
    is_given_up: bool = False

    def is_open(self, sharing: Sharing) -> bool:
        """Return whether trials can still join it."""
        return self.n_asked < sharing.n_trials and not self.is_given_up

    def is_over(self, sharing: Sharing) -> bool:
        """Return whether nobody needs its beginning any more."""
        return self.n_running == 0 and not self.is_open(sharing)


def groups_of(trials: Sequence[FrozenTrial], sharing: Sharing) -> list[Group]:
    """Return the groups of a study by number."""
    groups: list[Group] = []
    for trial in trials:
        number = trial.user_attrs.get(GROUP)
        if number is None:
            continue
        if number == len(groups):
            groups.append(Group(number, sharing.held(trial.params)))
        group = groups[number]
        group.n_asked += 1
        group.n_running += trial.state == TrialState.RUNNING
        group.is_given_up |= trial.user_attrs.get(LAST, False)
        objective = trial.user_attrs.get(ENDING, {}).get("objective")
        if objective is not None:
            group.best = objective if group.best is None else max(group.best, objective)
    return groups


def is_promising(number: int, groups: Sequence[Group]) -> bool:
    """Return whether a group of which a trial has ended is worth another one: it has an objective,
    which is among the best of all groups so far.

    >>> groups = [Group(n, {}, best=best) for n, best in enumerate([0.7, 0.8, 0.9])]
    >>> [is_promising(number, groups) for number in range(3)]
    [False, False, True]
    """
    bests = [group.best for group in groups if group.best is not None]
    best = groups[number].best
    if best is None or len(bests) < FEWEST:
        return False
    return bool(best >= np.quantile(bests, WORSE))


def expected_groups(n_trials: int, sharing: Sharing, slots: int) -> int:
    """Return how many groups the trials of a study will come to, ``slots`` of which run at once:
    so many begin together, each in a group of its own.

    It is taken that a group's objectives are alike, so that its first one decides.

    >>> [expected_groups(40, Sharing(8, "gan", frozenset()), slots) for slots in (1, 8, 100)]
    [13, 13, 40]
    """
    groups, trials = 0, 0.0
    while trials < n_trials:
        groups += 1
        better = groups - math.ceil(WORSE * (groups - 1)) if groups >= FEWEST else 0
        trials += 1 + better / groups * (sharing.n_trials - 1)
    return max(groups, min(n_trials, slots))
