"""Sweeps whose trials share stages: the same trials and winners, trained in less time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError, StoreError
from omasgan.experiments.sweep import SweepResult, SweepSpec, check, sweep
from omasgan.progress import Event, TrialEnded
from omasgan.store.files import find
from omasgan.store.results import Store
from omasgan.study.record import read_trials
from omasgan.study.space import Space
from omasgan.training.trials import Trial
from tests.training.test_shared_trials import FIRST

SPACE = Space.from_dict(
    FIRST
    | {
        "gan_steps": {"low": 2, "high": 8, "step": 2},
        "detector_lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "score": {"choices": ["j", "combined"]},
    }
)


@pytest.fixture
def spec(small_spec: BenchmarkSpec) -> SweepSpec:
    return SweepSpec(
        benchmark=small_spec,
        detector="omasgan",
        space=SPACE,
        rule="nested",
        n_trials=5,
        folds=(0,),
        inner=1,
        seeds=(0,),
        device="cpu",
        sampler="RandomSampler",
        share_stages=3,
    )


def carried_out(spec: SweepSpec, folder: Path, dataset: Dataset) -> SweepResult:
    return sweep([spec], Store(folder), LocalBackend(), dataset)


def study(folder: Path) -> Path:
    (path,) = Store(folder).studies()
    assert isinstance(path, Path)
    return path


def trials(folder: Path) -> list[Trial]:
    return read_trials(study(folder), SPACE)


def saved(trial: Trial) -> float | None:
    assert trial.ending is not None
    return trial.ending.cached_seconds


def test_trials_that_share_are_those_that_do_not(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    """Bit for bit: objectives, winner and its final run."""
    shared = carried_out(spec, tmp_path / "shared", small_dataset)
    apart = replace(spec, share_stages=None, replay=study(tmp_path / "shared"))
    alone = carried_out(apart, tmp_path / "apart", small_dataset)
    ended = trials(tmp_path / "shared"), trials(tmp_path / "apart")
    assert [t.group for t in ended[0]] == [0, 0, 0, 1, 1]
    assert [bool(saved(trial)) for trial in ended[0]] == [False, True, True, False, True]
    assert [(trial.group, saved(trial)) for trial in ended[1]] == [(None, None)] * 5
    assert [(t.params, t.values, t.objective) for t in ended[0]] == [
        (t.params, t.values, t.objective) for t in ended[1]
    ]
    assert shared.winners == alone.winners
    assert [row["scores_sha256"] for row in shared.rows] == [
        row["scores_sha256"] for row in alone.rows
    ]
    assert "cached_seconds" not in shared.rows[0]
    assert find(tmp_path, "**/stages/*") == []


def test_a_sweep_that_was_killed_goes_on_with_its_groups(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    carried_out(spec, tmp_path / "whole", small_dataset)

    def kill(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.done == 2:
            raise KeyboardInterrupt

    killed = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        sweep([spec], Store(killed), LocalBackend(), small_dataset, on_event=kill)
    (state,) = find(study(killed), "stages/*")
    assert state.name.startswith("0000-")
    for left in ("0009-of-a-lost-record.safetensors", ".of-a-killed-writer.tmp"):
        (study(killed) / "stages" / left).touch()
    carried_out(spec, killed, small_dataset)
    whole, again = trials(tmp_path / "whole"), trials(killed)
    assert [(t.group, t.params, t.objective) for t in again] == [
        (t.group, t.params, t.objective) for t in whole
    ]
    assert saved(again[2])
    assert find(tmp_path, "**/stages/*") == []


def test_another_way_to_share_is_another_study(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, n_trials=1)
    carried_out(spec, tmp_path, small_dataset)
    for other in ({"share_stages": 2}, {"share_until": "gan"}, {"share_stages": None}):
        with pytest.raises(StoreError, match="another one: share_stages"):
            carried_out(replace(spec, **other), tmp_path, small_dataset)


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"sampler": "QMCSampler"}, "QMCSampler draws all params of a trial or none"),
        ({"detector": "vae", "space": Space.from_dict({"lr": 0.1})}, "vae cannot share stages"),
        ({"share_until": "retrian"}, "unknown phase to share until 'retrian'.*retrain"),
        ({"share_stages": 1}, "at least 2, got 1"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_any_work(
    spec: SweepSpec, other: dict[str, object], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        check(replace(spec, **other))  # type: ignore[arg-type]
