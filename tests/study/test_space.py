from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from omasgan import config, detectors
from omasgan.config import load_toml
from omasgan.errors import ConfigError
from omasgan.study.guide import Guide
from omasgan.study.space import Space, load_space
from omasgan.training.trials import Ending


class Toy:
    def __init__(
        self,
        *,
        lr: Annotated[float, Field(gt=0, le=1)] = 0.1,
        steps: Annotated[int, Field(ge=1)] = 10,
        divergence: Literal["kl", "pearson", "gan"] = "kl",
        tau: float = 1.0,
        bound: float = 1.0,
        seed: int = 0,
        device: str = "cpu",
    ) -> None: ...


TOML = """
lr = { low = 1e-4, high = 0.1, log = true }
steps = { low = 100, high = 500, step = 100 }
divergence = { choices = ["kl", "pearson"] }
tau = { low = 0.5, high = 10.0, when = { divergence = "kl" } }
bound = { value = 2.5, when = { tau = 0.5, divergence = ["kl", "pearson"] } }
"""


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, Any]:
    form = draw(st.sampled_from(["int", "float", "step", "log"]))
    if form == "int":
        low = draw(st.integers(-100, 100))
        step = draw(st.integers(1, 5))
        entry = {"low": low, "high": low + step * draw(st.integers(1, 20))}
        return entry | ({"step": step} if draw(st.booleans()) else {})
    if form == "log":
        low = draw(numbers(1e-6, 1.0))
        return {"low": low, "high": low * draw(numbers(1.5, 1e4)), "log": True}
    low = draw(st.integers(-400, 400)) / 4
    if form == "float":
        return {"low": low, "high": low + draw(numbers(0.5, 100))}
    step = draw(st.sampled_from([0.125, 0.25, 1.5]))
    return {"low": low, "high": low + step * draw(st.integers(1, 20)), "step": step}


