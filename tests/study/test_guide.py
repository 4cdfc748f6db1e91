"""The guide on closed-form objectives: nothing is trained."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from omasgan.errors import BackendError, ConfigError, StoreError
from omasgan.store.journal import read_rows
from omasgan.study.guide import Guide, Trial, read_replay
from omasgan.study.space import Space

SPACE = Space.from_dict(
    {
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "width": {"low": 8, "high": 64, "step": 8},
        "kind": {"choices": ["a", "b"]},
        "tau": {"low": 0.0, "high": 1.0, "when": {"kind": "b"}},
        "score": "j",
    }
)


def make(space: Space = SPACE, storage: str | None = None, **kwargs: object) -> Guide:
    return Guide(space, storage=storage, study_name="s", **kwargs)  # type: ignore[arg-type]


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'optuna.db'}"


def quality(params: dict[str, float]) -> float:
    return 1.0 / (1.0 + abs(math.log10(params["lr"]) + 2)) - 0.01 * params.get("tau", 0.0)


def advance(guide: Guide, n: int) -> list[dict[str, object]]:
    """``n`` trials, each told a closed-form objective; every fourth one diverges."""
    asked = []
    for _ in range(n):
        trial = guide.ask()
        asked.append(trial.params)
        if trial.number % 4 == 3:
            guide.tell(trial.number, "diverged")
        else:
            guide.tell(trial.number, "ok", quality(trial.params))
    return asked


@pytest.mark.parametrize(
    "sampler",
    [
        "TPESampler",
        "RandomSampler",
        "TPESampler(n_startup_trials=3)",
        "NSGAIISampler",
        "QMCSampler",
    ],
)
def test_a_resumed_study_suggests_what_the_uninterrupted_one_does(
    tmp_path: Path, sampler: str
) -> None:
    whole = advance(make(sampler=sampler, seed=7), 18)
    storage = sqlite(tmp_path)
    first = advance(make(storage=storage, sampler=sampler, seed=7), 12)
    guide = make(storage=storage, sampler=sampler, seed=7)
    left_running = guide.ask()  # and the driver dies
    rest = advance(make(storage=storage, sampler=sampler, seed=7), 6)
    assert rest[0] == left_running.params
    assert first + rest == whole


def test_another_seed_suggests_something_else() -> None:
    assert advance(make(seed=0), 3) != advance(make(seed=1), 3)


def test_abandoned_trials_come_first_with_their_values(tmp_path: Path) -> None:
    guide = make(storage=sqlite(tmp_path))
    asked = [guide.ask() for _ in range(3)]
    guide.tell(1, "ok", 0.5)
    guide.report(2, step=0, value=0.25)
    again = make(storage=sqlite(tmp_path))
    assert again.ask() == asked[0]
    third = again.ask()
    assert (third.number, third.params, third.values) == (2, asked[2].params, {0: 0.25})
    assert again.ask().number == 3
    again.report(2, step=0, value=0.75)
    again.tell(2, "ok", 0.5)
    assert again.finished()[1].values == {0: 0.25}


def test_outcomes_are_told_as_what_they_are() -> None:
    import optuna

    guide = make()
    for outcome in ("ok", "pruned", "diverged", "out-of-memory", "failed"):
        number = guide.ask().number
        guide.report(number, 0, 0.75)
        guide.tell(number, outcome, 0.5 if outcome == "ok" else None, error=f"{outcome}!")
    assert [(t.outcome, t.objective, t.error) for t in guide.finished()] == [
        ("ok", 0.5, "ok!"),
        ("pruned", None, "pruned!"),
        ("diverged", None, "diverged!"),
        ("out-of-memory", None, "out-of-memory!"),
        ("failed", None, "failed!"),
    ]
    told = guide._study.trials
    state = optuna.trial.TrialState
    assert [t.state for t in told] == [
        state.COMPLETE,
        state.PRUNED,
        state.COMPLETE,
        state.COMPLETE,
        state.FAIL,
    ]
    assert [t.constraints["trains"] > 0 for t in told] == [False, False, True, True, False]


def test_an_objective_that_is_not_finite_is_a_failure() -> None:
    guide = make()
    guide.tell(guide.ask().number, "ok", float("nan"))
    (trial,) = guide.finished()
    assert trial.outcome == "failed"
    assert trial.error == "the objective is not finite, got nan"


def test_best_ignores_what_did_not_end_well() -> None:
    guide = make()
    assert guide.best() is None
    for outcome, objective in (("diverged", None), ("ok", 0.25), ("ok", 0.75), ("ok", 0.75)):
        guide.tell(guide.ask().number, outcome, objective)
    best = guide.best()
    assert isinstance(best, Trial)
    assert best.number == 2
    assert SPACE.contains(best.params)


def infeasible(sampler: str, outcome: str) -> int:
    """How many of 30 trials, after 10, fall into a region where each ends with ``outcome``."""
    guide = make(Space.from_dict({"lr": {"low": 0.0, "high": 1.0}}), sampler=sampler)
    for _ in range(40):
        trial = guide.ask()
        if trial.params["lr"] > 0.4:
            guide.tell(trial.number, outcome)
        else:
            guide.tell(trial.number, "ok", 1.0 - abs(trial.params["lr"] - 0.2))
    return sum(trial.params["lr"] > 0.4 for trial in guide.finished()[10:])


@pytest.mark.parametrize("outcome", ["diverged", "out-of-memory"])
def test_tpe_learns_to_avoid_an_infeasible_region(outcome: str) -> None:
    learned = infeasible("TPESampler", outcome)
    assert learned < 0.5 * infeasible("RandomSampler", outcome)
    assert learned < 0.5 * infeasible("TPESampler", "failed")


def test_replay_hands_out_the_recorded_params_then_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    recorded = advance(make(seed=1, log_path=log), 6)
    replayed = advance(make(seed=99, replay=log), 8)
    assert replayed[:6] == recorded
    assert replayed[6:] != advance(make(seed=1), 8)[6:]


def test_a_replay_outside_the_space_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    advance(make(log_path=log), 1)
    other = Space.from_dict({"lr": {"low": 5.0, "high": 6.0}})
    with pytest.raises(ConfigError, match=r"trial 0 has .* not in the search space; give the"):
        make(other, replay=log)
    with pytest.raises(ConfigError, match="holds no trials to replay"):
        make(replay=tmp_path / "absent.jsonl")


def test_the_log_says_what_happened_in_order(tmp_path: Path) -> None:
    guide = make(log_path=tmp_path / "log.jsonl")
    trial = guide.ask()
    guide.report(0, 0, 0.5)
    guide.tell(0, "ok", 0.5)
    assert read_rows(tmp_path / "log.jsonl") == [
        {"event": "ask", "number": 0, "params": trial.params},
        {"event": "report", "number": 0, "step": 0, "value": 0.5},
        {"event": "tell", "number": 0, "outcome": "ok", "objective": 0.5, "error": None},
    ]


@pytest.mark.parametrize(
    "pruner", ["MedianPruner(n_startup_trials=2)", "WilcoxonPruner(p_threshold=0.3)"]
)
def test_a_hopeless_trial_is_pruned_and_a_good_one_is_not(pruner: str) -> None:
    guide = make(pruner=pruner)

    def run(values: list[float]) -> int | None:
        number = guide.ask().number
        for step, value in enumerate(values):
            guide.report(number, step, value)
            if guide.should_prune(number):
                guide.tell(number, "pruned")
                return step
        guide.tell(number, "ok", sum(values) / len(values))
        return None

    good = [0.8, 0.9, 0.85, 0.95, 0.9]
    assert run(good) is None
    assert run([0.79, 0.91, 0.84, 0.96, 0.89]) is None
    assert run([v - 0.4 for v in good]) is not None
    assert run([v + 0.01 for v in good]) is None


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sampler": "TPSampler"}, r"unknown sampler 'TPSampler'; did you mean 'TPESampler'\?"),
        ({"pruner": "MedianPrunner"}, "unknown pruner .* did you mean 'MedianPruner'"),
        ({"pruner": "ThresholdPruner"}, "pruner 'ThresholdPruner' cannot be made: "),
        ({"sampler": "TPESampler(x=1)"}, "cannot be made: .*unexpected keyword argument 'x'"),
        ({"sampler": "TPESampler(3)"}, "sampler must be written Name or Name"),
        ({"sampler": "__import__('os')"}, "sampler must be written Name or Name"),
    ],
)
def test_unusable_names_are_told_in_one_line(kwargs: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**kwargs)


def test_an_unusable_storage_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot use the study in storage") as caught:
        make(storage=f"sqlite:///{tmp_path}/absent/optuna.db")
    assert "\n" not in str(caught.value)


def test_an_unknown_outcome_is_refused() -> None:
    guide = make()
    number = guide.ask().number
    with pytest.raises(ConfigError, match="unknown outcome 'OK'"):
        guide.tell(number, "OK", 0.5)


def test_a_study_without_a_database_is_made_anew_from_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    whole = advance(make(sampler="TPESampler(n_startup_trials=3)", seed=7), 18)
    first = make(sampler="TPESampler(n_startup_trials=3)", seed=7, log_path=log)
    asked = advance(first, 11)
    running = first.ask()
    first.report(running.number, 0, 0.5)
    before = log.read_text()
    again = make(sampler="TPESampler(n_startup_trials=3)", seed=7, log_path=log)
    assert log.read_text() == before
    assert again.finished() == first.finished()
    handed_out = again.ask()
    assert (handed_out.number, handed_out.params) == (running.number, running.params)
    assert handed_out.values == {0: 0.5}
    again.tell(handed_out.number, "diverged")
    assert [*asked, running.params, *advance(again, 6)] == whole


def interrupt(guide: Guide, monkeypatch: pytest.MonkeyPatch, seed: int, rate: float) -> list[int]:
    """Let a share of the calls of the guide's storage fail, half of them once it is done."""
    from optuna.exceptions import StorageInternalError

    storage, calls, rng = guide._study._storage, [0], random.Random(seed)

    def flaky(name: str) -> None:
        act = getattr(storage, name)

        def call(*args: object, **kwargs: object) -> object:
            calls[0] += 1
            fate = rng.random()
            if fate < rate / 2:
                raise StorageInternalError("the server is away")
            done = act(*args, **kwargs)
            if fate > 1 - rate / 2:
                raise StorageInternalError("the connection was lost")
            return done

        monkeypatch.setattr(storage, name, call)

    for name in (
        "create_new_trial",
        "set_trial_param",
        "set_trial_user_attr",
        "set_trial_system_attr",
        "set_trial_state_values",
        "set_trial_intermediate_value",
        "get_all_trials",
    ):
        flaky(name)
    monkeypatch.setattr(guide, "_is_served", True)
    return calls


