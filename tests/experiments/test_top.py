"""Sweeps whose result is the ensemble of each study's best trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError
from omasgan.experiments import ensemble
from omasgan.experiments.sweep import SweepResult, SweepSpec, check, sweep
from omasgan.nn import tails
from omasgan.report.results import commands, tables
from omasgan.report.results.inputs import read_benchmark, read_study
from omasgan.report.results.runs import current, runs
from omasgan.store import saved
from omasgan.store.journal import read_json
from omasgan.store.results import RunKey, Store
from omasgan.study.space import Space
from tests.toy import CURVE_SPACE


@pytest.fixture(scope="module")
def spec(small_spec: BenchmarkSpec) -> SweepSpec:
    return SweepSpec(
        benchmark=small_spec,
        detector="tests.toy:CurveDetector",
        space=Space.from_dict(CURVE_SPACE),
        rule="proxy",
        n_trials=4,
        folds=(0,),
        seeds=(0, 2),
        top=3,
    )


Swept = tuple[Store, SweepResult]


@pytest.fixture(scope="module")
def swept(
    spec: SweepSpec, small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Swept:
    store = Store(tmp_path_factory.mktemp("top"))
    return store, sweep([spec], store, LocalBackend(), small_dataset)


def members_of(store: Store, row: dict[str, Any]) -> list[RunKey]:
    found = {r["seed"]: RunKey.of(r) for r in Store(store.root / ensemble.MEMBERS).results()}
    first = ensemble.MAX_MEMBERS * row["seed"]
    return [found[first + i] for i in range(row["members"])]


def test_the_best_trials_are_frozen_in_their_order(swept: Swept) -> None:
    store, result = swept
    (folder,) = store.studies()
    assert folder.parts[-3:] == ("proxy-top-3", "studies", "fold-0")
    trials = read_study(folder).ended
    best = sorted(trials, key=lambda trial: -(trial.objective or 0))[:3]
    winner = read_json(folder / "winner.json")
    assert [member["number"] for member in winner["members"]] == [t.number for t in best]
    assert [member["objective"] for member in winner["members"]] == [t.objective for t in best]
    assert [member["params"]["lr"] for member in winner["members"]] == [
        t.params["lr"] for t in best
    ]
    assert winner["params"] == winner["members"][0]["params"]
    assert read_json(folder / "study.json")["winner"] == "top-3"
    assert result.rows[0]["params_id"] == winner["params_id"]


def test_the_result_is_the_rank_ensemble_of_fresh_trainings(swept: Swept) -> None:
    store, result = swept
    assert [(row["selection"], row["seed"]) for row in result.rows] == [
        ("proxy-top-3", 0),
        ("proxy-top-3", 2),
    ]
    for row in result.rows:
        inner = Store(store.root / ensemble.MEMBERS)
        keys = members_of(store, row)
        params = [inner.read_result(key)["params"] for key in keys]  # type: ignore[index]
        assert params == row["member_params"] and params[0] == row["params"]
        assert len({p["lr"] for p in params}) == 3
        held_out = [np.array(saved.describe(inner.run_dir(key)).calibration) for key in keys]
        scores = [inner.scores(key)["score"].to_numpy() for key in keys]
        surprise = [tails.surprise(h, s) for h, s in zip(held_out, scores, strict=True)]
        frame = store.scores(RunKey.of(row))
        np.testing.assert_allclose(frame["score"], np.mean(surprise, axis=0), rtol=1e-5)
        np.testing.assert_array_equal(frame["best"], scores[0])
        assert row["auroc.best"] == inner.read_result(keys[0])["auroc"]  # type: ignore[index]
        costs = [inner.read_result(key)["seconds"] for key in keys]  # type: ignore[index]
        assert row["seconds"] == pytest.approx(sum(costs))


def test_the_same_command_repeats_nothing(
    spec: SweepSpec, swept: Swept, small_dataset: Dataset
) -> None:
    store, result = swept
    files = {path: path.stat().st_mtime_ns for path in store.root.rglob("result.json")}
    assert len(files) == 2 * (3 + 1)
    again = sweep([spec], store, LocalBackend(), small_dataset)
    assert again == result
    assert files == {path: path.stat().st_mtime_ns for path in store.root.rglob("result.json")}


def test_a_longer_study_with_other_members_is_another_result(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store, spec = Store(tmp_path), replace(spec, seeds=(0,), top=2, n_trials=2)
    before = sweep([spec], store, LocalBackend(), small_dataset)
    after = sweep([replace(spec, n_trials=9)], store, LocalBackend(), small_dataset)
    (old,), (new,) = before.rows, after.rows
    assert old["params_id"] != new["params_id"]
    (folder,) = store.studies()
    assert read_json(folder / "winner.json")["lengthened_from"] == [2]
    frame = runs(store.results(), [read_study(folder)])
    assert list(current(frame)["params_id"]) == [new["params_id"]]


def test_a_replay_has_the_same_winners(
    spec: SweepSpec, swept: Swept, small_dataset: Dataset, tmp_path: Path
) -> None:
    store, result = swept
    (folder,) = store.studies()
    assert not isinstance(folder, str)
    again = replace(spec, replay=Path(str(folder)), seeds=(0,))
    (winner,) = sweep([again], Store(tmp_path), LocalBackend(), small_dataset).winners
    assert winner.members == result.winners[0].members


def test_a_report_names_the_trials_and_the_command(swept: Swept) -> None:
    store, result = swept
    (folder,) = store.studies()
    study = read_study(folder)
    numbers = [member.number for member in result.winners[0].members]
    won = f"trials {', '.join(map(str, numbers))}"
    assert list(tables.studies([study])["winner"]) == [won]
    rows = store.results()
    frame = runs(rows, [study])
    assert set(frame["entry"]) == {"tests.toy:CurveDetector · proxy-top-3"}
    benchmark = read_benchmark(store.root, study.benchmark, rows)
    (command,) = commands.of_benchmark(benchmark, frame, [study])
    assert " --selection proxy " in command.text and " --winner top-3" in command.text
    assert "--inner" not in command.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "oracle"}, "goes with rules that choose, got --selection oracle"),
        ({"n_trials": 2}, "top-3 needs at least as many --trials, got 2"),
        ({"seeds": (1000,)}, "an ensemble's seed must be at most 999, got 1000"),
    ],
)
def test_what_cannot_win_is_refused(
    spec: SweepSpec, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(replace(spec, **changes))


def test_unlike_members_need_held_out_scores() -> None:
    scores = np.zeros((2, 3))
    with pytest.raises(ConfigError, match="needs at least 2 validation samples, got 1"):
        ensemble.combine_unlike(scores, [np.zeros(5), np.zeros(1)])
