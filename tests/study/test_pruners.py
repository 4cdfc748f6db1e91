"""The pruner that compares trials by the mean over the tasks that they were judged by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.errors import ConfigError
from omasgan.study.guide import Guide
from omasgan.study.rehearsal import rehearse
from omasgan.study.samplers import make_pruner
from omasgan.training.trials import Ending
from tests.study.closed_form import SPACE, make

VALUES = st.lists(
    st.lists(st.sampled_from([0.2, 0.4, 0.6, 0.8]), min_size=3, max_size=3), max_size=12
)


def judged(guide: Guide, *values: float) -> int | None:
    """Judge a trial task by task; return after how many it was pruned, None if it was not."""
    number = guide.ask().number
    for step, value in enumerate(values):
        guide.report(number, step, {"score": value})
        if step < len(values) - 1 and guide.should_prune(number):
            guide.tell(number, Ending("pruned"))
            return step + 1
    guide.tell(number, Ending("ok", float(np.mean(values))))
    return None


def study(pruner: str) -> Guide:
    return make(sampler="RandomSampler", pruner=pruner)


def test_a_trial_that_was_good_at_an_easy_task_is_pruned_after_a_hard_one() -> None:
    """With Optuna's pruner for learning curves it is not."""
    ended = {}
    for name in ("TaskPercentilePruner", "PercentilePruner"):
        guide = study(f"{name}(percentile=50, n_startup_trials=4)")
        for value in (0.5, 0.6, 0.7, 0.8):
            assert judged(guide, 0.97, value, 0.7) is None
        ended[name] = judged(guide, 0.98, 0.2, 0.7)
    assert ended == {"TaskPercentilePruner": 2, "PercentilePruner": None}


def test_trials_are_compared_on_the_same_tasks_alone() -> None:
    guide = study("TaskPercentilePruner(percentile=50, n_startup_trials=2)")
    assert judged(guide, 0.5, 0.9, 0.9) is None
    assert judged(guide, 0.5, 0.9, 0.9) is None
    assert judged(guide, 0.4, 0.9, 0.9) == 1
    assert judged(guide, 0.5, 0.9, 0.9) is None


@given(VALUES, st.sampled_from([25, 50, 75]))
def test_what_is_pruned_is_below_the_percentile(values: list[list[float]], kept: int) -> None:
    guide = study(f"TaskPercentilePruner(percentile={kept}, n_startup_trials=3)")
    before: list[list[float]] = []
    for each in values:
        after = judged(guide, *each)
        for n in range(1, after or len(each)):
            assert not _is_bad(each[:n], before, kept)
        if after is not None:
            assert _is_bad(each[:after], before, kept)
        before.append(each[:after])


def _is_bad(values: list[float], before: list[list[float]], kept: int) -> bool:
    others = [np.mean(each[: len(values)]) for each in before if len(each) >= len(values)]
    return len(others) >= 3 and bool(np.mean(values) < np.percentile(others, 100 - kept))


def test_it_is_named_as_those_of_optuna_are() -> None:
    rehearse(SPACE, "TPESampler", "TaskPercentilePruner")
    with pytest.raises(ConfigError, match=r"percentile must be in \[0, 100\], got 101"):
        make_pruner("TaskPercentilePruner(percentile=101)")
    with pytest.raises(ConfigError, match="TaskPercentilePruner"):
        make_pruner("TaskPercentilPruner")
