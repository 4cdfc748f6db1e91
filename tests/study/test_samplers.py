"""Every sampler and pruner that Optuna has: it drives a study to its end and goes on after a
restart, or it is refused in one line.
"""

from __future__ import annotations

import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from scipy.stats import qmc

from omasgan.errors import ConfigError
from omasgan.study.guide import Guide
from omasgan.study.rehearsal import rehearse
from omasgan.study.samplers import make_pruner, make_sampler
from omasgan.study.space import Space
from omasgan.training.trials import Ending
from tests.study.closed_form import SPACE, advance, end, make

SAMPLERS = [name for name in optuna.samplers.__all__ if name.endswith("Sampler")]
PRUNERS = [name for name in optuna.pruners.__all__ if name.endswith("Pruner")]

FINITE = Space.from_dict(
    {
        "kind": {"choices": ["a", "b"]},
        "width": {"low": 1, "high": 3},
        "tau": {"low": 0.0, "high": 1.0, "step": 0.5, "when": {"kind": "b"}},
        "stage": "j",
    }
)
"""Of 3 + 3 * 3 different params."""

GRID = "GridSampler(search_space={'kind': ['a', 'b'], 'width': [1, 2, 3], 'tau': [0.0, 1.0]})"
"""Of 12 points, the half of which differ in a param that is not there."""

WRITTEN = {
    "GridSampler": GRID,
    "QMCSampler": "QMCSampler(scramble=True)",
    "NSGAIISampler": "NSGAIISampler(population_size=3)",
    "NSGAIIISampler": "NSGAIIISampler(population_size=3)",
    "PercentilePruner": "PercentilePruner(percentile=25)",
    "PatientPruner": "PatientPruner(wrapped_pruner=None, patience=1)",
    "ThresholdPruner": "ThresholdPruner(lower=0.2)",
}
"""How those are written that need arguments, or that would take long to come to their point."""

REFUSED = {
    "BaseSampler": "unknown sampler 'BaseSampler'",
    "BaseGASampler": "unknown sampler 'BaseGASampler'",
    "BasePruner": "unknown pruner 'BasePruner'",
    "PartialFixedSampler": "cannot be made: .*; fix the params in the search space instead",
}
try:
    import cmaes  # noqa: F401
except ImportError:
    REFUSED["CmaEsSampler"] = "needs the package 'cmaes', which is missing: pip install cmaes"


def space_for(name: str) -> Space:
    return FINITE if name in ("GridSampler", "BruteForceSampler") else SPACE


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_suggests_after_a_restart_what_it_would_have_or_is_refused(
    tmp_path: Path, name: str
) -> None:
    space, text = space_for(name), WRITTEN.get(name, name)
    if name in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[name]) as caught:
            rehearse(space, text, "NopPruner")
        assert "\n" not in str(caught.value)
        return
    rehearse(space, text, "NopPruner")
    whole = advance(make(space=space, sampler=text, seed=7), 11)
    first = advance(make(tmp_path, space, sampler=text, seed=7), 7)
    left_running = make(tmp_path, space, sampler=text, seed=7).ask()  # and the driver dies
    rest = advance(make(tmp_path, space, sampler=text, seed=7), 4)
    assert rest[0] == left_running.params
    assert first + rest == whole
    assert all(space.contains(params) for params in whole)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_judges_a_study_to_its_end_or_is_refused(tmp_path: Path, name: str) -> None:
    text = WRITTEN.get(name, name)
    if name in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[name]) as caught:
            rehearse(SPACE, "RandomSampler", text)
        assert "\n" not in str(caught.value)
        return
    rehearse(SPACE, "RandomSampler", text)
    pruned = 0
    for _ in range(4):
        guide = make(tmp_path, sampler="RandomSampler", pruner=text, seed=7)
        for _ in range(6):
            number = guide.ask().number
            values = (0.9, 0.8, 0.7) if number % 5 == 4 else (0.5, 0.6, 0.7 + 0.001 * number)
            for step, value in enumerate(values):
                guide.report(number, step, {"score": value - 0.4 * (number % 7 == 6)})
                if guide.should_prune(number):
                    guide.tell(number, Ending("pruned"))
                    pruned += 1
                    break
            else:
                guide.tell(number, Ending("ok", values[-1]))
    assert len(guide.finished()) == 24
    assert pruned > 0 or name in ("NopPruner", "WilcoxonPruner")


