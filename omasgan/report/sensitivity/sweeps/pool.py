"""The trials of comparable studies in one pool.

What counts is a trial's objective less the mean of its study, since folds differ in their level.
Resamples draw the trials with replacement within each study.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.config import digest
from omasgan.errors import StoreError
from omasgan.report.results.inputs import StoredStudy, read_study
from omasgan.store.results import Store
from omasgan.study.space import Choice, Fixed, Param, Params, Range, Space

RESAMPLES = 40
HINTS_FROM = 2
SURE_FROM = 10
"""Ok trials for each param: with fewer than ``HINTS_FROM`` nothing is modelled, with fewer than
``SURE_FROM`` a finding is called a hint."""


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
        """The number of each trial's study, ``(trials,)``."""
        return np.array([number for number, _ in self._ok], dtype=np.int64)

    @cached_property
    def objective(self) -> NDArray[np.float64]:
        """Each trial's objective less the mean of its study, ``(trials,)``."""
        raw = np.array([float(trial["objective"]) for _, trial in self._ok])
        for number in set(self.study.tolist()):
            raw[self.study == number] -= raw[self.study == number].mean()
        return raw

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """Each trial's duration, ``(trials,)``; NaN where it is unknown."""
        return np.array([float(trial.get("seconds") or math.nan) for _, trial in self._ok])

    @cached_property
    def failed(self) -> int:
        """How many trials ended without an objective."""
        return sum(len(study.trials) for study in self.studies) - len(self._ok)

    def __len__(self) -> int:
        return len(self._ok)

    @property
    def needed(self) -> int:
        """How many trials make a finding more than a hint."""
        return SURE_FROM * len(self.searched)

    @property
    def can_be_modelled(self) -> bool:
        return len(self) >= HINTS_FROM * len(self.searched)

    @property
    def is_sure(self) -> bool:
        return len(self) >= self.needed

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """``position`` of each value, ``(trials, searched params)``; NaN where a trial does not
        have the param.
        """
        return np.array(
            [
                [position(p, one[p.name]) if p.name in one else math.nan for p in self.searched]
                for one in self.params
            ]
        )

    def resamples(self, n: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.int64]]:
        """Indices of trials, drawn with replacement within each study."""
        rng = np.random.default_rng(seed)
        by_study = [np.flatnonzero(self.study == k) for k in sorted(set(self.study.tolist()))]
        for _ in range(n):
            yield np.concatenate([rng.choice(rows, len(rows)) for rows in by_study])


def pools(store: Store, benchmark: str | None = None, detector: str | None = None) -> list[Pool]:
    """All pools of a store, or those of a benchmark (its name or id) and of a detector.

    Raises:
        StoreError: none of them has an ok trial.
    """
    groups: dict[tuple[str, str, str, str], list[StoredStudy]] = {}
    for study in map(read_study, store.studies()):
        named = benchmark in (None, study.benchmark, study.about["benchmark"]["name"])
        if named and detector in (None, study.detector):
            space = digest(study.about["space"])
            key = (study.benchmark, study.detector, study.selection, space)
            groups.setdefault(key, []).append(study)
    all_pools = [
        Pool(*key[:3], Space.from_dict(group[0].about["space"]), tuple(group))
        for key, group in sorted(groups.items())
    ]
    with_trials = [pool for pool in all_pools if len(pool)]
    if not with_trials:
        what = " of ".join(filter(None, ("trials that ended ok", detector)))
        raise StoreError(
            f"'{store.root}' holds no {what}{f' on {benchmark}' if benchmark else ''}; "
            "give the --out folder of a sweep"
        )
    return with_trials


def position(param: Param, value: Any) -> float:
    """Where a value is in its range: 0 at the low end, 1 at the high one."""
    if isinstance(param.domain, Choice):
        steps = max(1, len(param.domain.choices) - 1)
        return param.domain.choices.index(value) / steps
    assert isinstance(param.domain, Range)
    low, high = param.domain.low, param.domain.high
    if param.domain.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def value_at(param: Param, where: float) -> Any:
    """The value at a position, the inverse of ``position``."""
    if isinstance(param.domain, Choice):
        return param.domain.choices[round(where * (len(param.domain.choices) - 1))]
    assert isinstance(param.domain, Range)
    low, high = param.domain.low, param.domain.high
    value = low * (high / low) ** where if param.domain.log else low + where * (high - low)
    return round(value) if param.domain.integer else value


def is_length(param: Param) -> bool:
    """Whether it is the length of a phase, which every trial has."""
    return param.name.endswith("_steps") and isinstance(param.domain, Range) and not param.when
