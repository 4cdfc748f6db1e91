"""The guide on closed-form objectives: nothing is trained."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from omasgan.errors import ConfigError
from omasgan.study.guide import Guide
from omasgan.study.record import FILE
from omasgan.study.space import Space
from omasgan.training.trials import Ending, Trial
from tests.study.closed_form import SPACE, advance, end, make


def test_another_seed_suggests_something_else() -> None:
    assert advance(make(seed=0), 3) != advance(make(seed=1), 3)


def test_abandoned_trials_come_first_with_their_values(tmp_path: Path) -> None:
    guide = make(tmp_path)
    asked = [guide.ask() for _ in range(3)]
    guide.tell(1, Ending("ok", 0.5))
    guide.report(2, 0, {"score": 0.25})
    again = make(tmp_path)
    assert again.ask() == asked[0]
    third = again.ask()
    values = {0: {"score": 0.25}}
    assert (third.number, third.params, third.values) == (2, asked[2].params, values)
    assert again.ask().number == 3
    again.report(2, 0, {"score": 0.75})
    again.tell(2, Ending("ok", 0.5))
    assert again.finished()[1].values == values


def test_an_abandoned_trial_draws_nothing(tmp_path: Path) -> None:
    """A sequence that skipped a point after each restart would be another one."""
    whole = advance(make(sampler="QMCSampler(scramble=True)", seed=7), 6)
    asked = []
    for _ in range(6):
        guide = make(tmp_path, sampler="QMCSampler(scramble=True)", seed=7)
        guide.ask()  # and the driver dies
        guide = make(tmp_path, sampler="QMCSampler(scramble=True)", seed=7)
        asked += advance(guide, 1)
    assert asked == whole


def test_outcomes_are_told_as_what_they_are() -> None:
    guide = make()
    for outcome in ("ok", "pruned", "diverged", "out-of-memory", "failed"):
        number = guide.ask().number
        guide.report(number, 0, {"score": 0.75})
        objective = 0.5 if outcome == "ok" else None
        guide.tell(number, Ending(outcome, objective, f"{outcome}!", seconds=2.5), attempts=2)
    assert [(t.outcome, t.objective, t.error) for t in guide.finished()] == [
        ("ok", 0.5, "ok!"),
        ("pruned", None, "pruned!"),
        ("diverged", None, "diverged!"),
        ("out-of-memory", None, "out-of-memory!"),
        ("failed", None, "failed!"),
    ]
    assert {(t.attempts, t.ending and t.ending.seconds) for t in guide.finished()} == {(2, 2.5)}
    state = optuna.trial.TrialState
    assert [stored.state for stored in guide.stored()] == [
        state.COMPLETE,
        state.PRUNED,
        state.COMPLETE,
        state.COMPLETE,
        state.FAIL,
    ]
    infeasible = [stored.constraints["trains"] > 0 for stored in guide.stored()]
    assert infeasible == [False, False, True, True, False]


def test_all_that_an_ending_says_survives_a_restart(tmp_path: Path) -> None:
    ending = Ending("ok", 0.5, None, "j", 1.0, 2.0, 3.0, 0.25, 4.0)
    guide = make(tmp_path)
    guide.ask()
    trial = guide.tell(0, ending, attempts=3)
    assert (trial.ending, trial.attempts) == (ending, 3)
    assert make(tmp_path).finished() == [trial]


def test_the_value_of_a_task_is_that_of_its_best_stage(tmp_path: Path) -> None:
    guide = make(tmp_path)
    guide.ask()
    guide.report(0, 0, {"j": 0.5, "task1": 0.75})
    guide.report(0, 1, {"j": 0.75, "task1": 0.25})
    assert guide.stored()[0].intermediate_values == {0: 0.75, 1: 0.75}
    trial = make(tmp_path).ask()
    assert trial.values == {0: {"j": 0.5, "task1": 0.75}, 1: {"j": 0.75, "task1": 0.25}}


def test_an_objective_that_is_not_finite_is_a_failure() -> None:
    guide = make()
    guide.tell(guide.ask().number, Ending("ok", float("nan")))
    (trial,) = guide.finished()
    assert (trial.outcome, trial.objective) == ("failed", None)
    assert trial.error == "the objective is not finite, got nan"


def test_best_ignores_what_did_not_end_well() -> None:
    guide = make()
    assert guide.best() is None
    for outcome, objective in (("diverged", None), ("ok", 0.25), ("ok", 0.75), ("ok", 0.75)):
        guide.tell(guide.ask().number, Ending(outcome, objective))
    best = guide.best()
    assert isinstance(best, Trial)
    assert best.number == 2
    assert SPACE.contains(best.params)


def infeasible(sampler: str, outcome: str) -> int:
    """How many of 30 trials, after 10, fall into a region where each ends with ``outcome``."""
    guide = make(space=Space.from_dict({"lr": {"low": 0.0, "high": 1.0}}), sampler=sampler)
    for _ in range(40):
        trial = guide.ask()
        if trial.params["lr"] > 0.4:
            guide.tell(trial.number, Ending(outcome))
        else:
            guide.tell(trial.number, Ending("ok", 1.0 - abs(trial.params["lr"] - 0.2)))
    return sum(trial.params["lr"] > 0.4 for trial in guide.finished()[10:])


@pytest.mark.parametrize("outcome", ["diverged", "out-of-memory"])
def test_tpe_learns_to_avoid_an_infeasible_region(outcome: str) -> None:
    learned = infeasible("TPESampler", outcome)
    assert learned < 0.5 * infeasible("RandomSampler", outcome)
    assert learned < 0.5 * infeasible("TPESampler", "failed")


@pytest.mark.parametrize(
    "pruner", ["MedianPruner(n_startup_trials=2)", "WilcoxonPruner(p_threshold=0.3)"]
)
def test_a_hopeless_trial_is_pruned_and_a_good_one_is_not(pruner: str) -> None:
    guide = make(pruner=pruner)

    def run(values: list[float]) -> int | None:
        number = guide.ask().number
        for step, value in enumerate(values):
            guide.report(number, step, {"score": value})
            if guide.should_prune(number):
                guide.tell(number, Ending("pruned"))
                return step
        guide.tell(number, Ending("ok", sum(values) / len(values)))
        return None

    good = [0.8, 0.9, 0.85, 0.95, 0.9]
    assert run(good) is None
    assert run([0.79, 0.91, 0.84, 0.96, 0.89]) is None
    assert run([v - 0.4 for v in good]) is not None
    assert run([v + 0.01 for v in good]) is None


def test_an_unknown_outcome_is_refused() -> None:
    guide = make()
    number = guide.ask().number
    with pytest.raises(ConfigError, match="unknown outcome 'OK'"):
        guide.tell(number, Ending("OK", 0.5))


DEFAULTS = {"lr": 0.01, "width": 16, "kind": "a", "tau": 0.5, "stage": "task1", "other": 3}


def test_what_is_enqueued_is_the_first_trial_and_says_so(tmp_path: Path) -> None:
    make(tmp_path).enqueue(DEFAULTS, "defaults")  # and the driver dies
    guide = make(tmp_path)
    guide.enqueue(DEFAULTS, "defaults")
    first = guide.ask()
    # What the space fixes stays fixed, what is not active is left out.
    assert first.params == {"lr": 0.01, "width": 16, "kind": "a", "stage": "j"}
    assert (first.number, first.enqueued) == (0, "defaults")
    end(guide, first)
    second = guide.ask()
    assert (second.number, second.enqueued) == (1, None)
    again = make(tmp_path)
    again.enqueue(DEFAULTS, "defaults")
    assert again.ask() == second
    assert again.finished()[0].enqueued == "defaults"
    assert len(again.stored()) == 2


def test_what_the_space_does_not_hold_is_not_enqueued(tmp_path: Path) -> None:
    guide = make(tmp_path)
    with pytest.raises(ConfigError, match=r"lr = 2.0 is not in the search space, which has .*low"):
        guide.enqueue(DEFAULTS | {"lr": 2.0}, "defaults")
    assert guide.stored() == []


def test_the_draws_after_an_enqueued_trial_are_those_of_the_seed() -> None:
    guide = make(sampler="RandomSampler", seed=7)
    guide.enqueue(DEFAULTS, "defaults")
    assert advance(guide, 4)[1:] == advance(make(sampler="RandomSampler", seed=7), 4)[1:]


def test_optuna_reads_the_record_as_it_is(tmp_path: Path) -> None:
    guide = make(tmp_path, name="mine")
    asked = advance(guide, 5)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / FILE))
    study = optuna.load_study(study_name="mine", storage=optuna.storages.JournalStorage(backend))
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert [trial.params | {"stage": "j"} for trial in study.trials] == asked
    assert study.best_value == guide.best().objective  # type: ignore[union-attr]


def test_a_guide_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    advance(Guide(SPACE, None), 3)
    assert list(tmp_path.iterdir()) == []


def test_trials_share_equal_distributions(tmp_path: Path) -> None:
    """Each would have its own, several KB, in the driver of a long study."""
    advance(make(tmp_path), 3)
    again = make(tmp_path)
    advance(again, 3)
    assert len({id(trial.distributions["lr"]) for trial in again.stored()}) == 1
