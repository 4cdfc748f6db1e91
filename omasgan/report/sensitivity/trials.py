"""What the trials of finished sweeps tell of the params, without training anything.

The studies of one sweep are pooled: what counts is a trial's objective less the mean of its study,
since another fold has another level. Intervals are over trials, drawn anew within each study.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.config import digest
from omasgan.errors import StoreError
from omasgan.report.results.inputs import StoredStudy, read_study
from omasgan.report.statistics import NONE, Interval
from omasgan.store.results import Store
from omasgan.study.importance import EVALUATORS, RANDOM, Importances
from omasgan.study.space import Choice, Fixed, Param, Params, Range, Space

RESAMPLES = 40
TREES = 48
GRID = 12
"""Points along a param of a partial dependence."""
HINTS_FROM = 2
SURE_FROM = 10
"""Ok trials a param: with fewer than the one nothing is modelled, with fewer than the other what
is found is called a hint."""


@dataclass(frozen=True)
class Pool:
    """The ok trials of a detector's studies on one benchmark, under one rule, in one space."""

    benchmark: str
    detector: str
    rule: str
    space: Space
    studies: tuple[StoredStudy, ...]

    @cached_property
    def searched(self) -> list[Param]:
        """The params that vary."""
        return [p for p in self.space.params if not isinstance(p.domain, Fixed)]

    @cached_property
    def _ok(self) -> list[tuple[int, dict[str, Any]]]:
        return [
            (number, dict(trial))
            for number, study in enumerate(self.studies)
            for trial in study.trials
            if trial["outcome"] == "ok" and trial.get("objective") is not None
        ]

    @cached_property
    def params(self) -> list[Params]:
        return [trial["params"] for _, trial in self._ok]

    @cached_property
    def study(self) -> NDArray[np.int64]:
        """The number of each trial's study."""
        return np.array([number for number, _ in self._ok], dtype=np.int64)

    @cached_property
    def objective(self) -> NDArray[np.float64]:
        """Each trial's objective less the mean of its study."""
        raw = np.array([float(trial["objective"]) for _, trial in self._ok])
        for number in set(self.study.tolist()):
            raw[self.study == number] -= raw[self.study == number].mean()
        return raw

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        return np.array([float(trial.get("seconds") or math.nan) for _, trial in self._ok])

    @cached_property
    def lost(self) -> int:
        """How many trials ended without an objective."""
        return sum(len(study.trials) for study in self.studies) - len(self._ok)

    def __len__(self) -> int:
        return len(self._ok)

    @property
    def needed(self) -> int:
        """How many trials make what is found more than a hint."""
        return SURE_FROM * len(self.searched)

    @property
    def can_be_modelled(self) -> bool:
        return len(self) >= HINTS_FROM * len(self.searched)

    @property
    def is_sure(self) -> bool:
        return len(self) >= self.needed

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """``(trials, searched params)``: each value's place in its range, in [0, 1], or NaN."""
        return np.array(
            [
                [place(p, one[p.name]) if p.name in one else math.nan for p in self.searched]
                for one in self.params
            ]
        )

    def resamples(self, n: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.int64]]:
        """Rows drawn with replacement within each study."""
        rng = np.random.default_rng(seed)
        of_study = [np.flatnonzero(self.study == k) for k in sorted(set(self.study.tolist()))]
        for _ in range(n):
            yield np.concatenate([rng.choice(rows, len(rows)) for rows in of_study])


@dataclass(frozen=True)
class Importance:
    """A param's share of all importance; ``chance`` is what a param that means nothing stays
    below in 95 of 100 resamples.
    """

    param: str
    evaluator: str
    share: float
    interval: Interval
    chance: float

    @property
    def is_significant(self) -> bool:
        return self.interval.low > self.chance


