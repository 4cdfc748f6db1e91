"""The trainings of a suite: none is repeated, and what was interrupted goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.errors import StoreError
from omasgan.experiments.paper import training
from omasgan.experiments.paper.planning import SuitePlan
from omasgan.experiments.paper.training import Part
from omasgan.progress import RunEnded
from omasgan.report.paper.numbers import Results
from omasgan.store.results import Store
from tests.experiments.paper import tiny


def train(plan: SuitePlan, root: Path, **more: Any) -> list[Part]:
    data = tiny.data(plan)
    return training.train(plan, data, Store(root), LocalBackend(), device="cpu", **more)


def stop_after(count: int) -> Any:
    def stop(event: Any) -> None:
        if isinstance(event, RunEnded) and event.done == count:
            raise KeyboardInterrupt

    return stop


def test_a_suite_goes_on_where_it_stopped_and_repeats_nothing(tmp_path: Path) -> None:
    plan, out = tiny.plan(tmp_path, tiny.QUICK), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(plan, out, on_event=stop_after(2))
    begun = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    assert len(begun) == 2
    events: list[Any] = []
    (part,) = train(plan, out, on_event=events.append)
    assert len(part.rows) == plan.trainings == 8
    done = [event.done for event in events if isinstance(event, RunEnded)]
    assert done == list(range(1, 9)) and {e.total for e in events} == {8}
    files = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    assert files.items() >= begun.items()
    (again,) = train(plan, out)
    assert again.rows == part.rows
    assert files == {path: path.stat().st_mtime_ns for path in files}


def test_an_ensemble_is_a_run_beside_those_of_single_detectors(tmp_path: Path) -> None:
    plan, out = tiny.plan(tmp_path, tiny.ENSEMBLE), tmp_path / "out"
    assert plan.trainings == 4 * (1 + 1 + 3)
    events: list[Any] = []
    (part,) = train(plan, out, on_event=events.append)
    rules = [row["selection"] for row in part.rows.values()]
    assert sorted(rules) == ["ensemble-3"] * 4 + ["fixed"] * 8
    assert all(row["outcome"] == "ok" for row in part.rows.values())
    counts = [(event.done, event.total) for event in events if hasattr(event, "done")]
    assert counts[-1] == (20, 20) and {total for _, total in counts} == {20}
    assert [done for done, _ in counts] == sorted(done for done, _ in counts)
    results = Results(plan, part)
    for variant in plan.variants:
        assert {row["selection"] for row in results.rows(variant)} == {variant.rule}
        assert len(results.rows(variant)) == 4
    files = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    train(plan, out)
    assert files == {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}


def test_another_suite_of_the_same_name_does_not_take_over(tmp_path: Path) -> None:
    plan, out = tiny.plan(tmp_path, tiny.QUICK), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(plan, out, on_event=stop_after(1))
    other = tiny.plan(tmp_path, tiny.QUICK.replace("k = 5", "k = 7"))
    with pytest.raises(StoreError, match="differs: 4 trainings are new, 4 are gone; finish it"):
        train(other, out)


def test_data_that_arrive_later_are_no_difference(tmp_path: Path) -> None:
    both = tiny.QUICK.replace('["digits-loo"]', '["digits-loo", "digits-occ"]')
    plan, out = tiny.plan(tmp_path, both), tmp_path / "out"
    data = tiny.data(plan)
    some = {"digits-loo": data["digits-loo"]}
    with pytest.raises(KeyboardInterrupt):
        training.train(
            plan, some, Store(out), LocalBackend(), device="cpu", on_event=stop_after(1)
        )
    parts = training.train(plan, data, Store(out), LocalBackend(), device="cpu")
    assert [part.benchmark.name for part in parts] == ["digits-loo", "digits-occ"]
