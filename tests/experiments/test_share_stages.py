"""Sweeps whose trials share stages: the same trials and winners, trained in less time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.detectors.base import Beginning
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import NonNegative, Positive
from omasgan.errors import ConfigError, StoreError
from omasgan.experiments.sweep import SweepResult, SweepSpec, check, sweep
from omasgan.progress import Event, TrialEnded
from omasgan.store.files import find
from omasgan.store.results import Store
from omasgan.study.record import read_trials
from omasgan.study.space import Space
from omasgan.training.trials import Trial
from tests.toy import CurveDetector

NAME = f"{__name__}:TwoPhases"
SPACE = Space.from_dict(
    {"lr": {"choices": [1e-5, 1e-4, 1e-3, 1e-2]}, "blur": {"low": 0.0, "high": 1.0}}
)


@dataclass(kw_only=True, eq=False, repr=False)
class TwoPhases(CurveDetector):
    """Learns all but its last epoch by ``lr`` alone, and then adds ``blur`` to its scores."""

    lr: Annotated[Positive, Phase("first")] = 0.01
    blur: Annotated[NonNegative, Phase("last")] = 0.0

    def beginnings(self) -> list[Beginning]:
        params = {"lr": self.lr, "epochs": self.epochs, "collapse": self.collapse}
        return [Beginning("first", self.epochs - 1, params)]

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        noise = np.random.RandomState(1).uniform(0, self.blur, len(X))
        return {"score": (super().stage_scores(X)["score"] + noise).astype(np.float32)}


@pytest.fixture
def spec(small_spec: BenchmarkSpec) -> SweepSpec:
    return SweepSpec(
        benchmark=small_spec,
        detector=NAME,
        space=SPACE,
        rule="nested",
        n_trials=10,
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


def assert_each_beginning_is_trained_once(trials: list[Trial]) -> None:
    """By the first trial of each group; some have others."""
    by_group = defaultdict(list)
    for trial in trials:
        by_group[trial.group].append(bool(saved(trial)))
    assert all(flags == [False] + [True] * len(flags[1:]) for flags in by_group.values())
    assert 1 < max(map(len, by_group.values())) <= 3


def test_trials_that_share_are_those_that_do_not(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    """Bit for bit: objectives, winner and its final run."""
    shared = carried_out(spec, tmp_path / "shared", small_dataset)
    apart = replace(spec, share_stages=None, replay=study(tmp_path / "shared"))
    alone = carried_out(apart, tmp_path / "apart", small_dataset)
    ended = trials(tmp_path / "shared"), trials(tmp_path / "apart")
    assert_each_beginning_is_trained_once(ended[0])
    assert {(trial.group, saved(trial)) for trial in ended[1]} == {(None, None)}
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
        if isinstance(event, TrialEnded) and find(event.study, "stages/*"):
            raise KeyboardInterrupt

    killed = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        sweep([spec], Store(killed), LocalBackend(), small_dataset, on_event=kill)
    (state,) = find(study(killed), "stages/*")
    n_ended = len(trials(killed))
    assert state.name.startswith(f"{n_ended - 1:04d}-"), "all before have a trial each"
    for left in ("0009-of-a-lost-record.safetensors", ".of-a-killed-writer.tmp"):
        (study(killed) / "stages" / left).touch()
    carried_out(spec, killed, small_dataset)
    whole, again = trials(tmp_path / "whole"), trials(killed)
    assert [(t.group, t.params, t.objective) for t in again] == [
        (t.group, t.params, t.objective) for t in whole
    ]
    assert saved(again[n_ended]), "it went on from what the killed driver had left"
    assert find(tmp_path, "**/stages/*") == []


def test_another_way_to_share_is_another_study(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, n_trials=1)
    carried_out(spec, tmp_path, small_dataset)
    for other in ({"share_stages": 2}, {"share_stages": None}):
        with pytest.raises(StoreError, match="another one: share_stages"):
            carried_out(replace(spec, **other), tmp_path, small_dataset)


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"sampler": "QMCSampler"}, "QMCSampler draws all params of a trial or none"),
        ({"detector": "vae", "space": Space.from_dict({"lr": 0.1})}, "vae cannot share stages"),
        ({"share_until": "frist"}, "unknown phase to share until 'frist'.*first"),
        ({"share_stages": 1}, "at least 2, got 1"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_any_work(
    spec: SweepSpec, other: dict[str, object], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        check(replace(spec, **other))  # type: ignore[arg-type]
