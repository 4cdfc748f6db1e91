"""Groups of trials that share stages, on closed-form objectives: nothing is trained."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.errors import ConfigError
from omasgan.study.groups import Sharing, expected_groups
from omasgan.study.guide import Guide
from omasgan.study.rehearsal import rehearse
from omasgan.training.trials import Ending, Trial
from tests.study.closed_form import SPACE, advance, end, make
from tests.study.test_samplers import FINITE, REFUSED, SAMPLERS, WRITTEN, space_for

SHARING = Sharing(3, "first", frozenset({"lr", "kind"}))
ORDERED = {"BruteForceSampler", "GridSampler", "QMCSampler"}
WHOLE = ORDERED | {"CmaEsSampler"}
SLOW = {"GPSampler": "GPSampler(n_startup_trials=13)"}
STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ok", "bad", "die", "restart"]), st.integers(0))
)


def shared(folder: Path | None = None, sharing: Sharing = SHARING, **options: object) -> Guide:
    guide = make(folder, **options)
    guide.share(sharing)
    return guide


def by_group(trials: Sequence[Trial]) -> list[list[Trial]]:
    groups = defaultdict(list)
    for trial in trials:
        groups[trial.group].append(trial)
    return list(groups.values())


def held(trial: Trial) -> tuple[object, object]:
    return trial.params["lr"], trial.params["kind"]


def compared(guide: Guide) -> Guide:
    """A study in which two bad groups have ended, so that others can be better."""
    for _ in range(2):
        guide.tell(guide.ask().number, Ending("ok", 0.1))
    return guide


def test_trials_of_a_group_keep_its_params_and_draw_the_others() -> None:
    guide = compared(shared(seed=5))
    for _ in range(9):
        trial = guide.ask()
        guide.tell(trial.number, Ending("ok", 0.5))
    groups = by_group(guide.finished())
    assert list(map(len, groups)) == [1, 1, 3, 3, 3]
    assert [len({held(trial) for trial in group}) for group in groups] == [1] * 5
    assert len({held(trial) for trial in guide.finished()}) == 5
    assert all(len({t.params["width"] for t in group}) > 1 for group in groups[2:])


def test_only_the_best_third_of_all_groups_goes_on(tmp_path: Path) -> None:
    groups = []
    for objective in (0.6, 0.7, 0.8, 0.75, 0.7, 0.65, 0.9, 0.1, 0.1):
        guide = shared(tmp_path)
        trial = guide.ask()
        groups.append(trial.group)
        guide.tell(trial.number, Ending("ok", objective))
    assert groups == [0, 1, 2, 2, 2, 3, 4, 4, 4]
    assert shared(tmp_path).needed_groups() == []


def test_as_many_groups_are_expected_as_there_are_on_average() -> None:
    """Where objectives are their groups', one trial after the other."""
    numbers = []
    for seed in range(10):
        guide = shared(sampler="RandomSampler", seed=seed)
        objectives = np.random.default_rng(seed).uniform(size=40)
        for _ in range(40):
            trial = guide.ask()
            guide.tell(trial.number, Ending("ok", objectives[trial.group or 0]))
        numbers.append(len(guide.groups()))
    assert expected_groups(40, SHARING, 1) == pytest.approx(np.mean(numbers), rel=0.1)
    assert [expected_groups(n, SHARING, 1) for n in (1, 2, 3)] == [1, 2, 3]


def test_a_trial_that_ends_badly_ends_no_good_group() -> None:
    guide = compared(shared())
    for outcome in ("pruned", "ok", "diverged", "ok"):
        guide.tell(guide.ask().number, Ending(outcome, 0.5))
    assert [trial.group for trial in guide.finished()] == [0, 1, 2, 3, 3, 3]


def test_a_free_slot_gets_the_best_group_that_is_ready() -> None:
    guide = compared(shared())
    first, second = guide.ask(), guide.ask()
    assert (first.group, second.group) == (2, 3), "the beginning of 2 is not there yet"
    guide.tell(first.number, Ending("ok", 0.5))
    guide.tell(second.number, Ending("ok", 0.75))
    assert [guide.ask().group for _ in range(5)] == [3, 3, 2, 2, 4]