@dataclass(frozen=True)
class Dependence:
    """What a forest of trees, fitted to the trials, makes of a param: the mean objective (less
    its study's) at each place of ``at`` in [0, 1], all other params as in the trials that have
    this one. ``drawn`` is the same by resample, ``(resamples, places)``.
    """

    param: Param
    at: NDArray[np.float64]
    mean: NDArray[np.float64]
    drawn: NDArray[np.float64]

    @property
    def intervals(self) -> list[Interval]:
        return [_percentiles(column) for column in self.drawn.T]

    @property
    def size(self) -> float:
        """The largest mean less the least."""
        return float(np.ptp(self.mean))

    @property
    def change(self) -> tuple[float, Interval]:
        """From the first place to the last."""
        change = self.drawn[:, -1] - self.drawn[:, 0]
        return float(self.mean[-1] - self.mean[0]), _percentiles(change)


@dataclass(frozen=True)
class Surface:
    """As ``Dependence`` for two params, ``(places of y, places of x)``; ``half`` is half the width
    of the interval.
    """

    x: Param
    y: Param
    at: NDArray[np.float64]
    mean: NDArray[np.float64]
    half: NDArray[np.float64]


def pools(store: Store, benchmark: str | None = None, detector: str | None = None) -> list[Pool]:
    """All pools of a store, or those of a benchmark's name or id and of a detector.

    Raises:
        StoreError: there is none with an ok trial.
    """
    groups: dict[tuple[str, str, str, str], list[StoredStudy]] = {}
    for study in map(read_study, store.studies()):
        named = benchmark in (None, study.benchmark, study.about["benchmark"]["name"])
        if named and detector in (None, study.detector):
            space = digest(study.about["space"])
            key = (study.benchmark, study.detector, study.selection, space)
            groups.setdefault(key, []).append(study)
    found = [
        Pool(*key[:3], Space.from_dict(group[0].about["space"]), tuple(group))
        for key, group in sorted(groups.items())
    ]
    found = [pool for pool in found if len(pool)]
    if not found:
        what = " of ".join(filter(None, ("trials that ended ok", detector)))
        raise StoreError(
            f"'{store.root}' holds no {what}{f' on {benchmark}' if benchmark else ''}; "
            "give the --out folder of a sweep"
        )
    return found


def place(param: Param, value: Any) -> float:
    """Where a value lies in its range: 0 is the low end, 1 the high one."""
    if isinstance(param.domain, Choice):
        steps = max(1, len(param.domain.choices) - 1)
        return param.domain.choices.index(value) / steps
    assert isinstance(param.domain, Range)
    low, high = param.domain.low, param.domain.high
    if param.domain.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def value_at(param: Param, where: float) -> Any:
    """The value at a place."""
    if isinstance(param.domain, Choice):
        return param.domain.choices[round(where * (len(param.domain.choices) - 1))]
    assert isinstance(param.domain, Range)
    low, high = param.domain.low, param.domain.high
    value = low * (high / low) ** where if param.domain.log else low + where * (high - low)
    return round(value) if param.domain.integer else value


def importances(pool: Pool) -> list[Importance]:
    """By both of Optuna's measures, the most important first."""
    told = Importances(pool.space, pool.params, pool.objective)
    found = []
    for evaluator in EVALUATORS:
        whole = told.measure(evaluator, np.arange(len(pool)), seed=0)
        drawn = [
            told.measure(evaluator, rows, seed)
            for seed, rows in enumerate(pool.resamples(), start=1)
        ]
        chance = float(np.quantile([one[RANDOM] for one in drawn], 0.95))
        found += [
            Importance(
                name,
                evaluator,
                whole[name],
                _percentiles(np.array([one[name] for one in drawn])),
                chance,
            )
            for name in told.names(evaluator)
        ]
    return sorted(found, key=lambda one: (one.evaluator, -one.share))


def dependences(pool: Pool) -> list[Dependence]:
    """The partial dependence on every searched param."""
    places = [_places(param) for param in pool.searched]
    fitted = [_Forest(pool, rows) for rows in (np.arange(len(pool)), *pool.resamples())]
    found = []
    for column, (param, at) in enumerate(zip(pool.searched, places, strict=True)):
        drawn = np.array([forest.along([column], at[:, None]) for forest in fitted])
        if not np.isnan(drawn).any():
            found.append(Dependence(param, at, drawn[0], drawn[1:]))
    return found


