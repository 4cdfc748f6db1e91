"""The guide: one Optuna study that hands out params, learns from outcomes and decides on pruning.

Both backends use it the same way, so a sweep is guided alike wherever it runs.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from omasgan.errors import unknown
from omasgan.study.groups import Group, groups_of, is_promising
from omasgan.study.record import (
    ATTEMPTS,
    ENDING,
    ENQUEUED,
    FILE,
    GROUP,
    LAST,
    VALUES,
    Journal,
    trial_of,
)
from omasgan.study.samplers import (
    check_holding,
    holding,
    make_pruner,
    make_sampler,
    n_different,
    open_study,
    replaying,
)
from omasgan.training.trials import OUTCOMES, Ending, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from omasgan.store.files import AnyPath
    from omasgan.study.groups import Sharing
    from omasgan.study.space import Params, Space

INFEASIBLE = frozenset({"diverged", "out-of-memory"})
"""Outcomes that say something about the params, and that the sampler is to stay away from."""

WORST = 0.0
"""The objective that stands for an infeasible trial: bounded, and no AUROC is below it."""

EXHAUSTED = "exhausted"
"""The user attribute of a study whose sampler has said that nothing is left."""


class Guide:
    """Ask, report, should_prune, tell: around one Optuna study, whose record lies in a folder.

    Suggestions depend on ``seed``, the trial's number and the history only, so that a study that
    was interrupted goes on as if it had never stopped. Trials that a dead driver left running are
    handed out again, with the same number and params, before new ones.
    """

    def __init__(
        self,
        space: Space,
        folder: AnyPath | None,
        *,
        name: str = "study",
        sampler: str = "TPESampler",
        pruner: str = "NopPruner",
        seed: int = 0,
        replay: Sequence[Params] = (),
    ) -> None:
        """Open the study whose record lies in ``folder``, or begin it; None keeps it in memory.

        ``replay`` are params to be handed out, in this order, before anything new.

        Raises:
            ConfigError: an unknown sampler or pruner, or arguments that it does not take.
            StoreError: the record cannot be read or written, or is another study's.
            DamagedError: the record is damaged.
        """
        self._space, self._seed, self._sampler, self._replay = space, seed, sampler, replay
        self.sharing: Sharing | None = None
        make_sampler(sampler, seed, 0, space)
        self._n_different = n_different(sampler, space)
        self._journal = None if folder is None else Journal(folder / FILE)
        self._live: dict[int, optuna.Trial] = {}
        self._resumed: set[int] = set()
        self._ready: set[int] = set()
        self._distributions: dict[BaseDistribution, BaseDistribution] = {}
        with self._journal.understood() if self._journal else contextlib.nullcontext():
            self._study = open_study(_storage(self._journal), name, make_pruner(pruner))
            self.finished()
        for stored in self._trials():
            self._share_distributions(stored)

    def enqueue(self, params: Mapping[str, Any], reason: str) -> None:
        """Hand out ``params`` as a new study's first trial, whose record says why; nothing if the
        study has begun.

        Raises:
            ConfigError: the space does not hold them.
            StoreError: the record cannot be written.
        """
        params = self._space.within(params)
        if not self._trials():
            with self._together():
                self._study.enqueue_trial(params, user_attrs={ENQUEUED: reason})

    def share(self, sharing: Sharing) -> None:
        """Let new trials share stages in groups.

        As long as no trial of a group has come through in this start, its stages may not be there
        yet, so that only one trial at a time is of this group.

        Raises:
            ConfigError: the sampler cannot draw some params while others are given.
        """
        check_holding(self._sampler)
        self.sharing = sharing

    def ask(self) -> Trial:
        """Return the next trial to run: an abandoned one, or else a new one.

        Raises:
            StoreError: the record cannot be written.
        """
        abandoned = [
            stored
            for stored in self._trials()
            if stored.state == TrialState.RUNNING and stored.number not in self._live
        ]
        if abandoned:
            self._study.sampler = replaying(abandoned[0].params)
            trial = optuna.Trial(self._study, abandoned[0]._trial_id)
            self._resumed.add(trial.number)
        else:
            trial = self._ask_anew()
        self._live[trial.number] = trial
        return trial_of(self._trials()[trial.number], self._space)

    def _ask_anew(self) -> optuna.Trial:
        number = self.n_asked
        group = None if self.sharing is None else self._group_for(number, self.sharing)
        self._study.sampler = self._sampler_for(number)
        if group is not None:
            self._study.sampler = holding(self._study.sampler, group.held)
        with self._together():
            trial = self._study.ask()
            if group is not None:
                trial.set_user_attr(GROUP, group.number)
            self._space.suggest(trial)
        self._share_distributions(self._trials()[number])
        return trial

    def _share_distributions(self, stored: optuna.trial.FrozenTrial) -> None:
        """Let a trial refer to the distributions of others, of which it has equal ones of its own:
        several KB in a long study.
        """
        stored.distributions = {
            name: self._distributions.setdefault(distribution, distribution)
            for name, distribution in stored.distributions.items()
        }

    def _group_for(self, number: int, sharing: Sharing) -> Group:
        """Return the group of the next trial: the best that waits for one, else a new one.

        A replayed trial has its params, and so belongs to whatever group agrees with them.
        """
        groups = self.groups()
        waiting = [group for group in groups if group.is_open(sharing)]
        if number < len(self._replay):
            held = sharing.held(self._replay[number])
            waiting = [group for group in waiting if group.held == held]
        else:
            waiting = [g for g in waiting if g.number in self._ready or g.n_running == 0]
        return max(waiting, key=lambda group: group.best or WORST, default=Group(len(groups), {}))

    def report(self, number: int, step: int, values: Mapping[str, float]) -> None:
        """Record the values by stage of a running trial's task; a step that was reported stays as
        it is.

        Raises:
            StoreError: the record cannot be written.
        """
        stored = self._trials()[number]
        if step in stored.intermediate_values:
            return
        known = stored.user_attrs.get(VALUES, {})
        with self._together():
            self._live[number].set_user_attr(VALUES, {**known, str(step): dict(values)})
            self._live[number].report(max(values.values()), step)

    def should_prune(self, number: int) -> bool:
        """Return whether the pruner would end this trial after what was reported.

        Raises:
            StoreError: what the pruner notes cannot be written.
        """
        with self._together():
            return self._live[number].should_prune()

    def tell(self, number: int, ending: Ending, attempts: int = 1) -> Trial:
        """End a trial as what it is; return what the record says of it.

        Diverged and out-of-memory trials become infeasible points that the sampler learns from,
        pruned ones are pruned to it as well, and failed ones it does not see.

        Args:
            number: of a trial that ``ask`` gave.
            ending: an ok one has a finite objective, or it counts as failed.
            attempts: how many processes it took.

        Raises:
            ConfigError: an unknown outcome.
            StoreError: the record cannot be written.
        """
        if ending.outcome not in OUTCOMES:
            raise unknown("outcome", ending.outcome, OUTCOMES)
        objective = ending.objective if ending.outcome == "ok" else None
        if ending.outcome == "ok" and (objective is None or not math.isfinite(objective)):
            error = f"the objective is not finite, got {objective}"
            ending, objective = replace(ending, outcome="failed", error=error), None
        trial = self._live[number]
        # What a sampler does after a trial is its own affair, also where another one asked last.
        self._study.sampler = self._sampler_for(number)
        with self._together():
            facts = {k: v for k, v in asdict(ending).items() if v is not None}
            trial.set_user_attr(ENDING, facts | {"objective": objective})
            trial.set_user_attr(ATTEMPTS, attempts)
            if GROUP in trial.user_attrs and not self._goes_on(trial.user_attrs[GROUP]):
                trial.set_user_attr(LAST, True)
            # Every feasible trial says so too: TPE compares the constraints of all trials.
            trial.set_constraint("trains", 1.0 if ending.outcome in INFEASIBLE else 0.0)
            self._tell(trial, ending.outcome, objective)
            if self._study.has_stopped:
                self._study.set_user_attr(EXHAUSTED, True)
        del self._live[number]
        told = trial_of(self._trials()[number], self._space)
        # One that went on from a checkpoint may not have left the beginning for others.
        is_whole = attempts == 1 and number not in self._resumed
        if told.group is not None and objective is not None and is_whole:
            self._ready.add(told.group)
        return told

    def _goes_on(self, group: int) -> bool:
        return self.sharing is not None and is_promising(group, self.groups())

    def _tell(self, trial: optuna.Trial, outcome: str, objective: float | None) -> None:
        if outcome == "ok":
            self._study.tell(trial, objective)
        elif outcome in INFEASIBLE:
            self._study.tell(trial, WORST)
        else:
            state = TrialState.PRUNED if outcome == "pruned" else TrialState.FAIL
            self._study.tell(trial, state=state)

    @property
    def space(self) -> Space:
        """Where params come from."""
        return self._space

    @property
    def n_asked(self) -> int:
        """How many trials were ever handed out."""
        return sum(stored.state != TrialState.WAITING for stored in self._trials())

    @property
    def limit(self) -> float:
        """How many trials there can be: as many as the sampler has different params for, inf if
        it draws without an end.
        """
        return self.n_asked if self._study.user_attrs.get(EXHAUSTED) else self._n_different

    @property
    def n_finished(self) -> int:
        """How many trials have ended."""
        return sum(stored.state.is_finished() for stored in self._trials())

    def finished(self) -> list[Trial]:
        """Return all trials that have ended, by number."""
        return [
            trial_of(stored, self._space)
            for stored in self._trials()
            if stored.state.is_finished()
        ]

    def best(self) -> Trial | None:
        """Return the ok trial with the highest objective, the first of equals; None if there is
        none.
        """
        return next(iter(self.ranked(1)), None)

    def ranked(self, n: int) -> list[Trial]:
        """Return the ``n`` best of the ok trials, the first of equals first."""
        endings = [(s, s.user_attrs.get(ENDING, {})) for s in self._trials()]
        ok = [(s, ending) for s, ending in endings if ending.get("outcome") == "ok"]
        ok.sort(key=lambda pair: -(pair[1]["objective"] or WORST))
        # Making a trial of what is stored takes far longer than to sort thousands.
        return [trial_of(stored, self._space) for stored, _ in ok[:n]]

    def groups(self) -> list[Group]:
        """Return the groups of trials that share stages, by number."""
        return [] if self.sharing is None else groups_of(self._trials(), self.sharing)

    def needed_groups(self) -> list[int]:
        """Return the numbers of the groups of which a trial runs or is to come."""
        if self.sharing is None:
            return []
        return [group.number for group in self.groups() if not group.is_over(self.sharing)]

    def stored(self) -> Sequence[optuna.trial.FrozenTrial]:
        """Return the trials as Optuna has them, to be read only."""
        return self._trials()

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _sampler_for(self, number: int) -> optuna.samplers.BaseSampler:
        if number < len(self._replay):
            return replaying(self._replay[number])
        return make_sampler(self._sampler, self._seed, number, self._space)

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Write what Optuna notes within this context as one entry of the record."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._journal is None:
                yield
            else:
                with self._journal.together():
                    yield


def _storage(journal: Journal | None) -> optuna.storages.BaseStorage:
    """Return Optuna's view of a record, or one in memory."""
    if journal is None:
        return optuna.storages.InMemoryStorage()
    return optuna.storages.JournalStorage(journal)
