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
from omasgan.errors import ConfigError
from omasgan.experiments.paper.suites import DEFAULTS, Arm, Budget, BudgetName, Drawing, Suite
from omasgan.store.results import RunKey, params_id

RULE = "fixed"
"""The selection rule of every run here: nothing is chosen."""


@dataclass(frozen=True)
class Line:
    """An arm as it is trained; ``arm`` is what the suite calls it, ``varied`` its own params where
    the arm has several. ``settings`` is where its params come from.
    """

    label: str
    arm: str
    detector: str
    params: Mapping[str, Any]
    settings: str
    varied: Mapping[str, Any]

    @property
    def id(self) -> str:
        return params_id(self.params)


@dataclass(frozen=True)
class SuitePlan:
    """A suite at a budget; all ``lines`` are trained on all ``benchmarks``; ``printed`` is all
    that the literature prints.
    """

    suite: Suite
    budget: BudgetName
    benchmarks: tuple[BenchmarkSpec, ...]
    lines: tuple[Line, ...]
    printed: tuple[Number, ...]

    @property
    def settings(self) -> Budget:
        return self.suite.budgets[self.budget]

    def keys(self, benchmark: BenchmarkSpec) -> dict[RunKey, Line]:
        """Each training once, whichever lines share it."""
        return {
            RunKey(benchmark.id, line.detector, RULE, line.id, seed, fold): line
            for line in self.lines
            for fold in self.settings.folds
            for seed in self.settings.seeds
        }

    @property
    def trainings(self) -> int:
        return sum(len(self.keys(benchmark)) for benchmark in self.benchmarks)

    def of(self, drawing: Drawing) -> list[Line]:
        """The lines that a drawing shows."""
        return [line for line in self.lines if not drawing.arms or line.arm in drawing.arms]

    def numbers(self, benchmark: BenchmarkSpec, line: Line) -> list[Number]:
        """What the literature prints of the line's detector under the same protocol on the same
        data, from the sources that its arm names.
        """
        arm = self.suite.arms[line.arm]
        return [
            number
            for folds in (False, True)
            for number in published.numbers_of(benchmark.identity(), self.printed, folds=folds)
            if number.detector == line.detector and number.source in arm.published
        ]


def schedule(suite: Suite, budget: BudgetName) -> SuitePlan:
    """What ``suite`` trains at ``budget``.

    Raises:
        ConfigError: an unknown benchmark, detector, param or folder of settings, or a source of
            which there is no number for any benchmark of the suite.
    """
    chosen = suite.budgets[budget]
    benchmarks = tuple(
        config.load_benchmark(name, max_train=chosen.max_train, max_test=chosen.max_test)
        for name in suite.benchmarks
    )
    lines = tuple(line for name, arm in suite.arms.items() for line in _lines(name, arm, chosen))
    made = SuitePlan(suite, budget, benchmarks, lines, tuple(published.read()))
    _check_sources(made)
    return made


def _lines(name: str, arm: Arm, budget: Budget) -> Iterator[Line]:
    cls = detectors.load(arm.detector)
    settings, given = _settings(arm, budget)
    given |= {**budget.params.get(arm.detector, {}), **arm.params}
    for values in itertools.product(*arm.vary.values()):
        varied = dict(zip(arm.vary, values, strict=True))
        told = ", ".join(f"{param} {value}" for param, value in varied.items())
        yield Line(
            label=f"{name}, {told}" if told else name,
            arm=name,
            detector=arm.detector,
            params=detectors.check_params(cls, {**given, **varied}),
            settings=settings,
            varied=varied,
        )


def _settings(arm: Arm, budget: Budget) -> tuple[str, dict[str, Any]]:
    """Where an arm's params begin, and what they are there."""
    name = arm.settings or budget.settings
    if name != DEFAULTS:
        file = config.published_params(name) / f"{arm.detector}.toml"
        if file.exists():
            return f"{name}/{file.name}", config.load_params(file)
        if arm.settings is not None:
            raise ConfigError(f"{file.parent} has no settings of '{arm.detector}'")
    return DEFAULTS, {}


def _check_sources(made: SuitePlan) -> None:
    for name, arm in made.suite.arms.items():
        line = next(line for line in made.lines if line.arm == name)
        told = {n.source for b in made.benchmarks for n in made.numbers(b, line)}
        for source in arm.published:
            if source not in told:
                where = ", ".join(made.suite.benchmarks)
                raise ConfigError(
                    f"{made.suite.name}: no published number of '{line.detector}' on {where} has "
                    f"the source '{source}'; see benchmarks/published.csv"
                )
