"""Which stages the trials of a study can share."""

from __future__ import annotations

from typing import Any

import pytest

from omasgan import detectors
from omasgan.errors import ConfigError
from omasgan.study.groups import Sharing
from omasgan.study.sharing import sharing
from omasgan.study.space import Space, load_space

LENGTH = {"low": 10, "high": 50, "step": 10}
J = {"zeta": {"low": 0.3, "high": 1.0}}
TASK_1 = {"gan_steps": LENGTH, "tau": {"low": 0.5, "high": 10.0}}
TASK_3 = {"gamma": {"low": 0.1, "high": 1.0}}


def shared(tables: dict[str, Any], until: str | None = None, n: int = 4) -> Sharing:
    return sharing(n, "omasgan", Space.from_dict(tables), until)


def test_all_phases_but_the_last_are_shared_by_default() -> None:
    everything = TASK_1 | TASK_3 | J
    assert shared(everything) == Sharing(4, "retrain", frozenset({"gan_steps", "tau", "gamma"}))
    held = frozenset({"gan_steps", "tau"})
    assert shared(everything, "gan") == Sharing(4, "gan", held)
    assert shared(TASK_1 | TASK_3) == Sharing(4, "boundary", held), "J would be the same as well"


def test_the_shipped_space_can_share_the_first_three_tasks() -> None:
    how = sharing(4, "omasgan", load_space("omasgan", detectors.load("omasgan")))
    assert how.phase == "retrain"
    assert how.params == {"form", "radius"}


def test_a_param_is_held_where_one_that_is_held_depends_on_it() -> None:
    """Else the same beginning could have the one param in one trial, and not in another."""
    tables = J | {
        "negatives": {"choices": ["boundary", "noise"]},
        "mu": {"low": 1.0, "high": 2.0, "when": {"negatives": "boundary"}},
    }
    assert shared(tables).params == {"negatives", "mu"}


def test_a_phase_that_is_left_out_is_not_the_last() -> None:
    tables = TASK_1 | TASK_3 | {"detector_steps": 0}
    assert shared(tables) == Sharing(4, "boundary", frozenset({"gan_steps", "tau"}))


@pytest.mark.parametrize(
    ("detector", "tables", "options", "error"),
    [
        ("vae", {"lr": {"low": 1e-4, "high": 1e-2}}, {}, "vae cannot share stages.*no phases"),
        ("knn", {"k": {"low": 1, "high": 9}}, {}, "knn cannot share stages"),
        ("omasgan", TASK_1, {}, "varies nothing behind the phase 'gan'"),
        ("omasgan", TASK_1 | TASK_3, {"until": "retrain"}, "nothing behind the phase 'retrain'"),
        ("omasgan", TASK_1 | J, {"until": "detector"}, "unknown phase to share until 'detector'"),
        ("omasgan", TASK_1 | J, {"n_trials": 1}, "must be at least 2, got 1"),
        ("omasgan", {"zeta": 0.5}, {}, "varies nothing"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(
    detector: str, tables: dict[str, Any], options: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigError, match=error) as caught:
        sharing(
            **{"n_trials": 4, "detector": detector, "space": Space.from_dict(tables)} | options
        )
    assert "\n" not in str(caught.value)