@pytest.mark.parametrize("seed", range(3))
def test_a_database_server_that_goes_away_anywhere_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("omasgan.study.guide.FIRST_PAUSE_SECONDS", 1e-4)
    options = {"sampler": "TPESampler(n_startup_trials=3)", "seed": 7}
    whole = make(**options)
    calm = advance(whole, 10)
    guide = make(storage=sqlite(tmp_path), log_path=tmp_path / "log.jsonl", **options)
    calls = interrupt(guide, monkeypatch, seed, 0.2)
    assert advance(guide, 10) == calm
    assert calls[0] > 100
    monkeypatch.undo()
    again = make(storage=sqlite(tmp_path), **options)
    assert again.finished() == whole.finished()
    assert again.asked == 10
    told = [row["number"] for row in read_rows(tmp_path / "log.jsonl") if row["event"] == "tell"]
    assert told == list(range(10))


def test_a_server_that_stays_away_ends_the_search_without_telling_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("omasgan.study.guide.OUTAGE_SECONDS", 0.05)
    monkeypatch.setattr("omasgan.study.guide.FIRST_PAUSE_SECONDS", 1e-3)
    guide = make(storage=sqlite(tmp_path))
    interrupt(guide, monkeypatch, 0, 1.0)
    monkeypatch.setattr(guide, "_storage", "postgresql://ann:pw@db/optuna")
    with pytest.raises(
        BackendError, match=r"storage 'postgresql://\*\*\*@db/optuna': the (server|connection)"
    ):
        advance(guide, 3)
    assert "pw" not in caplog.text


