"""What a suite trains at a budget: arms with all their params, on the folds of benchmarks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omasgan import config, detectors
from omasgan.config import BenchmarkSpec
from omasgan.data import published
from omasgan.data.published import Number
from omasgan.data.selection import SENSITIVITY
from omasgan.errors import ConfigError
from omasgan.experiments import ensemble
from omasgan.experiments.paper import pools
from omasgan.experiments.paper.suites import (
    DEFAULTS,
    Arm,
    Budget,
    BudgetName,
    Drawing,
    Pool,
    Suite,
)
from omasgan.store.results import RunKey, params_id

RULE = "fixed"
"""The selection rule of every training here: nothing is selected."""


@dataclass(frozen=True)
class Variant:
    """An arm as it is trained, with all its params.

    ``arm`` is its name in the suite. An arm that varies params has a variant for each combination;
    ``varied`` are the params of this one. ``settings`` is where the other params come from. An
    ensemble has several ``members``.
    """

    label: str
    arm: str
    detector: str
    params: Mapping[str, Any]
    settings: str
    varied: Mapping[str, Any]
    members: int | None = None
    of_pool: bool = False

    @property
    def params_id(self) -> str:
        return params_id(self.params)

    @property
    def rule(self) -> str:
        """What stands for the selection of its runs; those of a pool show how the AUROC moves."""
        if self.of_pool:
            return SENSITIVITY
        return RULE if self.members is None else ensemble.rule(self.members)


@dataclass(frozen=True)
class SuitePlan:
    """A suite at a budget: all ``variants`` are trained on all ``benchmarks``.

    ``printed`` are all numbers of the literature.
    """

    suite: Suite
    budget: BudgetName
    benchmarks: tuple[BenchmarkSpec, ...]
    variants: tuple[Variant, ...]
    printed: tuple[Number, ...]

    @property
    def settings(self) -> Budget:
        return self.suite.budgets[self.budget]

    def keys(self, benchmark: BenchmarkSpec) -> dict[RunKey, Variant]:
        """Each training once, even if several variants share it."""
        return {
            RunKey(
                benchmark.id, variant.detector, variant.rule, variant.params_id, seed, fold
            ): variant
            for variant in self.variants
            for fold in self.settings.folds
            for seed in self.settings.seeds
        }

    def trainings_on(self, benchmark: BenchmarkSpec) -> int:
        """How many there are, members of ensembles each."""
        return sum(variant.members or 1 for variant in self.keys(benchmark).values())

    @property
    def trainings(self) -> int:
        return sum(self.trainings_on(benchmark) for benchmark in self.benchmarks)

    @property
    def judging(self) -> int:
        """How many trainings the rules of a pool judge its configurations by."""
        if self.suite.pool is None:
            return 0
        of_fold = pools.tasks_of_fold(self.suite.pool)
        return len(self.benchmarks) * len(self.settings.folds) * len(self.pool) * of_fold

    @property
    def pool(self) -> list[Variant]:
        """The configurations from which rules choose."""
        return [variant for variant in self.variants if variant.of_pool]

    def of(self, drawing: Drawing) -> list[Variant]:
        """The variants that a drawing shows."""
        return [v for v in self.variants if not drawing.arms or v.arm in drawing.arms]

    def numbers(self, benchmark: BenchmarkSpec, variant: Variant) -> list[Number]:
        """The literature's numbers for the variant's detector under the same protocol on the same
        data, from the sources that its arm names.
        """
        arm = self.suite.arms.get(variant.arm)
        return [
            number
            for folds in (False, True)
            for number in published.numbers_of(benchmark.identity(), self.printed, folds=folds)
            if arm and number.detector == variant.detector and number.source in arm.published
        ]


def schedule(suite: Suite, budget: BudgetName, trials: int | None = None) -> SuitePlan:
    """What ``suite`` trains at ``budget``; ``trials`` are a pool's configurations, by default the
    budget's.

    Raises:
        ConfigError: an unknown benchmark, detector, param or folder of settings, or a source that
            has no number for any benchmark of the suite.
    """
    settings = suite.budgets[budget]
    benchmarks = tuple(
        config.load_benchmark(name, max_train=settings.max_train, max_test=settings.max_test)
        for name in suite.benchmarks
    )
    variants = tuple(v for name, arm in suite.arms.items() for v in _variants(name, arm, settings))
    if suite.pool is not None:
        variants += tuple(_pooled(suite.pool, settings, trials or settings.trials))
    plan = SuitePlan(suite, budget, benchmarks, variants, tuple(published.read()))
    _check_sources(plan)
    return plan


def _variants(name: str, arm: Arm, budget: Budget) -> Iterator[Variant]:
    cls = detectors.declared(arm.detector)
    settings, params = _settings(arm, budget)
    params |= {**budget.params.get(arm.detector, {}), **arm.params}
    for values in itertools.product(*arm.vary.values()):
        varied = dict(zip(arm.vary, values, strict=True))
        text = ", ".join(f"{param} {value}" for param, value in varied.items())
        yield Variant(
            label=f"{name}, {text}" if text else name,
            arm=name,
            detector=arm.detector,
            params=detectors.check_params(cls, {**params, **varied}),
            settings=settings,
            varied=varied,
            members=arm.ensemble,
        )


def _pooled(pool: Pool, budget: Budget, n: int) -> Iterator[Variant]:
    for number, (params, searched) in enumerate(pools.configurations(pool, budget, n)):
        label = f"configuration {number}" if number else DEFAULTS
        yield Variant(
            label, label, pool.detector, params, DEFAULTS, searched if number else {}, of_pool=True
        )


def _settings(arm: Arm, budget: Budget) -> tuple[str, dict[str, Any]]:
    """The name of an arm's settings, and the params in them."""
    name = arm.settings or budget.settings
    if name != DEFAULTS:
        file = config.published_params(name) / f"{arm.detector}.toml"
        if file.exists():
            return f"{name}/{file.name}", config.load_params(file)
        if arm.settings is not None:
            raise ConfigError(f"{file.parent} has no settings of '{arm.detector}'")
    return DEFAULTS, {}


def _check_sources(plan: SuitePlan) -> None:
    for name, arm in plan.suite.arms.items():
        variant = next(variant for variant in plan.variants if variant.arm == name)
        sources = {n.source for b in plan.benchmarks for n in plan.numbers(b, variant)}
        for source in arm.published:
            if source not in sources:
                benchmarks = ", ".join(plan.suite.benchmarks)
                raise ConfigError(
                    f"{plan.suite.name}: no published number of '{variant.detector}' on "
                    f"{benchmarks} has the source '{source}'; see benchmarks/published.csv"
                )