@pytest.mark.parametrize("text", ["TPESampler(n_startup_trials=3)", "TPESampler"])
def test_guided_trials_are_the_same_after_a_restart(tmp_path: Path, text: str) -> None:
    whole = advance(make(sampler=text, seed=7), 18)
    asked: list[dict[str, Any]] = []
    for n in (5, 1, 8, 4):
        asked += advance(make(tmp_path, sampler=text, seed=7), n)
    assert asked == whole


@pytest.mark.parametrize(("text", "n"), [("BruteForceSampler", 12), (GRID, 12)])
@pytest.mark.parametrize("at_once", [1, 4, 20])
def test_an_exhaustive_sampler_hands_out_all_there_is_and_no_more(
    tmp_path: Path, text: str, n: int, at_once: int
) -> None:
    def fresh() -> Guide:
        return make(tmp_path, FINITE, sampler=text, seed=7)

    guide, running = fresh(), list[Any]()
    restarts = iter([3, 8])
    restart = next(restarts)
    while len(guide.finished()) < guide.limit:
        while len(running) < at_once and guide.n_asked < guide.limit:
            running.append(guide.ask())
        end(guide, running.pop(len(running) // 2))
        if len(guide.finished()) == restart:
            # The driver dies; what runs is handed out again, by its number.
            guide, restart = fresh(), next(restarts, -1)
            running = [guide.ask() for _ in running]
    assert guide.limit == n
    points = [tuple(sorted(stored.params.items())) for stored in guide.stored()]
    assert len(points) == n
    assert len(set(points)) == (12 if text == "BruteForceSampler" else 9)
    assert fresh().limit == n


def test_a_strict_search_ends_when_the_sampler_says_so(tmp_path: Path) -> None:
    text = "BruteForceSampler(avoid_premature_stop=True)"
    guide = make(tmp_path, FINITE, sampler=text)
    assert guide.limit == float("inf")
    while guide.n_asked < guide.limit:
        advance(guide, 1)
    assert guide.n_asked == 12 == make(tmp_path, FINITE, sampler=text).limit


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (FINITE, 12),
        (SPACE, float("inf")),
        (Space.from_dict({"a": 1, "b": {"choices": ["x"]}}), 1),
        (Space.from_dict({"a": {"low": 1, "high": 9, "step": 2}}), 5),
        (
            Space.from_dict(
                {
                    "a": {"low": 1, "high": 100},
                    "b": {"low": 1, "high": 10, "when": {"a": [3, 4]}},
                    "c": {"choices": [1, 2], "when": {"b": 5}},
                    "d": {"choices": [1, 2], "when": {"a": 4}},
                }
            ),
            98 + 11 + 2 * 11,
        ),
    ],
)
def test_the_size_of_a_space(space: Space, size: float) -> None:
    assert space.size == size


def test_a_scrambled_sequence_covers_the_space_better_than_chance() -> None:
    names = ("a", "b", "c")
    space = Space.from_dict({name: {"low": 0.0, "high": 1.0} for name in names})

    def discrepancy(sampler: str, seed: int) -> float:
        guide = make(space=space, sampler=sampler, seed=seed)
        points = [[params[name] for name in names] for params in advance(guide, 64)]
        # The first point is drawn apart, before the sampler knows the space.
        return float(qmc.discrepancy(np.array(points[1:])))

    by_chance = min(discrepancy("RandomSampler", seed) for seed in range(3))
    covered = [discrepancy("QMCSampler(scramble=True)", seed) for seed in range(3)]
    assert max(covered) < 0.5 * by_chance
    assert len(set(covered)) == 3