@given(STEPS)
def test_no_two_trials_train_the_same_beginning(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, a group has one trial at a time until one has left what others need."""
    with tempfile.TemporaryDirectory() as folder:
        guide = shared(Path(folder), sampler="RandomSampler")
        live: dict[int, Trial] = {}
        resumed: set[int] = set()
        left: set[int | None] = set()
        for step, choice in steps:
            if step == "restart":
                guide, left = shared(Path(folder), sampler="RandomSampler"), set()
                resumed |= live.keys()
                live = {}
            elif step == "ask":
                trial = guide.ask()
                is_alone = trial.group not in {other.group for other in live.values()}
                assert is_alone or trial.group in left or trial.number in resumed
                live[trial.number] = trial
                needed = set(guide.needed_groups())
                assert {each.group for each in live.values()} <= needed
            elif live:
                number = sorted(live)[choice % len(live)]
                group = live.pop(number).group
                attempts = 2 if step == "die" else 1
                guide.tell(number, Ending("pruned" if step == "bad" else "ok", 0.5), attempts)
                if step == "ok" and number not in resumed:
                    left.add(group)
        for group in by_group(guide.finished()):
            assert len(group) <= SHARING.n_trials
            assert len({held(trial) for trial in group}) == 1


@pytest.mark.parametrize("sampler", ["TPESampler(n_startup_trials=2)", "RandomSampler"])
def test_a_study_goes_on_after_a_restart_as_it_would_have(tmp_path: Path, sampler: str) -> None:
    whole = shared(sampler=sampler, seed=7)
    params = advance(whole, 11)
    again = []
    for n in (2, 3, 6):
        guide = shared(tmp_path, sampler=sampler, seed=7)
        again += advance(guide, n)
    assert again == params
    groups = [trial.group for trial in whole.finished()]
    assert [trial.group for trial in guide.finished()] == groups
    assert len(set(groups)) < len(groups)


def test_a_replay_gives_the_same_groups() -> None:
    first = shared(seed=3)
    params = advance(first, 11)
    again = shared(seed=4, replay=params)
    assert advance(again, 11) == params
    groups = [[trial.group for trial in guide.finished()] for guide in (first, again)]
    assert groups[0] == groups[1]


def test_given_params_begin_a_group(tmp_path: Path) -> None:
    guide = make(tmp_path)
    guide.share(SHARING)
    guide.enqueue({"lr": 0.01, "kind": "a", "width": 8}, "defaults")
    first = guide.ask()
    assert (first.enqueued, first.group, held(first)) == ("defaults", 0, (0.01, "a"))
    assert guide.groups()[0].held == {"lr": 0.01, "kind": "a"}


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - REFUSED.keys() | {"CmaEsSampler"}))
def test_every_sampler_holds_a_groups_params_or_is_refused(name: str) -> None:
    text, space = WRITTEN.get(name, name), space_for(name)
    text = SLOW.get(name, text)
    sharing = Sharing(3, "first", frozenset({"kind"}))
    if name in WHOLE:
        with pytest.raises(ConfigError, match=f"{name}.* all params of a trial or none|cmaes"):
            rehearse(space, text, "NopPruner", sharing)
        return
    rehearse(space, text, "NopPruner", sharing)
    guide = make(space=SPACE, sampler=text, seed=1)
    guide.share(SHARING)
    for _ in range(15):
        end(guide, guide.ask())
    groups = by_group(guide.finished())
    assert [len({held(trial) for trial in group}) for group in groups] == [1] * len(groups)
    assert max(map(len, groups)) == SHARING.n_trials
    assert len({trial.params["width"] for trial in guide.finished()}) > 3


def test_the_space_of_the_refused_is_one_that_they_can_search() -> None:
    """Else they would be refused for another reason."""
    for name in ORDERED:
        rehearse(FINITE if name != "QMCSampler" else SPACE, WRITTEN.get(name, name), "NopPruner")
