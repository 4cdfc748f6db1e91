"""The pools of a suite as its store has them: test scores, objectives, and held-out scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from omasgan.data import protocols
from omasgan.experiments.paper import judging
from omasgan.nn import tails
from omasgan.report.paper.numbers import Results
from omasgan.report.paper.regret import CHANCE, Floats, Pool
from omasgan.report.paper.request import Request
from omasgan.store import saved
from omasgan.store.results import RunKey, Store

SCORE = "score"
"""The stage of a detector that has one."""


def of(request: Request, stage: str) -> dict[str, Pool]:
    """The pools of all benchmarks of a suite; each is chosen from by transfer from the next."""
    suite = request.plan.suite.pool
    assert suite is not None
    tests = [_test(one, stage) for one in request.results]
    pools = {}
    for number, one in enumerate(request.results):
        labels, surprise = _scores(request, one, stage)
        part = one.part
        pools[part.benchmark.id] = Pool(
            tests[number],
            judging.objectives(request.plan, part.benchmark, part.dataset, request.store, stage),
            surprise,
            labels,
            suite.top,
            tests[(number + 1) % len(tests)].mean(axis=0) if len(tests) > 1 else None,
        )
    return pools


def _test(one: Results, stage: str) -> Floats:
    """Test AUROCs ``(folds, configurations)``, means over seeds."""
    metric = "auroc" if stage == SCORE else f"auroc.{stage}"
    aurocs = [one.by_fold(variant, metric) for variant in one.plan.pool]
    return np.array(
        [
            [float(np.mean(of[fold])) if of[fold] else CHANCE for of in aurocs]
            for fold in one.plan.settings.folds
        ]
    )


def _scores(
    request: Request, one: Results, stage: str
) -> tuple[list[NDArray[np.int64]], list[Floats]]:
    """The labels of each fold's test samples, and their surprise by configuration and seed; a
    configuration without scores tells nothing, and is 0.
    """
    labels, surprise = [], []
    for fold in one.part.folds:
        held_out = protocols.FoldSamples(one.part.dataset, fold).validation
        by_run: Mapping[tuple[str, int], RunKey] = {
            (key.params_id, key.seed): key
            for variant in one.plan.pool
            for key in one.keys(variant, fold.index)
        }
        of_test = one.part.dataset.test.classes[fold.test]
        labels.append(protocols.labels(fold, of_test))
        surprise.append(
            np.stack(
                [
                    [
                        _surprise(request.store, by_run.get((variant.params_id, seed)), stage,
                                  held_out, len(of_test))
                        for seed in one.plan.settings.seeds
                    ]
                    for variant in one.plan.pool
                ]
            )
        )  # fmt: skip
    return labels, surprise


def _surprise(
    store: Store, key: RunKey | None, stage: str, held_out: NDArray[np.float32], n: int
) -> Floats:
    if key is None:
        return np.zeros(n)
    known = saved.load(store.run_dir(key), device="cpu").detector.stage_scores(held_out)[stage]
    return tails.surprise(known, store.scores(key)[stage].to_numpy())