scalars = st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
choices = st.lists(scalars, min_size=1, max_size=4, unique_by=lambda v: v).map(
    lambda values: {"choices": values}
)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Spaces with chains of conditions."""
    names = draw(st.permutations(["a", "b", "c", "d", "e"]))
    made: dict[str, Any] = {}
    for name in names:
        entry = draw(ranges() | choices | scalars.map(lambda v: {"value": v}))
        parents = [n for n in made if "choices" in made[n]]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            entry["when"] = {parent: draw(st.sampled_from(made[parent]["choices"]))}
        made[name] = entry
    return made


@given(tables(), st.integers(0, 1000))
def test_what_is_suggested_is_in_the_space(table: dict[str, Any], seed: int) -> None:
    space = Space.from_dict(table)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    params = space.suggest(study.ask())
    assert space.contains(params)
    for name, value in params.items():
        if "low" in table[name]:
            assert table[name]["low"] <= value <= table[name]["high"]
            assert isinstance(value, type(table[name]["low"]))
        elif "choices" in table[name]:
            assert value in table[name]["choices"]
    for name, entry in table.items():
        conditions = entry.get("when", {}).items()
        assert (name in params) == all(params.get(k, ()) == v for k, v in conditions)


@given(tables())
def test_a_space_round_trips_through_its_dict(table: dict[str, Any]) -> None:
    space = Space.from_dict(table)
    assert Space.from_dict(space.to_dict()) == space
    assert Space.from_dict(dict(reversed(table.items()))) == space


def test_conditions_on_conditional_params(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML)
    space = load_space(tmp_path / "s.toml", Toy)
    assert space.is_conditional
    assert space.to_dict() == load_toml(tmp_path / "s.toml")
    base = {"lr": 0.01, "steps": 200}
    assert space.contains({**base, "divergence": "pearson"})
    assert space.contains({**base, "divergence": "kl", "tau": 1.0})
    assert space.contains({**base, "divergence": "kl", "tau": 0.5, "bound": 2.5})
    assert not space.contains({**base, "divergence": "pearson", "tau": 1.0})
    assert not space.contains({**base, "divergence": "kl"})
    assert not space.contains({**base, "steps": 250, "divergence": "pearson"})
    assert not space.contains({**base, "steps": 200.0, "divergence": "pearson"})
    assert not space.contains({"lr": 0.01, "divergence": "pearson"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr = 0.1", r"unknown parameter of Toy 'lrr'; did you mean 'lr'\?"),
        ("lr = {low=0.0, high=1.0}", "lr: Input should be greater than 0, got 0.0"),
        ("lr = {low=0.1, high=2.0}", "lr: Input should be less than or equal to 1, got 2.0"),
        ("steps = {low=1.0, high=9.0}", "steps: .*valid integer.*, got 4.05"),
        ("steps = 0", "steps: Input should be greater than or equal to 1, got 0"),
        ('divergence = {choices=["kl", "js"]}', "divergence: .*, got 'js'"),
        ("lr = {low=0.1, hihg=0.2}", r"unknown key of 'lr' 'hihg'; did you mean 'high'\?"),
        ("lr = {low=0.1}", "'lr': high must be a finite number, got None"),
        ("lr = {low=0.1, high=inf}", "'lr': high must be a finite number, got inf"),
        ("lr = {low=0.5, high=0.1}", "'lr': low must be below high, got 0.5 and 0.1"),
        ("lr = {low=0.0, high=0.1, log=true}", "'lr': low must be above 0 with log, got 0.0"),
        ("lr = {low=0.1, high=0.2, log=1}", "'lr': log must be true or false, got 1"),
        ("lr = {low=0.1, high=0.2, log=true, step=0.1}", "log and step exclude each other"),
        ("steps = {low=1, high=9, step=3}", "high must be low plus a multiple of step"),
        ("steps = {low=1, high=9, step=0.5}", "step must be a positive integer, got 0.5"),
        ("lr = {low=0.1, high=0.2, choices=[1]}", "unknown key of 'lr' 'choices'"),
        ("lr = {choices=[]}", "'lr': choices must be a list that is not empty"),
        ("lr = {choices=[0.1, 0.1]}", "'lr': choices must differ, got 0.1 twice"),
        ("lr = {choices=[[1]]}", "a choice must be a string, number or boolean"),
        ("lr = {}", "'lr' needs low and high, choices, or value"),
        ("lr = {value=0.1, when=3}", "when must be a table"),
        ("lr = {value=0.1, when={stepps=3}}", "unknown param in when of 'lr' 'stepps'"),
        ("steps = 3\nlr = {value=0.1, when={steps=4}}", "when.steps = 4 never holds"),
        ("steps = 3\nlr = {value=0.1, when={steps=[]}}", "when.steps lists no value"),
        (
            "lr = {value=0.1, when={tau=1.0}}\ntau = {value=1.0, when={lr=0.1}}",
            "the conditions of lr, tau go in a circle",
        ),
        ("lr = {low=0.1", "not valid TOML: Unclosed inline table"),
    ],
)
def test_bad_spaces_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_space(path, Toy)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_detector_without_a_shipped_space_needs_a_file() -> None:
    with pytest.raises(ConfigError, match=r"no search space is shipped for 'a\.b:C'; give one"):
        load_space("a.b:C", Toy)
    with pytest.raises(ConfigError, match="unknown search space 'toyy'"):
        load_space("toyy", Toy)


STAGES = {"lr": {"low": 0.1, "high": 1.0}, "stage": {"choices": ["j", "task1"]}}


def test_a_choice_of_the_score_is_not_searched_but_judged() -> None:
    space = Space.from_dict(STAGES)
    assert [param.name for param in space.params] == ["lr"]
    assert space.stages == ("j", "task1")
    assert space.to_dict() == STAGES
    assert space.contains({"lr": 0.5})
    study = optuna.create_study()
    assert space.suggest(study.ask()).keys() == {"lr"}


@pytest.mark.parametrize("stage", ["j", {"value": "j"}])
def test_a_score_without_a_choice_is_a_param_like_others(stage: Any) -> None:
    space = Space.from_dict({"stage": stage})
    assert space.stages == ()
    assert space.contains({"stage": "j"})


def test_what_depends_on_a_choice_of_the_score_is_refused() -> None:
    tau = {"low": 0.1, "high": 1.0, "when": {"stage": "j"}}
    with pytest.raises(ConfigError, match="no param can depend on 'stage' where it has choices"):
        Space.from_dict(STAGES | {"tau": tau})


def test_a_stage_that_the_detector_has_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text('stage = { choices = ["j", "task9"] }')
    with pytest.raises(ConfigError, match=r"stage: .*, got 'task9'"):
        load_space(tmp_path / "space.toml", detectors.load("omasgan"))


SHIPPED = sorted(path.stem for path in config.resource("search_spaces", "knn").parent.iterdir())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_space_holds_its_detector_s_defaults(name: str) -> None:
    """So that they can be enqueued."""
    cls = detectors.load(name)
    defaults = detectors.check_params(cls, {})
    searched = load_space(name, cls).within(defaults)
    assert searched.items() <= defaults.items()


@given(tables(), st.integers(0, 1000))
def test_all_that_is_drawn_from_a_space_is_within_it(table: dict[str, Any], seed: int) -> None:
    space = Space.from_dict(table)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    params = space.suggest(study.ask())
    within = space.within(params | {"of another detector": 1})
    assert within.items() <= params.items()
    assert all("value" in table[name] for name in params.keys() - within.keys())


@given(tables())
def test_the_size_of_a_space_is_that_of_its_points(table: dict[str, Any]) -> None:
    space = Space.from_dict(table)
    if space.size > 200:
        return
    guide = Guide(space, None, sampler="BruteForceSampler")
    while guide.n_asked < guide.limit:
        guide.tell(guide.ask().number, Ending("ok", 0.5))
    points = {tuple(map(repr, sorted(t.params.items()))) for t in guide.finished()}
    assert len(points) == space.size
