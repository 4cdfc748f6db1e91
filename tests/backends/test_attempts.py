"""When an attempt at a training is followed by another, and with what."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.backends import shares
from omasgan.backends.ray.attempts import DEATHS, Attempt, Attempts, RetryPolicy
from omasgan.backends.ray.needs import Need

MEMORY = "OutOfMemoryError: the node's memory ran out"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_retries_end_only_where_nothing_moves(points: list[int]) -> None:
    policy = RetryPolicy()
    for i, point in enumerate(points):
        furthest = max(points[:i], default=None)
        again = policy.allows(point)
        if furthest is None or point > furthest:
            assert again
        last = points[max(0, i + 1 - DEATHS) : i + 1]
        if len(last) == DEATHS and furthest is not None:
            advanced = any(
                p > max(points[: j + i + 1 - DEATHS], default=-1)
                for j, p in enumerate(last[1:], 1)
            )
            assert again == advanced or not again
        if not again:
            break


def test_a_death_at_the_same_point_is_followed_by_as_many_attempts() -> None:
    attempts = Attempts(Need(0.5))
    causes = [attempts.cause_to_repeat(None, "killed", (0, 3)) for _ in range(DEATHS)]
    assert causes == ["killed"] * (DEATHS - 1) + [None]
    assert attempts.begin() == Attempt(0.5)


@given(st.lists(st.sampled_from(["killed", MEMORY]), min_size=1, max_size=DEATHS - 1))
def test_once_its_nodes_memory_ran_out_a_training_is_alone(deaths: list[str]) -> None:
    attempts = Attempts(Need(0.25))
    for error in deaths:
        assert attempts.cause_to_repeat(None, error, 0) == error
    assert attempts.begin() == Attempt(0.25, is_alone=MEMORY in deaths)


def test_a_measured_share_grows_once() -> None:
    attempts = Attempts(Need(0.25, 3000.0))
    assert attempts.cause_to_repeat("out-of-memory", "", None) == (
        "it ran out of memory, and gets 0.5 of a GPU"
    )
    assert attempts.begin().share == shares.larger(0.25) == 0.5
    assert attempts.cause_to_repeat("out-of-memory", "", None) is None


@pytest.mark.parametrize(
    ("need", "outcome"),
    [
        (Need(0.25), "out-of-memory"),
        (Need(1.0, 3000.0), "out-of-memory"),
        (Need(0.0, 0.0), "out-of-memory"),
        *[(Need(0.25, 3000.0), outcome) for outcome in ("ok", "pruned", "diverged", "failed")],
    ],
)
def test_a_training_that_has_ended_is_over(need: Need, outcome: str) -> None:
    assert Attempts(need).cause_to_repeat(outcome, "", None) is None


def test_an_attempt_stalls_once_its_process_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    attempt = Attempt(1.0)
    assert not attempt.check(10), "the time counts from the first look"
    now += 9
    attempt.show_life()
    now += 9
    assert not attempt.check(10)
    now += 2
    assert attempt.check(10) and attempt.has_stalled
    attempt.show_life()
    assert attempt.check(10), "its process is being ended"
