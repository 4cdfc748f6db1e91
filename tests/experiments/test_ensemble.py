"""Ensembles: what is combined, what is trained, and what the store then holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError
from omasgan.experiments import ensemble
from omasgan.experiments.compare import CompareSpec, check, compare
from omasgan.progress import Event, RunEnded
from omasgan.store.results import RunKey, Store
from omasgan.training.jobs import RunJob

CURVE = "tests.toy:CurveDetector"


def job(folder: Path, size: int, detector: str = CURVE, *, seed: int = 0, **params: Any) -> RunJob:
    return RunJob(0, detector, params, seed, ensemble.rule(size), Store(folder), device="cpu")


def normals(k: int = 3, m: int = 20) -> list[np.ndarray]:
    return list(np.random.default_rng(1).normal(size=(k, m)))


scores = st.integers(2, 5).flatmap(
    lambda k: st.lists(
        st.lists(st.floats(-50, 50), min_size=k, max_size=k), min_size=1, max_size=8
    )
)


@given(scores)
def test_waic_is_the_mean_and_the_variance(of_samples: list[list[float]]) -> None:
    matrix = np.array(of_samples).T
    combined = ensemble.combine(matrix, normals(len(matrix)))
    k = len(matrix)
    for i, values in enumerate(of_samples):
        mean = sum(values) / k
        variance = sum((value - mean) ** 2 for value in values) / k
        assert combined["mean"][i] == pytest.approx(mean, abs=1e-4)
        assert combined["variance"][i] == pytest.approx(variance, abs=1e-3, rel=1e-4)
        assert combined["waic"][i] == pytest.approx(mean + variance, abs=1e-3, rel=1e-4)
    assert np.array_equal(combined["score"], combined["mean"])


def test_members_that_agree_are_as_good_as_one() -> None:
    one = np.linspace(-3, 8, 30)
    combined = ensemble.combine(np.stack([one] * 4), [normals(1)[0]] * 4)
    assert np.all(combined["variance"] == 0)
    assert np.array_equal(combined["waic"], combined["mean"])
    for name in ("mean", "tails"):
        assert np.all(np.diff(combined[name]) > 0), name


@given(scores, st.floats(-20, 20))
def test_a_constant_that_is_added_to_all_scores_shifts_waic_by_it(
    of_samples: list[list[float]], constant: float
) -> None:
    matrix, held_out = np.array(of_samples).T, normals(len(of_samples[0]))
    before = ensemble.combine(matrix, held_out)
    after = ensemble.combine(matrix + constant, [part + constant for part in held_out])
    assert after["waic"] - before["waic"] == pytest.approx(constant, abs=2e-2)
    np.testing.assert_allclose(after["tails"], before["tails"], rtol=1e-3, atol=1e-3)


def test_tails_do_not_depend_on_the_units_of_a_member() -> None:
    matrix, held_out = np.random.default_rng(2).normal(size=(2, 9)), normals(2)
    other = ensemble.combine(matrix * [[1.0], [100.0]], [held_out[0], held_out[1] * 100])
    np.testing.assert_allclose(other["tails"], ensemble.combine(matrix, held_out)["tails"], 1e-5)


def test_without_held_out_samples_there_are_no_tails() -> None:
    assert "tails" not in ensemble.combine(np.zeros((2, 3)), [np.zeros(1), np.zeros(5)])


def test_an_ensemble_is_a_run_with_its_cost_and_its_members_are_none(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    events: list[Event] = []
    (row,) = ensemble.runs(
        [job(tmp_path, 3, "vae", train_steps=3, width=8)],
        3,
        LocalBackend(),
        small_spec,
        small_dataset,
        events.append,
    )
    store, parts = Store(tmp_path), Store(tmp_path / ensemble.MEMBERS)
    assert store.results() == [row]
    members = parts.results()
    assert [member["seed"] for member in members] == [0, 1, 2]
    assert (row["outcome"], row["selection"], row["members"]) == ("ok", "ensemble-3", 3)
    assert row["seconds"] == pytest.approx(sum(member["seconds"] for member in members))
    assert row["peak_memory_mb"] == max(member["peak_memory_mb"] for member in members)
    assert [event.row for event in events if isinstance(event, RunEnded)] == [row]

    frame = store.scores(RunKey.of(row))
    of_members = np.stack([parts.scores(RunKey.of(m))["score"].to_numpy() for m in members])
    np.testing.assert_allclose(frame["score"], of_members.mean(0, dtype=np.float64), rtol=1e-6)
    assert np.ptp(of_members, axis=0).min() > 0, "members with the same seed"
    assert row["auroc"] == pytest.approx(roc_auc_score(frame["label"], frame["score"]))
    assert row["auroc.tails"] == pytest.approx(roc_auc_score(frame["label"], frame["tails"]))


def test_members_that_are_done_are_not_trained_again(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    def trained(size: int) -> list[str]:
        rows = ensemble.runs(
            [job(tmp_path, size)],
            size,
            LocalBackend(),
            small_spec,
            small_dataset,
            lambda event: None,
        )
        assert rows[0]["outcome"] == "ok"
        found = Store(tmp_path / ensemble.MEMBERS).results()
        return [member["finished_at"] + str(member["seconds"]) for member in found]

    two = trained(2)
    four = trained(4)
    assert four[:2] == two
    assert trained(4) == four
    assert [row["selection"] for row in Store(tmp_path).results()] == ["ensemble-2", "ensemble-4"]


def test_a_member_that_diverges_ends_its_ensemble_and_is_named(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    bad = job(tmp_path, 2, "tests.toy:DivergingDetector", lr=1.0)
    (row,) = ensemble.runs([bad], 2, LocalBackend(), small_spec, small_dataset, lambda event: None)
    assert row["outcome"] == "diverged"
    assert row["error"].startswith("the member with seed 0: ")


def test_ensembles_of_neighbouring_seeds_share_no_member(tmp_path: Path) -> None:
    seeds = [
        {part.seed for part in ensemble.members(job(tmp_path, 1000, seed=seed), 1000)}
        for seed in (0, 1)
    ]
    assert not seeds[0] & seeds[1]


def test_seeds_whose_members_would_have_those_of_trials_are_refused() -> None:
    ensemble.check(5, [0, 999])
    with pytest.raises(ConfigError, match="at most 999, got 1000"):
        ensemble.check(5, [3, 1000])


def test_an_ensemble_whose_members_would_be_those_of_another_is_refused() -> None:
    ensemble.check(1000, [0])
    with pytest.raises(ConfigError, match="may have 1000 members, got 1001; take fewer"):
        ensemble.check(1001, [0])


def test_a_comparison_has_the_ensembles_beside_the_detectors(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = CompareSpec(
        small_spec, (CURVE,), {CURVE: {"lr": 0.01}}, folds=(0,), seeds=(0,), ensemble=2
    )
    check(spec)
    rows = compare(spec, Store(tmp_path), LocalBackend(), small_dataset)
    assert [(row["detector"], row["selection"]) for row in rows[-2:]] == [
        (CURVE, "fixed"),
        (CURVE, "ensemble-2"),
    ]
    assert sum(row["selection"] == "ensemble-2" for row in rows) == 1, "yardsticks stand alone"
    with pytest.raises(ConfigError, match="at most 999"):
        check(replace(spec, seeds=(5000,)))
