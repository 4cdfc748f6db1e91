"""What sweeps tell: the truth of a made-up objective, and a warning where it cannot be known."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from omasgan.errors import StoreError
from omasgan.report.page import files
from omasgan.report.sensitivity import trial_content, trials
from omasgan.report.sensitivity.trials import Pool
from omasgan.store.journal import write_json
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.space import Space

SPACE = Space.from_dict(
    {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "form": {"choices": ["good", "bad"]},
        "radius": {"low": 0.0, "high": 1.0, "when": {"form": "good"}},
        "gan_steps": {"low": 100, "high": 500, "step": 100},
        "idle": {"low": 0.0, "high": 1.0},
        "score": "j",
    }
)


def fill(root: Path, n: int, name: str = "fold-0", level: float = 0.7, seed: int = 0) -> Store:
    """A study of random trials; every tenth one has diverged."""
    folder = root / "digits-loo-v1" / "omasgan" / "nested" / "studies" / name
    about = {"detector": "omasgan", "benchmark": {"name": "digits-loo"}, "status": "complete"}
    write_json(folder / "study.json", {**about, "space": SPACE.to_dict()})
    guide = Guide(SPACE, storage=None, study_name=name, sampler="RandomSampler", seed=seed)
    rng = np.random.default_rng(seed)
    for number in range(n):
        params = guide.ask().params
        value = level - 0.08 * (math.log10(params["lr"]) + 2) ** 2 + 0.02 * rng.normal()
        value += 0.2 * (params["form"] == "good") + params["gan_steps"] / 2500
        bad = number % 10 == 9
        row = {"number": number, "params": params, "outcome": "diverged" if bad else "ok"}
        row |= {"objective": None if bad else value, "seconds": 1 + params["gan_steps"] / 50}
        write_json(folder / "trials" / f"{number:04d}" / "trial.json", {**row, "error": None})
    return Store(root)


@cache
def rich() -> Pool:
    """Two studies of 50 trials, whose levels differ."""
    root = Path(mkdtemp())
    fill(root, 50)
    (pool,) = trials.pools(fill(root, 50, "fold-1", level=0.3, seed=1))
    return pool


def test_studies_of_a_space_are_pooled_each_at_its_own_level() -> None:
    pool = rich()
    assert len(pool) == 90 and pool.lost == 10 and pool.is_sure
    assert [param.name for param in pool.searched] == ["form", "gan_steps", "idle", "lr", "radius"]
    for number in (0, 1):
        assert pool.objective[pool.study == number].mean() == pytest.approx(0.0)
    for rows in pool.resamples(3):
        assert np.array_equal(pool.study[rows], pool.study)


@pytest.mark.slow
def test_importance_finds_what_matters_and_not_what_is_idle() -> None:
    found = {(i.evaluator, i.param): i for i in trials.importances(rich())}
    assert found["fanova", "form"].is_significant
    assert not found["fanova", "idle"].is_significant
    assert not found["ped-anova", "idle"].is_significant
    # a conditional param has no share of the variance over the whole space
    assert ("fanova", "radius") not in found and ("ped-anova", "radius") in found
    for one in found.values():
        assert 0 <= one.interval.low <= one.interval.high <= 1


@pytest.mark.slow
def test_dependence_follows_the_objective() -> None:
    found = {one.param.name: one for one in trials.dependences(rich())}
    form = found["form"]
    assert form.mean[0] - form.mean[1] == pytest.approx(0.2, abs=0.06)
    assert math.log10(trials.value_at(found["lr"].param, found["lr"].mean.argmax() / 11)) < -1
    assert found["idle"].size < 0.03 and found["radius"].size < 0.03
    change, interval = found["gan_steps"].change
    assert interval.low > 0 and change == pytest.approx(0.16, abs=0.08)
    surface = trials.surface(rich(), "lr", "gan_steps")
    assert surface.mean.shape == surface.half.shape == (trials.GRID, trials.GRID)
    assert surface.mean[-1].mean() > surface.mean[0].mean()


def test_the_cost_of_a_phase_is_found_exactly() -> None:
    ((name, (seconds, interval)),) = trials.seconds_per_100_steps(rich()).items()
    assert name == "gan_steps" and seconds == pytest.approx(2.0)
    assert interval.low == pytest.approx(2.0) == interval.high


def test_places_and_values_are_inverse() -> None:
    for param in rich().searched:
        for where in (0.0, 0.5, 1.0):
            value = trials.value_at(param, where)
            assert param.domain.contains(value) or isinstance(value, float)
    lr = next(p for p in rich().searched if p.name == "lr")
    assert trials.place(lr, trials.value_at(lr, 0.3)) == pytest.approx(0.3)


@pytest.mark.slow
def test_the_page_shows_everything_with_its_doubts(tmp_path: Path) -> None:
    written = files.of_page(trial_content.page([rich()], "omasgan sensitivity --from DIR"))
    text = written["summary.md"].decode()
    assert "TRIALS:" not in text and "| matters |" in text
    assert "not told from a random param" in text and "| gan_steps | 100 | 500 | +0." in text
    names = " ".join(name for name in written if name.endswith(".png"))
    for figure in ("importance", "dependence", "lengths", "parallel"):
        assert f"fold-0-{figure}.png" in names
    few = trials.pools(fill(tmp_path, 30))
    text = files.of_page(trial_content.page(few, ""))["summary.md"].decode()
    assert "FEW TRIALS: 27 for 5 params, fewer than 10 a param (50)" in text
    assert "| matters |" not in text and "A hint at most" in text


def test_too_few_trials_are_not_modelled(tmp_path: Path) -> None:
    pools = trials.pools(fill(tmp_path, 8))
    (section,) = trial_content.page(pools, "").sections
    assert "TOO FEW TRIALS: 8 for 5 params" in " ".join(section.prose)
    assert [figure.title for figure in section.figures] == ["Trials in parallel coordinates"]
    assert not list(section.tables)


@pytest.mark.parametrize("given", [("nowhere", None), (None, "vae"), ("digits-loo-v2", "omasgan")])
def test_what_is_not_there_is_told(given: Any, tmp_path: Path) -> None:
    store = fill(tmp_path, 3)
    assert len(trials.pools(store, "digits-loo", "omasgan")) == 1
    assert len(trials.pools(store, "digits-loo-v1")) == 1
    with pytest.raises(StoreError, match="holds no trials that ended ok"):
        trials.pools(store, *given)
    with pytest.raises(StoreError, match="give the --out folder of a sweep"):
        trials.pools(Store(tmp_path / "empty"))