def test_conditional_params_beside_a_sequence_are_drawn_anew_for_each_trial() -> None:
    asked = advance(make(sampler="QMCSampler(scramble=True)"), 30)
    taus = [params["tau"] for params in asked if "tau" in params]
    assert len(set(taus)) == len(taus) > 5


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sampler": "TPSampler"}, r"unknown sampler 'TPSampler'; did you mean 'TPESampler'\?"),
        ({"pruner": "MedianPrunner"}, "unknown pruner .* did you mean 'MedianPruner'"),
        ({"pruner": "ThresholdPruner"}, "pruner 'ThresholdPruner' cannot be made: "),
        ({"sampler": "TPESampler(x=1)"}, "cannot be made: .*unexpected keyword argument 'x'"),
        ({"sampler": "TPESampler(3)"}, "sampler must be written Name or Name"),
        ({"sampler": "__import__('os')"}, "sampler must be written Name or Name"),
        (
            {"sampler": "TPESampler(n_startup_trials='x')"},
            "n_startup_trials: Input should be a valid integer, got 'x'; arguments are written",
        ),
        ({"sampler": "TPESampler(n_startup_trials=2.5)"}, "valid integer, got 2.5"),
        ({"sampler": "TPESampler(gamma='x')"}, "gamma: Input should be callable, got 'x'"),
        ({"sampler": "TPESampler(constraints_func=1)"}, "constraints_func: Input should be call"),
        ({"sampler": "TPESampler(n_ei_candidates=0)"}, "cannot search this space: index 0 is out"),
        ({"sampler": "NSGAIISampler(population_size=1)"}, "cannot be made: .*greater than or eq"),
        ({"sampler": "BruteForceSampler"}, "cannot search this space: .*step must be given"),
        ({"sampler": "GridSampler"}, "cannot be made: .*missing .* 'search_space'"),
        ({"sampler": "GridSampler(search_space=3)"}, "search_space: Input should be a valid dict"),
        ({"pruner": "MedianPruner(n_warmup_steps='x')"}, "n_warmup_steps: Input should be a val"),
        ({"pruner": "HyperbandPruner(max_resource=2.5)"}, "max_resource: Input should be a val"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(kwargs: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        rehearse(SPACE, **({"sampler": "TPESampler", "pruner": "NopPruner"} | kwargs))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"kind": ["a"], "tau": [0.0]}, "the grid has no value of 'width', which the space sear"),
        ({"kind": ["a"], "tau": [0.0], "width": []}, "the grid has no value of 'width'"),
        ({"kind": ["a"], "tau": [0.2], "width": [1]}, "the grid's tau = 0.2 is not in the search"),
        ({"kind": ["c"], "tau": [0.0], "width": [1]}, "the grid's kind = 'c' is not in the sear"),
        ({"knd": ["a"], "tau": [0.0], "width": [1]}, "unknown param of the grid 'knd'; did you m"),
    ],
)
def test_a_grid_must_fit_the_space(grid: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rehearse(FINITE, f"GridSampler(search_space={grid})", "NopPruner")


@pytest.mark.parametrize("name", SAMPLERS + PRUNERS)
def test_every_argument_is_checked_against_its_annotation(name: str) -> None:
    if name.startswith("Base"):
        return
    factory = getattr(optuna.samplers, name, None) or getattr(optuna.pruners, name)
    for parameter in inspect.signature(factory).parameters:
        with pytest.raises(ConfigError, match="cannot be made"):
            text = f"{name}({parameter}=b'x')"
            make_sampler(text, 0, 0, SPACE) if name in SAMPLERS else make_pruner(text)


def test_tpe_without_joint_distributions_may_be_asked_for_on_a_conditional_space() -> None:
    assert len(advance(make(sampler="TPESampler(multivariate=False)"), 12)) == 12


def test_a_rehearsal_comes_to_what_the_sampler_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    sample = optuna.samplers.TPESampler._sample

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        return sample(self, *args, **kwargs)

    monkeypatch.setattr("optuna.samplers.TPESampler._sample", spy)
    rehearse(SPACE, "TPESampler(n_startup_trials=50)", "NopPruner")
    assert asked


def test_trials_at_once_do_not_ask_for_the_same() -> None:
    guide = make(sampler="TPESampler(n_startup_trials=2)")
    advance(guide, 4)
    rates = sorted(guide.ask().params["lr"] for _ in range(8))
    assert all(one < other for one, other in pairwise(rates))