def surface(pool: Pool, x: str, y: str) -> Surface:
    """The partial dependence on two params that every trial has."""
    names = [param.name for param in pool.searched]
    columns = [names.index(x), names.index(y)]
    at = np.linspace(0.0, 1.0, GRID)
    points = np.array([(a, b) for b in at for a in at])
    drawn = np.array(
        [
            _Forest(pool, rows).along(columns, points)
            for rows in (np.arange(len(pool)), *pool.resamples(RESAMPLES // 2))
        ]
    ).reshape(-1, GRID, GRID)
    low, high = np.quantile(drawn[1:], [0.025, 0.975], axis=0)
    first, second = (pool.searched[column] for column in columns)
    return Surface(first, second, at, drawn[0], (high - low) / 2)


def seconds_per_100_steps(pool: Pool) -> dict[str, tuple[float, Interval]]:
    """What a phase's length costs, by least squares over all lengths that are searched."""
    columns = [i for i, param in enumerate(pool.searched) if is_length(param)]
    known = ~np.isnan(pool.seconds)
    if not columns or known.sum() < HINTS_FROM * (len(columns) + 1):
        return {}
    steps = np.array([[one[pool.searched[c].name] for c in columns] for one in pool.params])

    def fit(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        rows = rows[known[rows]]
        design = np.column_stack([steps[rows] / 100.0, np.ones(len(rows))])
        return np.asarray(np.linalg.lstsq(design, pool.seconds[rows], rcond=None)[0][:-1])

    whole = fit(np.arange(len(pool)))
    drawn = np.array([fit(rows) for rows in pool.resamples()])
    return {
        pool.searched[c].name: (float(whole[i]), _percentiles(drawn[:, i]))
        for i, c in enumerate(columns)
    }


def is_length(param: Param) -> bool:
    """Whether it is the length of a phase, which every trial has."""
    return param.name.endswith("_steps") and isinstance(param.domain, Range) and not param.when


class _Forest:
    """A forest of regression trees, fitted to the trials ``rows``.

    In the place of params that a trial does not have it sees noise: a fixed mark would tell it of
    the param that took them away, and hide what that one does.
    """

    def __init__(self, pool: Pool, rows: NDArray[np.int64]) -> None:
        from sklearn.ensemble import RandomForestRegressor

        seen = pool.positions[rows]
        self._has = ~np.isnan(seen)
        self._seen = np.where(self._has, seen, np.random.default_rng(0).random(seen.shape))
        self._trees = RandomForestRegressor(
            TREES, min_samples_leaf=2, max_features=0.5, random_state=0
        ).fit(self._seen, pool.objective[rows])

    def along(self, columns: Sequence[int], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean prediction with ``columns`` set to each of ``points``, ``(points, columns)``,
        over the trials that have these params; NaN if none has.
        """
        trials = self._seen[self._has[:, list(columns)].all(axis=1)]
        if not len(trials):
            return np.full(len(points), np.nan)
        moved = np.repeat(trials[None], len(points), axis=0)
        moved[:, :, list(columns)] = points[:, None, :]
        predicted = self._trees.predict(moved.reshape(-1, trials.shape[1]))
        means: NDArray[np.float64] = predicted.reshape(len(points), -1).mean(axis=1)
        return means


def _places(param: Param) -> NDArray[np.float64]:
    """Where a dependence is looked at: all values if they are few, else an even grid."""
    if isinstance(param.domain, Choice):
        return np.linspace(0.0, 1.0, max(2, len(param.domain.choices)))
    assert isinstance(param.domain, Range)
    if param.domain.integer:
        step = param.domain.step or 1
        count = round((param.domain.high - param.domain.low) / step) + 1
        if count <= GRID and not param.domain.log:
            return np.linspace(0.0, 1.0, count)
    return np.linspace(0.0, 1.0, GRID)


def _percentiles(drawn: NDArray[np.float64]) -> Interval:
    if np.isnan(drawn).any():
        return NONE
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(high))
