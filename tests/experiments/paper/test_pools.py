"""Pools: which configurations they hold, and what the rules make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omasgan.backends.local import LocalBackend
from omasgan.data.selection import SENSITIVITY
from omasgan.errors import ConfigError
from omasgan.experiments.paper import judging, planning, pools, suites, training
from omasgan.experiments.paper.planning import SuitePlan
from omasgan.experiments.paper.training import Part
from omasgan.store.results import Store
from omasgan.study.record import read_trials
from tests.experiments.paper import tiny


def plan(folder: Path, trials: int | None = None) -> SuitePlan:
    return planning.schedule(suites.load(tiny.write(folder, tiny.POOL)), "smoke", trials)


Judged = tuple[SuitePlan, Part, Store]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("pool")
    small, store = plan(folder), Store(folder / "out")
    (part,) = training.train(small, tiny.data(small), store, LocalBackend(), device="cpu")
    return small, part, store


def test_a_larger_pool_holds_a_smaller_one(tmp_path: Path) -> None:
    few, many = plan(tmp_path).pool, plan(tmp_path, 9).pool
    assert [v.params_id for v in few] == [v.params_id for v in many[:3]]
    assert len({v.params_id for v in many}) > 3
    assert {v.rule for v in many} == {SENSITIVITY}


def test_the_first_are_the_defaults_where_the_space_leaves_them_open() -> None:
    suite = suites.load("selection-regret-vae")
    assert suite.pool is not None
    first, *others = planning.schedule(suite, "small", 20).pool
    assert first.label == "defaults" and not first.varied
    assert (first.params["latent_dim"], first.params["train_steps"]) == (2, 300)
    assert {len(v.varied) for v in others} == {5}
    assert all(100 <= v.params["train_steps"] <= 400 for v in others)
    space = pools.space_of(suite.pool, suite.budgets["small"])
    assert space.stages == ("elbo", "reconstruction")


def test_what_the_space_fixes_holds_for_the_defaults_too() -> None:
    pool = planning.schedule(suites.load("selection-regret"), "small", 4).pool
    assert {v.params["samples"] for v in pool} == {600}


def test_defaults_outside_the_space_are_refused(tmp_path: Path) -> None:
    text = tiny.POOL.replace('detector = "knn"', 'detector = "knn"\nspace = { k = 3 }')
    assert len(planning.schedule(suites.load(tiny.write(tmp_path, text)), "smoke").pool) == 3
    narrow = text.replace("{ k = 3 }", "{ k = { low = 30, high = 40 } }")
    with pytest.raises(ConfigError, match="k = 1 is not in the search space"):
        planning.schedule(suites.load(tiny.write(tmp_path, narrow)), "smoke")


def test_a_pool_has_a_drawing_of_its_own(tmp_path: Path) -> None:
    text = tiny.POOL.replace('kind = "regret"', 'kind = "folds"')
    with pytest.raises(ConfigError, match="a pool is drawn as 'regret'"):
        suites.load(tiny.write(tmp_path, text))


def test_every_rule_judges_the_same_configurations(judged: Judged) -> None:
    small, part, store = judged
    assert (len(part.rows), small.judging) == (2 * 3, 2 * 3 * (2 + 1))
    assert {row["outcome"] for row in part.rows.values()} == {"ok"}
    params = [{"k": v.params["k"]} for v in small.pool]
    space = pools.space_of(small.suite.pool, small.settings)  # type: ignore[arg-type]
    studies = store.studies()
    assert {f"{f.parent.parent.name} {f.name}" for f in studies} == {
        f"{rule} fold-{fold}" for rule in ("nested", "proxy") for fold in (0, 1)
    }
    objectives = judging.objectives(small, part.benchmark, part.dataset, store, "score")
    for folder in studies:
        trials = read_trials(folder, space)
        assert [dict(trial.params) for trial in trials] == params
        fold = int(folder.name.removeprefix("fold-"))
        of_rule = objectives[folder.parent.parent.name][fold]
        np.testing.assert_allclose(of_rule, [trial.objective for trial in trials])


def test_a_pool_goes_on_and_grows(judged: Judged, tmp_path: Path) -> None:
    small, part, store = judged
    files = {p: p.stat().st_mtime_ns for p in store.root.rglob("result.json")}  # type: ignore[union-attr]
    larger = plan(tmp_path, 4)
    (again,) = training.train(larger, tiny.data(larger), store, LocalBackend(), device="cpu")
    assert again.rows.items() >= part.rows.items() and len(again.rows) == 8
    assert files == {p: p.stat().st_mtime_ns for p in files}
    objectives = judging.objectives(larger, part.benchmark, part.dataset, store, "score")
    assert all(values.shape == (2, 4) for values in objectives.values())
    assert not np.isnan(objectives["nested"]).any()
    few = judging.objectives(small, part.benchmark, part.dataset, store, "score")
    np.testing.assert_array_equal(few["nested"], objectives["nested"][:, :3])
