"""Which settings a study trains, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.detectors import check_params
from omasgan.detectors.omasgan import OMASGAN
from omasgan.errors import ConfigError
from omasgan.experiments.sensitivity import design
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.study.space import Space

BASE = check_params(OMASGAN, {})
SPACE = Space.from_dict(
    {
        "mu": {"low": 0.1, "high": 100.0, "log": True},
        "nu": {"low": 0.1, "high": 100.0, "log": True},
        "zeta": {"low": 0.3, "high": 1.0},
        "gan_steps": {"low": 200, "high": 800, "step": 100},
        "detector_steps": {"low": 200, "high": 900, "step": 100},
        "divergence": {"choices": ["kl-wgan", "gan", "jensen-shannon"]},
        "penalty": {
            "low": 0.01,
            "high": 10.0,
            "log": True,
            "when": {"divergence": ["gan", "jensen-shannon"]},
        },
        "form": {"choices": ["deformation", "pixel"]},
        "radius": {"low": 0.08, "high": 0.4, "log": True, "when": {"form": "deformation"}},
    }
)
SPACES = {"the detector's space": SPACE}


def plan(
    names: str, base: dict[str, Any] = BASE, spaces: Mapping[str, Space] = SPACES, **more: Any
) -> SensitivityPlan:
    options = {"folds": [0, 1], "seeds": [0, 1]} | more
    return design.design(OMASGAN, names.split(","), base, spaces, **options)


def values(name: str, **more: Any) -> tuple[Any, ...]:
    return plan(name, **more).axes[0].values


def test_values_come_from_the_space_and_include_the_base() -> None:
    assert values("mu") == (0.1, 0.562, 3.16, 10.0, 100.0)
    assert values("zeta") == (0.3, 0.5, 0.65, 0.825, 1.0)
    assert values("gan_steps", points=3) == (200, 600, 800)
    assert values("form") == ("deformation", "pixel")
    assert all(type(v) is int for v in values("detector_steps"))


def test_what_the_space_does_not_vary_is_varied_around_the_base() -> None:
    (axis,) = plan("boundary_reference").axes
    assert axis.values == (64, 128, 256, 512, 1024) and "base" in axis.source
    assert values("normalised") == (False, True)
    assert values("alpha") == (0.0, 0.3, 0.5, 0.75, 1.0)
    assert values("mu", spaces={}) == (2.5, 5.0, 10.0, 20.0, 40.0)
    for name in ("calibration", "ema", "latent_dim", "batch_size", "early"):
        for value in values(name):
            check_params(OMASGAN, {name: value})


def test_a_param_that_the_given_space_lacks_has_the_range_of_the_detectors_space() -> None:
    own = Space.from_dict({"mu": {"low": 5.0, "high": 20.0}, "zeta": 0.5})
    mu, zeta, normalised = plan("mu,zeta,normalised", spaces={"--space": own, **SPACES}).axes
    assert (mu.source, mu.values[0], mu.values[-1]) == ("--space", 5.0, 20.0)
    assert (zeta.source, zeta.values) == ("the detector's space", (0.3, 0.5, 0.65, 0.825, 1.0))
    assert normalised.source == "all its choices, since no space varies it"
    alone = plan("zeta", spaces={"--space": own}).axes[0]
    assert alone.source == "all that the detector accepts, since no space varies it"


def test_conditions_of_every_space_hold_in_a_grid() -> None:
    own = Space.from_dict({"mu": {"low": 5.0, "high": 20.0}})
    grid = plan("form,radius", spaces={"--space": own, **SPACES}, design="grid")
    assert grid.settings == plan("form,radius", design="grid").settings


def test_the_papers_symbols_are_names() -> None:
    named = [axis.name for axis in plan("mu,nu,Q,n,zeta").axes]
    assert named == ["mu", "nu", "boundary_reference", "boundary_batch", "zeta"]


def test_one_at_a_time_varies_one_param_and_trains_the_base_once() -> None:
    study = plan("mu,zeta")
    assert len(study.settings) == 1 + 4 + 4 and study.trainings == 36
    assert study.settings[0] == BASE
    for setting in study.settings[1:]:
        assert len([name for name in BASE if setting[name] != BASE[name]]) == 1


def test_a_grid_holds_every_pair_that_makes_sense() -> None:
    study = plan("mu,zeta", design="grid", points=3)
    assert len({(s["mu"], s["zeta"]) for s in study.settings}) == 9 == len(study.settings)
    # a free B has no radius: only its base value is trained with it
    points = {(s["form"], s["radius"]) for s in plan("form,radius", design="grid").settings}
    assert len([p for p in points if p[0] == "pixel"]) == 1
    assert len([p for p in points if p[0] == "deformation"]) == 5


@settings(max_examples=12)
@given(
    names=st.lists(
        st.sampled_from(["mu", "nu", "zeta", "gan_steps", "alpha", "form", "divergence"]),
        min_size=1, max_size=3, unique=True,
    ),
    points=st.integers(3, 7),
    grid=st.booleans(),
)  # fmt: skip
def test_every_setting_is_valid_and_none_is_repeated(
    names: list[str], points: int, grid: bool
) -> None:
    study = plan(",".join(names), points=points, design=design.DESIGNS[grid])
    assert len({repr(sorted(s.items())) for s in study.settings}) == len(study.settings)
    axes = {axis.name: axis for axis in study.axes}
    for setting in study.settings:
        assert {name: value for name, value in setting.items() if name not in axes} == {
            name: value for name, value in BASE.items() if name not in axes
        }
        assert all(setting[name] in axis.values for name, axis in axes.items())
    for axis in study.axes:
        assert axis.base in axis.values
        assert len(axis.values) <= points or not axis.ordered
        for value in axis.values:
            assert check_params(OMASGAN, {axis.name: value})[axis.name] == value


def test_a_budget_takes_points_away_and_then_refuses() -> None:
    assert plan("mu,nu").trainings == 36
    cut = plan("mu,nu", budget=30)
    assert cut.trainings == 28 and cut.points == 4
    with pytest.raises(ConfigError, match=r"--budget 19 is too small.* 20 trainings; give fewer"):
        plan("mu,nu", budget=19)


@pytest.mark.parametrize(
    ("names", "base", "message"),
    [
        ("mue", {}, "unknown parameter of OMASGAN 'mue'; did you mean 'mu'"),
        ("seed", {}, "unknown parameter of OMASGAN 'seed'"),
        ("mu", {"mu": 500.0}, "mu = 500.0, which is outside the space: 0.1 to 100"),
        ("divergence", {"divergence": "pearson"}, "outside the space: kl-wgan, gan"),
        ("penalty", {}, "only with divergence = gan or jensen-shannon"),
        ("residual", {}, "'residual' is 0.0 in the base.*--space FILE"),
        ("", {}, "unknown parameter of OMASGAN ''"),
    ],
)
def test_what_cannot_be_varied_is_refused(names: str, base: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(names, {**BASE, **base})


def test_other_refusals() -> None:
    with pytest.raises(ConfigError, match="unknown design 'gird'; did you mean 'grid'"):
        plan("mu", design="gird")
    with pytest.raises(ConfigError, match="--points must be at least 3, got 2"):
        plan("mu", points=2)
    with pytest.raises(ConfigError, match="without a search space --params must say"):
        design.varied(None, BASE)
    assert "penalty" not in design.varied(SPACE, BASE) and "mu" in design.varied(SPACE, BASE)
