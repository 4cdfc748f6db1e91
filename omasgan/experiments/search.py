"""The studies of sweeps: prepared, searched side by side, and their winners written down."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from omasgan.backends.contract import Backend
from omasgan.data.datasets import Dataset
from omasgan.data.selection import Study
from omasgan.errors import ConfigError
from omasgan.experiments.study_folder import StudyFolder, Winner
from omasgan.experiments.sweep_spec import SweepSpec, enqueued, identity, studies, study_seed
from omasgan.progress import Event, Note, OnEvent, StudyChanged, TrialEnded
from omasgan.store.journal import Row
from omasgan.store.results import Store
from omasgan.study.checkpoints import Checkpoints
from omasgan.study.guide import Guide
from omasgan.study.replay import read_replay
from omasgan.study.search import Search
from omasgan.study.space import Params
from omasgan.study.storage_copy import StorageCopies
from omasgan.training.jobs import CheckpointPolicy, RunJob


@dataclass(frozen=True)
class Searched:
    """Sweeps whose winners are written down: what is left is to train the ``jobs`` and test them.

    ``lost`` says of each study without a winner what became of its trials.
    """

    winners: list[Winner]
    jobs: list[RunJob]
    lost: list[str]

    def refuse_lost(self) -> None:
        """Refuse a study in which no trial ended well, once all others have been carried out.

        Raises:
            ConfigError: there is one.
        """
        if self.lost:
            raise ConfigError(self.lost[0])


@dataclass(frozen=True)
class PreparedStudy:
    """A study of a sweep: its spec, samples, folder, identity and the params that it repeats."""

    spec: SweepSpec
    study: Study
    folder: StudyFolder
    identity: Row
    replay: Sequence[Params]

    def begin(self, disk: Checkpoints) -> Search:
        """Begin the study, or go on with it."""
        spec = self.spec
        self.folder.begin(self.identity, spec.n_trials)
        guide = Guide(
            spec.space,
            self.folder.path,
            name=self.folder.name,
            sampler=spec.sampler,
            pruner=spec.pruner,
            seed=study_seed(spec.seed, self.study.name),
            replay=self.replay,
        )
        sharing = spec.sharing
        if sharing is not None:
            guide.share(sharing)
        self.folder.delete_unknown(guide.n_asked)
        if spec.enqueue is not None:
            guide.enqueue(enqueued(spec), spec.enqueue)
        search = Search(
            guide=guide,
            data=self.study.data,
            n_trials=spec.n_trials,
            detector=spec.detector,
            folder=self.folder.path,
            device=spec.device,
            prune_collapsed=spec.prune_collapsed,
            checkpoints=spec.checkpoints,
            disk=disk,
            deadline=math.inf if spec.hours is None else time.monotonic() + 3600 * spec.hours,
        )
        objectives = {search.workdir(t.number): t.objective for t in guide.finished()}
        disk.watch(self.folder.path, objectives)
        if sharing is not None:
            search.drop_stages(guide.needed_groups())
        return search

    def end(self, search: Search, store: Store, searched: Searched, on_event: OnEvent) -> None:
        """Write down the winner of a search that has ended, and add its jobs to ``searched``."""
        guide = search.guide
        if self.spec.share_stages is not None:
            search.drop_stages(())
        if guide.limit < search.n_trials:
            on_event(
                Note(
                    f"study '{self.study.name}' of {self.spec.detector} is complete with "
                    f"{guide.n_asked} of {search.n_trials} trials: its sampler has handed out all "
                    "different params that there are for it"
                )
            )
        done = guide.n_finished
        if search.is_over and done < min(search.n_trials, guide.limit):
            on_event(
                Note(
                    f"study '{self.study.name}' of {self.spec.detector} ends with {done} of "
                    f"{search.n_trials} trials: its {self.spec.hours:g} hours are over"
                )
            )
        winner = self.folder.freeze(guide, self.spec.detector, self.spec.top)
        on_event(_changed(search, "complete"))
        if winner is None:
            searched.lost.append(self._describe_loss(search))
        else:
            searched.winners.append(winner)
            searched.jobs.extend(self._final_jobs(winner, store))

    def _final_jobs(self, winner: Winner, store: Store) -> list[RunJob]:
        """Return the winner on its folds, on the benchmark's seeds, which no trial has used. An
        ensemble's row has the params of all its members.
        """
        spec = self.spec
        return [
            RunJob(
                fold=fold,
                detector=spec.detector,
                params=winner.params,
                seed=seed,
                selection=spec.selection,
                store=store,
                device=spec.device,
                save=spec.save,
                about={"member_params": list(winner.member_params)} if winner.members else {},
                checkpoints=CheckpointPolicy(spec.checkpoints.seconds),
                members=winner.member_params,
            )
            for fold in self.study.folds
            for seed in spec.seeds or spec.benchmark.seeds
        ]

    def _describe_loss(self, search: Search) -> str:
        """Return what became of the trials, none of which ended well."""
        trials = search.guide.finished()
        counts = ", ".join(f"{n} {o}" for o, n in Counter(t.outcome for t in trials).items())
        error = next((t.error for t in reversed(trials) if t.error), "none")
        return (
            f"no trial of study '{self.study.name}' of {self.spec.detector} ended ok "
            f"({counts}; last error: {error}); change the space or give more --trials"
        )


def prepare(
    specs: Sequence[SweepSpec], store: Store, dataset: Dataset, source: Dataset | None = None
) -> list[PreparedStudy]:
    """Return the studies that ``specs`` ask for; nothing is written.

    Raises:
        ConfigError: a spec cannot be carried out.
        StoreError: another study lies where one of these would.
    """
    pairs = [(spec, study) for spec in specs for study in studies(spec, dataset, source)]
    prepared = [
        PreparedStudy(
            spec,
            study,
            StudyFolder.of(store, spec.benchmark.id, spec.detector, spec.selection, study),
            identity(spec, study, dataset, source),
            _replay(spec, study, alone=len(pairs) == 1),
        )
        for spec, study in pairs
    ]
    for each in prepared:
        each.folder.refuse_another(each.identity)
    return prepared


def search(
    studies: Sequence[PreparedStudy],
    store: Store,
    backend: Backend,
    *,
    copies: StorageCopies | None = None,
    on_event: OnEvent = lambda event: None,
) -> Searched:
    """Carry on ``studies`` side by side, and write every winner down.

    Workers receive the samples of ``data.selection`` only: no test sample is sent before.
    ``copies`` get the studies whose specs have a ``storage``.

    Raises:
        StoreError: a record cannot be read or written.
        BackendError: a storage that gets copies cannot be used.
    """
    if not studies:
        return Searched([], [], [])
    spec = studies[0].spec
    disk = Checkpoints(spec.checkpoint_budget, keep=spec.checkpoints.keep)
    searches = [study.begin(disk) for study in studies]
    for study, search in zip(studies, searches, strict=True):
        if copies is not None and study.spec.storage is not None:
            copies.add(study.spec.storage, study.folder.name_in_storage(store), search.guide)
        on_event(_changed(search, "running"))
    backend.search(searches, _copying(copies, on_event))
    searched = Searched([], [], [])
    for study, search in zip(studies, searches, strict=True):
        study.end(search, store, searched, on_event)
    return searched


def _replay(spec: SweepSpec, study: Study, *, alone: bool) -> Sequence[Params]:
    if spec.replay is None:
        return ()
    return read_replay(spec.replay, study.name, spec.space, alone=alone)


def _copying(copies: StorageCopies | None, on_event: OnEvent) -> OnEvent:
    """Pass events on; keep copies of the studies up to date."""

    def pass_on(event: Event) -> None:
        on_event(event)
        if copies is not None and isinstance(event, TrialEnded):
            copies.update()

    return pass_on


def _changed(search: Search, status: str) -> StudyChanged:
    done = search.guide.n_finished
    return StudyChanged(search.folder, status, done, search.n_trials)
