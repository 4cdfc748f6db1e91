"""Drawings of a pool: what each rule chose, how far objectives agree with the test, and what more
configurations are worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Details, Figure, Table
from omasgan.report.paper import regret, regret_figures, regret_pools
from omasgan.report.paper.numbers import Results
from omasgan.report.paper.regret import Pool
from omasgan.report.paper.request import Request

SIZES = (1, 2, 3, 5, 8, 12, 20, 30, 50, 100)
"""Numbers of configurations along a curve."""

CHOICE = (
    "auroc: on the test samples, mean over folds; worst: the lowest fold; regret: of the pool's "
    "best configuration less that of the choice. Intervals: 95 % bootstrap over folds. p Holm: "
    "signed-rank test over folds against random, Holm's correction over the rules; - where there "
    "are too few folds. random: what to expect of one drawn at random; oracle: looks at the test "
    "samples, no result. trainings: of all folds, up to the choice and with those that are tested."
)
AGREEMENT = (
    "rank correlation: Spearman's, of objective and test AUROC within a fold, mean over folds; "
    "objective less test: of the choice, how much the objective flatters it."
)
CURVE = (
    "Mean regret over folds against the best of the whole pool, by the number of configurations "
    "that a rule chooses from; smaller pools are drawn from the whole, 100 for each size."
)


def regrets(request: Request) -> Iterator[Block]:
    """For each benchmark and stage the choices of all rules, and how good their objectives are."""
    pool = request.plan.suite.pool
    assert pool is not None
    for stage in pool.stages or (regret_pools.SCORE,):
        pools = regret_pools.of(request, stage)
        for one in request.results:
            yield from _of_stage(request, one, pools[one.part.benchmark.id], stage)


def _of_stage(request: Request, one: Results, pool: Pool, stage: str) -> Iterator[Block]:
    name = one.part.benchmark.name if len(request.results) > 1 else ""
    what = ", ".join(filter(None, (name, stage)))
    scope = f"{pool.size} configurations. {request.scope}"
    title = f"What each rule chose, {what}"
    yield Table(title, f"{CHOICE} {scope}", _choices(request, pool), for_terminal=True)
    yield Table(f"Objective against test, {what}", f"{AGREEMENT} {scope}", _agreement(pool))
    yield from _figures(request, one, pool, stage)
    columns = [one.fold_title(fold) for fold in request.plan.settings.folds]
    labels = [variant.label for variant in request.plan.pool]
    choices = pd.DataFrame(regret.chosen(pool), columns).T.rename_axis("rule").reset_index()
    objectives = (
        Table(
            f"Objectives by {rule}, {what}",
            f"Of each configuration in each fold; no test results. {scope}",
            pd.DataFrame(objective.T, labels, columns).rename_axis("arm").reset_index(),
        )
        for rule, objective in pool.objectives.items()
    )
    by_fold = Table(f"Choices by fold, {what}", f"Test AUROC of each choice. {scope}", choices)
    yield Details(f"Every choice and objective, {what}", (by_fold, *objectives))


def _figures(request: Request, one: Results, pool: Pool, stage: str) -> Iterator[Figure]:
    names = list(one.fold_names.values())
    yield request.figure(
        one,
        f"Each point is a configuration in a fold; one colour is one fold. Score {stage}.",
        _alt(pool),
        partial(regret_figures.objectives, pool.objectives, pool.test, names),
        what=f"objective against test, {stage}",
    )
    sizes = [n for n in SIZES if n < pool.size] + [pool.size]
    curve = regret.curve(pool, sizes)
    yield request.figure(
        one,
        f"{CURVE} Score {stage}.",
        "; ".join(f"{rule}: {values[-1]:.3f} at {sizes[-1]}" for rule, values in curve.items()),
        partial(regret_figures.by_size, sizes, curve),
        what=f"regret by number of configurations, {stage}",
    )


def _choices(request: Request, pool: Pool) -> pd.DataFrame:
    by_rule = regret.chosen(pool)
    of_rule = regret.regrets(by_rule)
    others = [rule for rule in by_rule if rule not in (regret.RANDOM, regret.ORACLE)]
    tests = statistics.holm(
        [statistics.signed_rank(by_rule[rule], by_rule[regret.RANDOM]) for rule in others]
    )
    p = dict(zip(others, tests.tolist(), strict=True))
    rows = [
        {
            "rule": rule,
            "auroc": float(aurocs.mean()),
            "worst": float(aurocs.min()),
            "regret": float(of_rule[rule].mean()),
            "interval": formats.signed_interval(statistics.over_folds(of_rule[rule])),
            "p Holm": p.get(rule, float("nan")),
            "trainings": _trainings(request, pool, rule),
        }
        for rule, aurocs in by_rule.items()
    ]
    return pd.DataFrame(rows)


def _trainings(request: Request, pool: Pool, rule: str) -> str:
    """How many trainings a rule takes up to its choice, and how many are tested then."""
    suite, folds = request.plan.suite.pool, len(pool.test)
    assert suite is not None
    name, _, is_top = rule.partition(", top ")
    tasks = {"nested": suite.inner * folds, "proxy": folds}
    tasks |= {regret.ORACLE: folds, regret.TRANSFER: folds}
    return f"{pool.size * tasks.get(name, 0)} + {folds * (pool.top if is_top else 1)}"


def _agreement(pool: Pool) -> pd.DataFrame:
    rows = []
    for rule, objective in pool.objectives.items():
        correlation = regret.agreement(objective, pool.test)
        excess = regret.optimism(objective, pool.test)
        rows.append(
            {
                "rule": rule,
                "rank correlation": float(np.nanmean(correlation)),
                "interval": formats.signed_interval(statistics.over_folds(correlation)),
                "objective less test": float(excess.mean()),
                "its interval": formats.signed_interval(statistics.over_folds(excess)),
            }
        )
    return pd.DataFrame(rows)


def _alt(pool: Pool) -> str:
    means = {r: np.nanmean(regret.agreement(o, pool.test)) for r, o in pool.objectives.items()}
    text = "; ".join(f"{rule} {value:.2f}" for rule, value in means.items())
    return f"Mean rank correlation of objective and test AUROC: {text}."
