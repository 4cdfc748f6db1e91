"""What TPE looks at: everything in a short study, the best and the latest of a long one."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from omasgan.study import outlook

LIMIT, BEST = 12, 4


@pytest.fixture(autouse=True)
def small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlook, "LOOKED_AT", LIMIT)
        patch.setattr(outlook, "BEST", BEST)
        yield


def done(values: list[float | None]) -> list[FrozenTrial]:
    """Return trials that ended with these values; None is a pruned one."""
    trials = []
    for number, value in enumerate(values):
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        trial = create_trial(state=state, value=value)
        trial.number = number
        trials.append(trial)
    return trials


@given(st.lists(st.none() | st.floats(-1, 1), max_size=60))
def test_the_best_and_the_latest_are_seen_in_their_order(values: list[float | None]) -> None:
    trials = done(values)
    seen = [trial.number for trial in outlook.looked_at(trials)]
    assert seen == sorted(seen)
    assert len(seen) == min(len(trials), LIMIT)
    assert set(seen) >= set(range(len(trials))[-(LIMIT - BEST) :])
    complete = sorted((v for v in values if v is not None), reverse=True)
    kept = sorted((v for i in seen if (v := values[i]) is not None), reverse=True)
    assert kept[:BEST] == complete[:BEST]


def suggested(n: int, *, bounded: bool) -> float:
    """Return what TPE suggests after ``n`` trials."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=n)
    sampler = optuna.samplers.TPESampler(seed=1, n_startup_trials=2)
    study.sampler = outlook.Bounded(sampler) if bounded else sampler
    return study.ask().suggest_float("x", 0, 1)


@pytest.mark.parametrize(("n", "alike"), [(LIMIT // 2, True), (3 * LIMIT, False)])
def test_a_short_study_gives_the_same_suggestions(n: int, alike: bool) -> None:
    assert (suggested(n, bounded=True) == suggested(n, bounded=False)) is alike
