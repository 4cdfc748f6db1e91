"""Trials that share stages: what another has trained, bit for bit, and safe whatever is killed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TrialData
from omasgan.store.files import AnyPath, find
from omasgan.training.evaluate import run_trial
from omasgan.training.jobs import TrialJob
from omasgan.training.stages import StageCache
from omasgan.training.trials import Ending, EpochRow, TrialRow, ValueRow
from tests.damage import HARM
from tests.training.test_evaluate import ALWAYS

SIZES = ("width", "detector_width", "latent_dim", "batch_size", "detector_batch", "boundary_batch")
STEPS = ("gan_steps", "boundary_steps", "retrain_steps", "detector_steps")
FIRST: dict[str, Any] = dict.fromkeys(SIZES, 8) | dict.fromkeys(STEPS, 4)
FIRST |= {"epoch_steps": 2, "boundary_reference": 16, "neighbours": 50}
SECOND = FIRST | {"detector_lr": 1e-3, "zeta": 0.9, "detector_steps": 6}


@pytest.fixture(scope="module")
def data(small_spec: BenchmarkSpec, small_dataset: Dataset) -> TrialData:
    """Two tasks of fold 0."""
    (study,) = selection.studies("nested", small_spec, small_dataset, [0], inner=2)
    return study.data


def job(params: dict[str, Any], cache: StageCache | None, workdir: AnyPath | None) -> TrialJob:
    return TrialJob("omasgan", params, "cpu", workdir, ("j", "combined"), cache=cache)


def cache_in(root: AnyPath) -> StageCache:
    return StageCache(root / "stages", ("retrain",), "0000-")


def said(rows: Iterator[TrialRow]) -> list[TrialRow]:
    """The rows of a trial without what they say of time and memory."""
    plain: list[TrialRow] = []
    for row in rows:
        if isinstance(row, Ending):
            row = Ending(row.outcome, row.objective, row.error, row.stage)
        plain.append(replace(row, cached_seconds=None) if isinstance(row, ValueRow) else row)
    return plain


@pytest.fixture(scope="module")
def alone(data: TrialData) -> list[TrialRow]:
    """What the second trial says where it shares nothing."""
    rows = list(run_trial(job(SECOND, None, None), data))
    assert sum(isinstance(row, EpochRow) for row in rows) == 2 * (6 + 3)
    assert {row.cached_seconds for row in rows if isinstance(row, ValueRow)} == {None}
    return said(iter(rows))


@pytest.fixture(scope="module")
def states(data: TrialData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the first trial has left its states."""
    root = tmp_path_factory.mktemp("first")
    assert len(list(run_trial(job(FIRST, cache_in(root), None), data))) > 0
    return root / "stages"


@pytest.fixture
def left(states: Path, tmp_path: Path) -> None:
    """A copy of them for one test."""
    shutil.copytree(states, tmp_path / "stages")


def test_a_shared_beginning_changes_nothing_but_the_time(
    data: TrialData, alone: list[TrialRow], root: AnyPath
) -> None:
    cache = cache_in(root)
    saved = []
    for params in (FIRST, SECOND):
        rows = list(run_trial(job(params, cache, root / "trial"), data))
        saved.append([row.cached_seconds for row in rows if isinstance(row, ValueRow)])
    assert said(iter(rows)) == alone
    assert saved[0] == [0.0, 0.0]
    assert all(seconds and seconds > 0 for seconds in saved[1])
    names = [path.name for path in find(root, "stages/*")]
    assert [name[:5] for name in names] == ["0000-", "0000-"], "one for each task"


@pytest.mark.usefixtures("left")
def test_a_damaged_state_is_trained_anew(
    data: TrialData, alone: list[TrialRow], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (tmp_path / "stages").iterdir():
        path.write_bytes(HARM["one bit"](path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert said(run_trial(job(SECOND, cache_in(tmp_path), None), data)) == alone
    assert caplog.text.count("phase 'retrain' is trained anew") == 2


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("n_rows", [4, 7, 10])
def test_a_trial_that_is_killed_while_it_shares_goes_on(
    data: TrialData, alone: list[TrialRow], tmp_path: Path, n_rows: int
) -> None:
    """No epoch is missing and none there twice, wherever it is cut: also among those that were
    replayed.
    """
    always = replace(job(SECOND, cache_in(tmp_path), tmp_path / "trial"), checkpoints=ALWAYS)
    killed = run_trial(always, data)
    before = [next(killed) for _ in range(n_rows)]
    values = {row.step: row.values for row in before if isinstance(row, ValueRow)}
    after = said(run_trial(replace(always, values=values), data))
    first = next((row.step, row.epoch) for row in after if isinstance(row, EpochRow))
    kept = [r for r in said(iter(before)) if type(r) is not EpochRow or (r.step, r.epoch) < first]
    assert kept + after == alone


@pytest.mark.usefixtures("left")
def test_no_checkpoint_is_due_during_a_replay(data: TrialData, tmp_path: Path) -> None:
    always = replace(job(SECOND, cache_in(tmp_path), tmp_path / "trial"), checkpoints=ALWAYS)
    rows = run_trial(always, data)
    for _ in range(6):
        next(rows)
        assert find(tmp_path, "trial/*") == []
    next(rows), next(rows)
    assert len(find(tmp_path, "trial/*")) == 1