@pytest.mark.parametrize("lost", [[-1], [0], [0, 1], [2, 3]])
def test_what_is_missing_in_a_log_is_written_up_from_the_database(
    tmp_path: Path, lost: list[int]
) -> None:
    log = tmp_path / "log.jsonl"
    advance(make(storage=sqlite(tmp_path), log_path=log), 3)
    whole = read_rows(log)
    lines = log.read_text().splitlines(keepends=True)
    for i in lost:
        lines[i] = "torn\n"
    log.write_text("".join(lines))
    make(storage=sqlite(tmp_path), log_path=log)

    def order(row: dict[str, object]) -> tuple[object, object]:
        return row["number"], row["event"]

    assert sorted(read_rows(log), key=order) == sorted(whole, key=order)
    assert "torn" not in log.read_text()


def test_a_log_of_another_folder_is_not_made_up(tmp_path: Path) -> None:
    advance(make(storage=sqlite(tmp_path), log_path=tmp_path / "log.jsonl"), 3)
    make(storage=sqlite(tmp_path), log_path=tmp_path / "other.jsonl")
    assert not (tmp_path / "other.jsonl").exists()


def test_a_damaged_log_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    advance(make(log_path=log), 3)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[2:]))
    with pytest.raises(ConfigError, match="cannot be replayed: it is damaged"):
        read_replay(log, SPACE)
    with pytest.raises(StoreError, match="is damaged: trial 1 stands in it and trial 0 does not"):
        make(log_path=log)
