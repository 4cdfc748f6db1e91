"""What only Ray does: shares, workers that die, clusters that are elsewhere."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omasgan.backends import shares
from omasgan.backends.local import LocalBackend
from omasgan.backends.ray.attempts import STALLED
from omasgan.backends.ray.backend import RayBackend
from omasgan.backends.ray.cluster import check_address
from omasgan.backends.ray.worker import PREDICTED
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.errors import BackendError
from omasgan.progress import Event, Note, study_name
from omasgan.store.journal import read_rows
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.search import Search
from omasgan.study.space import Space
from omasgan.study.trial_log import EPOCHS
from omasgan.training.jobs import RunJob
from tests.faults.processes import descendants, listening, running
from tests.toy import HURRY

pytestmark = pytest.mark.timeout(300)

HANGS = 12.0
"""Seconds after which a process hangs: more than its imports take on a busy machine."""


def searching(
    folder: Path,
    detector: str,
    space: dict[str, Any],
    data: selection.TrialData,
    n_trials: int,
    **options: Any,
) -> Search:
    guide = Guide(Space.from_dict(space), folder, **options)
    name = detector if ":" in detector else f"tests.toy:{detector}"
    return Search(guide, data, n_trials, name, folder)


def meeting(
    folder: Path, data: selection.TrialData, n_trials: int, n: int, name: str = "study"
) -> Search:
    """A search whose trials wait in ``folder`` until ``n`` are there."""
    (folder / "place").mkdir(exist_ok=True)
    space = {"place": str(folder / "place"), "n": n, "lr": {"low": 0.01, "high": 0.1}}
    return searching(folder / name, "MeetingDetector", space, data, n_trials)


def notes_in(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def notes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "place").iterdir()]


@pytest.fixture(scope="module")
def data(small_spec: BenchmarkSpec, small_dataset: Dataset) -> selection.TrialData:
    (study,) = selection.studies("proxy", small_spec, small_dataset, [0])
    return study.data


@pytest.fixture
def titles() -> Iterator[set[str]]:
    """What this machine's processes are called, looked at again and again while a test runs."""
    seen: set[str] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.5):
            seen.update(process.command for process in running())

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    is_over.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("ray_cluster")
def test_eight_trials_of_a_quarter_run_at_once_on_two_gpus(
    data: selection.TrialData, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = RayBackend(gpus_per_trial=0.25)
    assert backend.capacity == 8
    # Two studies share the eight places between them.
    searches = [meeting(tmp_path, data, 4, n=8, name=name) for name in "ab"]
    backend.search(searches, lambda event: None)
    for one in searches:
        assert [trial.outcome for trial in one.guide.finished()] == ["ok"] * 4
    seen = notes(tmp_path)
    assert sorted(note["gpu"] for note in seen) == ["0"] * 4 + ["1"] * 4
    assert {note["threads"] for note in seen} == {"1"}
    assert len({note["pid"] for note in seen}) == 8
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


@pytest.mark.usefixtures("ray_cluster")
def test_workers_are_reused(data: selection.TrialData, tmp_path: Path) -> None:
    RayBackend(cpus_per_trial=8).search([meeting(tmp_path, data, 4, n=1)], lambda event: None)
    seen = notes(tmp_path)
    assert len(seen) == 4
    assert len({note["pid"] for note in seen}) == 1
    assert {note["gpu"] for note in seen} <= {"", None}
    assert [note["driver's libraries"] for note in seen] == [[]] * 4


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_that_hangs_is_ended_and_repeated(
    data: selection.TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, titles: set[str]
) -> None:
    space = {"place": str(tmp_path / "hung"), "seconds": 0.01, "lr": {"low": 0.01, "high": 0.1}}
    search, calm = (
        searching(tmp_path / name, "HangingDetector", space, data, 1) for name in ("study", "calm")
    )
    events: list[Event] = []
    RayBackend(cpus_per_trial=8, stall_seconds=HANGS).search([search], events.append)
    (trial,) = search.guide.finished()
    assert (trial.outcome, trial.attempts) == ("ok", 2)
    assert notes_in(events) == [f"trial 0 is repeated: {STALLED}"]
    # It is named while it hangs.
    assert f"ray::trial 0 of {study_name(search.folder)}" in titles
    # It comes to the same as one that did not hang.
    monkeypatch.setenv(HURRY, "1")
    LocalBackend().search([calm], events.append)
    (other,) = calm.guide.finished()
    assert (trial.params, trial.values) == (other.params, other.values)
    assert read_rows(search.workdir(0) / EPOCHS) == read_rows(calm.workdir(0) / EPOCHS)


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_that_hangs_is_ended_and_repeated(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path, titles: set[str]
) -> None:
    params = {"lr": 0.01, "place": str(tmp_path / "hung")}
    job = RunJob(0, "tests.toy:HangingDetector", params, 0, "fixed", Store(tmp_path))
    backend = RayBackend(cpus_per_trial=8, stall_seconds=HANGS)
    events: list[Event] = []
    (row,) = backend.runs([job], small_spec, small_dataset, events.append)
    assert (row["outcome"], (tmp_path / "hung").exists()) == ("ok", True)
    run = "run of tests.toy:HangingDetector, fold 0, seed 0"
    assert notes_in(events) == [f"{run} is repeated: {STALLED}"]
    assert f"ray::{run}" in titles


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_what_stalls_again_and_again_is_given_up_and_says_why(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    params = {"lr": 0.01, "seconds": 1e6}
    job = RunJob(0, "tests.toy:SlowDetector", params, 0, "fixed", Store(tmp_path))
    backend = RayBackend(cpus_per_trial=8, stall_seconds=0.1)
    (row,) = backend.runs([job], small_spec, small_dataset, lambda event: None)
    assert (row["outcome"], row["error"]) == ("failed", STALLED)
    assert (row["device"], row["device_class"]) == ("cpu", "cpu")


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_that_is_started_here_listens_on_loopback_only() -> None:
    addresses = listening([os.getpid(), *(process.pid for process in descendants(os.getpid()))])
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_that_is_started_here_has_no_process_that_nobody_needs() -> None:
    commands = [process.command for process in descendants(os.getpid())]
    assert any("raylet" in command for command in commands)
    for file in ("dashboard/dashboard.py", "autoscaler/_private/monitor.py", "log_monitor.py"):
        assert not any(file in command for command in commands), file


HUNGRY_DETECTOR = "tests.toy_network:HungryDetector"
HUNGRY = {"train_steps": 40, "width": 8, "lr": {"choices": [1e-3, 0.11]}}


@pytest.mark.usefixtures("ray_cluster")
def test_a_measured_share_grows_once_for_a_trial_that_ran_out_of_memory(
    data: selection.TrialData, tmp_path: Path
) -> None:
    replay = [{**HUNGRY, "lr": lr} for lr in (1e-3, 0.11)]
    search = searching(tmp_path, HUNGRY_DETECTOR, HUNGRY, data, 2, replay=replay)
    events: list[Event] = []
    RayBackend(gpus_per_trial="auto").search([search], events.append)
    trials = search.guide.finished()
    needed = trials[0].ending.predicted_gpu_memory_mb
    share = shares.share_for(needed, shares.UNKNOWN_GPU_MB)
    assert [(t.outcome, t.attempts, t.ending.gpus) for t in trials] == [
        ("ok", 1, share),
        ("out-of-memory", 2, shares.larger(share)),
    ]
    assert 100 < needed < 5_000
    cause = f"it ran out of memory, and gets {shares.larger(share):g} of a GPU"
    assert notes_in(events) == [f"trial 1 is repeated: {cause}"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_gets_the_share_that_its_params_need(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    params = {"train_steps": 40, "width": 8, "lr": 0.11}
    job = RunJob(0, HUNGRY_DETECTOR, params, 0, "fixed", Store(tmp_path))
    backend = RayBackend(gpus_per_trial="auto")
    events: list[Event] = []
    (hungry,) = backend.runs([job], small_spec, small_dataset, events.append)
    assert hungry["outcome"] == "out-of-memory"
    first = shares.share_for(hungry[PREDICTED], shares.UNKNOWN_GPU_MB)
    assert hungry["gpus"] == shares.larger(first)
    cause = f"it ran out of memory, and gets {hungry['gpus']:g} of a GPU"
    run = f"run of {HUNGRY_DETECTOR}, fold 0, seed 0"
    assert notes_in(events) == [f"{run} is repeated: {cause}"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_without_networks_takes_no_share(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    job = RunJob(0, "knn", {}, 0, "fixed", Store(tmp_path))
    backend = RayBackend(gpus_per_trial="auto")
    (row,) = backend.runs([job], small_spec, small_dataset, lambda event: None)
    assert row["outcome"] == "ok"
    assert row["gpus"] == row[PREDICTED] == 0


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(BackendError, match="1 CPUs and 3 GPUs fits on no node"):
        RayBackend(gpus_per_trial=3)
    # Nodes may be about to be started.
    assert RayBackend(gpus_per_trial=3, at_once=5).capacity == 5


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "cannot reach a Ray cluster at '127.0.0.1:1': .*refused; is it running"),
        ("no-such-host.invalid:6379", "cannot reach a Ray cluster at 'no-such-host"),
        ("ray://127.0.0.1:10001", "address must be 'auto' or host:port"),
        ("somewhere", "address must be 'auto' or host:port"),
        ("127.0.0.1:99999", "cannot reach a Ray cluster"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_told_in_one_line(address: str, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(BackendError, match=message) as caught:
        check_address(address)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 10


@pytest.mark.usefixtures("ray_cluster")
def test_a_process_that_failed_on_a_gpu_is_not_reused(
    data: selection.TrialData, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    space = {"lr": {"choices": [1.0, 0.01]}}
    search = searching(tmp_path, "FailingDetector", space, data, 3, sampler="RandomSampler")
    RayBackend(cpus_per_trial=8, gpus_per_trial=1).search([search], lambda event: None)
    trials = search.guide.finished()
    assert {t.params["lr"]: t.outcome for t in trials} == {1.0: "failed", 0.01: "ok"}
    assert {t.error for t in trials} == {None, "ValueError: a bug at lr 1.0"}
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
