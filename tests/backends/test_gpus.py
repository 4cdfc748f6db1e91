"""Trainings on GPUs that this machine need not have: Ray counts them, or ``torch.cuda`` is made
up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from omasgan.backends import shares
from omasgan.backends.local import LocalBackend
from omasgan.backends.ray import worker
from omasgan.backends.ray.backend import RayBackend
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.errors import BackendError
from omasgan.progress import Event
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.search import Search
from omasgan.study.space import Space
from omasgan.training import probe
from omasgan.training.jobs import RunJob, TrialJob
from omasgan.training.trials import Ending

FULL = "CUDA error: out of memory"
ILLEGAL = "CUDA error: an illegal memory access was encountered"


def ignore(event: Event) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def data(small_spec: BenchmarkSpec, small_dataset: Dataset) -> selection.TrialData:
    (study,) = selection.studies("proxy", small_spec, small_dataset, [0])
    return study.data


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_cluster")
def test_four_runs_on_two_gpus_each_have_a_process_that_sees_one(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    params = {"place": str(place), "n": 1, "lr": 0.01}
    jobs = [
        RunJob(0, "tests.toy:MeetingDetector", params, seed, "fixed", Store(tmp_path))
        for seed in range(4)
    ]
    rows = RayBackend(gpus_per_trial=1).runs(jobs, small_spec, small_dataset, ignore)
    assert [row["outcome"] for row in rows] == ["ok"] * 4
    seen = [json.loads(path.read_text()) for path in place.iterdir()]
    assert len({note["pid"] for note in seen}) == 4
    assert {note["gpu"] for note in seen} == {"0", "1"}


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU in use of which every call fails."""

    def fail(device: str) -> None:
        raise RuntimeError(ILLEGAL)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", fail)


@pytest.mark.usefixtures("lost")
def test_a_lost_gpu_ends_the_local_backend_and_no_other_trial_pays_for_it(
    data: selection.TrialData, tmp_path: Path
) -> None:
    guide = Guide(Space.from_dict({"lr": {"low": 0.01, "high": 0.1}}), tmp_path)
    search = Search(guide, data, 3, "tests.toy:CurveDetector", tmp_path)
    with pytest.raises(BackendError, match=f"any more: {ILLEGAL}; the same command goes on"):
        LocalBackend().search([search], ignore)
    assert len(guide.finished()) == 1


@pytest.mark.usefixtures("lost")
def test_a_lost_gpu_ends_the_local_backend_and_no_other_run_pays_for_it(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    jobs = [
        RunJob(0, "tests.toy:FailingDetector", {"lr": 1.0}, seed, "fixed", store)
        for seed in range(3)
    ]
    with pytest.raises(BackendError, match=ILLEGAL):
        LocalBackend().runs(jobs, small_spec, small_dataset, ignore)
    assert [row["outcome"] for row in store.results()] == ["failed"]


def test_a_process_that_is_reused_gets_the_share_that_it_has_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 40_000 * 2**20))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", parts.append)
    for gpus in (0.25, 1.0, 0.0, 2.0):
        shares.keep_to_share(gpus)
    assert parts == [shares.for_tensors(0.25, 40_000), 1.0, 1.0]


def test_what_does_not_fit_in_any_words_needs_a_whole_gpu(
    data: selection.TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> float:
        raise RuntimeError(FULL)

    monkeypatch.setattr(probe, "gpu_memory_mb", full)
    needed, has = worker.measure_configurations("vae", [{}], data.pool, "auto")
    assert needed == has == shares.UNKNOWN_GPU_MB
    monkeypatch.setattr(probe, "gpu_memory_mb", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.measure_configurations("vae", [{}], data.pool, "auto")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without room for a context."""

    def fail(gpus: float) -> None:
        raise RuntimeError(FULL)

    monkeypatch.setattr(shares, "keep_to_share", fail)


@pytest.mark.usefixtures("full")
def test_a_run_that_finds_its_gpu_full_is_out_of_memory(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    job = RunJob(
        0, "tests.toy:CurveDetector", {"lr": 0.01}, 0, "fixed", store, about={"gpus": 0.25}
    )
    row = worker.train_run(job, small_spec, "token", small_dataset)
    assert (row["outcome"], row["error"], row["device"]) == ("out-of-memory", FULL, "cuda")
    assert store.results() == [row]
    assert not worker.begun_mark(job, small_spec).exists()


@pytest.mark.usefixtures("full")
def test_a_trial_that_finds_its_gpu_full_is_out_of_memory(data: selection.TrialData) -> None:
    payload = worker.TrialPayload(prune_collapsed=False, threads=1, data=data)
    config = {"job": TrialJob("tests.toy:CurveDetector", {"lr": 0.01}), "gpus": 0.25}
    assert list(worker.trial_rows(config, payload)) == [Ending("out-of-memory", error=FULL)]


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        ("auto", 0.5, True),
        ("auto", 0, False),
        ("cuda:1", 0, True),
        ("cpu", 1, False),
    ],
)
def test_which_trainings_use_a_gpu(device: str, gpus: float, expected: bool) -> None:
    assert shares.uses_gpu(device, gpus) == expected
