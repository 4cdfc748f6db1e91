"""What the rules of a pool make of its configurations: for each rule and fold a study that tries
them all, in the pool's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.experiments import search
from omasgan.experiments.paper import pools
from omasgan.experiments.paper.planning import SuitePlan
from omasgan.experiments.paper.suites import Pool
from omasgan.experiments.search import PreparedStudy
from omasgan.experiments.study_folder import StudyFolder
from omasgan.experiments.sweep_spec import SweepSpec, identity, studies
from omasgan.progress import OnEvent
from omasgan.store.results import Store
from omasgan.study.record import read_trials

Objectives: TypeAlias = Mapping[str, NDArray[np.float64]]
"""By rule, what it makes of each configuration in each fold, ``(folds, configurations)``."""


def judge(
    plan: SuitePlan,
    benchmark: BenchmarkSpec,
    dataset: Dataset,
    store: Store,
    backend: Backend,
    *,
    device: str,
    on_event: OnEvent,
) -> None:
    """Judge the configurations of ``plan`` by each of its rules, in each fold; a study that is
    there already is gone on with.

    Raises:
        StoreError: another study lies where one of these would.
    """
    prepared = list(_studies(plan, benchmark, dataset, store, device))
    for study in prepared:
        study.folder.refuse_another(study.identity)
    search.search(prepared, store, backend, on_event=on_event)


def objectives(
    plan: SuitePlan, benchmark: BenchmarkSpec, dataset: Dataset, store: Store, stage: str
) -> Objectives:
    """Return what each rule made of the configurations by the scores of ``stage``; NaN where a
    trial did not end ok.

    Raises:
        StoreError: a record cannot be read.
    """
    by_rule: dict[str, NDArray[np.float64]] = {
        rule: np.full((len(plan.settings.folds), len(plan.pool)), np.nan)
        for rule in _pool(plan).rules
    }
    for study in _studies(plan, benchmark, dataset, store, "cpu"):
        rows = [plan.settings.folds.index(fold) for fold in study.study.folds]
        for trial in read_trials(study.folder.path, study.spec.space):
            if trial.outcome == "ok" and trial.number < len(plan.pool):
                value = np.mean([values[stage] for values in trial.values.values()])
                by_rule[study.spec.rule][rows, trial.number] = value
    return by_rule


def _studies(
    plan: SuitePlan, benchmark: BenchmarkSpec, dataset: Dataset, store: Store, device: str
) -> Iterator[PreparedStudy]:
    pool = _pool(plan)
    space = pools.space_of(pool, plan.settings)
    replay = [space.within(variant.params) for variant in plan.pool]
    for rule in pool.rules:
        spec = SweepSpec(
            benchmark,
            pool.detector,
            space,
            rule,
            len(plan.pool),
            folds=plan.settings.folds,
            sampler=pools.SAMPLER,
            inner=pool.inner,
            device=device,
        )
        for study in studies(spec, dataset, None):
            folder = StudyFolder.of(store, benchmark.id, pool.detector, rule, study)
            # A sweep's study of the same space has other trials.
            same = identity(spec, study, dataset, None) | {"pool": replay[0]}
            yield PreparedStudy(spec, study, folder, same, replay)


def _pool(plan: SuitePlan) -> Pool:
    assert plan.suite.pool is not None
    return plan.suite.pool
