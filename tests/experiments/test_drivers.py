"""Drivers in processes of their own: one that is killed, one that joins a cluster elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.experiments.sweep import SweepSpec, sweep
from omasgan.report.results.inputs import read_study
from omasgan.store.results import Store
from omasgan.study.space import Space
from tests.toy import CURVE_SPACE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DRIVER = """
import sys
from pathlib import Path
from tests.experiments.test_drivers import sweep_of
from omasgan.backends.ray.backend import RayBackend
from omasgan.config import load_benchmark
from omasgan.data import protocols
from omasgan.experiments.sweep import sweep
from omasgan.store.results import Store

spec = load_benchmark("digits-loo", max_folds=2, max_train=100, max_test=60)
dataset = protocols.load_data(spec, root=None, download=False)
address = sys.argv[2] if len(sys.argv) > 2 else None
backend = RayBackend(address=address, num_cpus=None if address else 1)
sweep([sweep_of(spec)], Store(Path(sys.argv[1])), backend, dataset)
backend.close()
"""


def sweep_of(benchmark: BenchmarkSpec) -> SweepSpec:
    return SweepSpec(
        benchmark=benchmark,
        detector="tests.toy:SlowDetector",
        space=Space.from_dict({**CURVE_SPACE, "seconds": 0.3}),
        rule="proxy",
        n_trials=6,
        folds=(0,),
        sampler="TPESampler(n_startup_trials=2)",
    )


def drive(folder: Path, *address: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    if address:
        environment["RAY_AUTH_MODE"] = "token"
    command = [sys.executable, "-c", DRIVER, str(folder), *address]
    return subprocess.Popen(command, env=environment)


def test_a_sweep_on_ray_goes_on_after_its_driver_was_killed(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store, whole = Store(tmp_path / "killed"), Store(tmp_path / "whole")
    driver = drive(store.root)
    deadline = time.monotonic() + 200
    while sum(len(read_study(folder).ended) for folder in store.studies()) < 3:
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert store.results() == []
    resumed = sweep([sweep_of(small_spec)], store, LocalBackend(), small_dataset)
    uninterrupted = sweep([sweep_of(small_spec)], whole, LocalBackend(), small_dataset)
    assert resumed.winners == uninterrupted.winners
    killed, undisturbed = (read_study(s.studies()[0]).ended for s in (store, whole))
    assert len(killed) == 6
    for one, other in zip(killed, undisturbed, strict=True):
        assert (one.params, one.values, one.outcome) == (other.params, other.values, "ok")
        assert one.objective == other.objective


@pytest.fixture
def head() -> Iterator[str]:
    """The address of a Ray head that another process has started on this machine."""
    # Ray's sockets lie there, and their paths must be short.
    folder = tempfile.mkdtemp(dir="/tmp")
    host = socket.gethostbyname(socket.gethostname())
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += [f"--node-ip-address={host}", "--port=6395", "--num-cpus=1"]
    command += [
        "--include-dashboard=false",
        "--disable-usage-stats",
        f"--temp-dir={folder}",
    ]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, 6395), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    time.sleep(5)
    yield f"{host}:6395"
    os.killpg(process.pid, signal.SIGTERM)
    # A head that is told to end drains for half a minute first.
    process.wait(timeout=60)
    shutil.rmtree(folder)


def test_a_sweep_runs_on_an_existing_cluster(head: str, tmp_path: Path) -> None:
    driver = drive(tmp_path / "out", head)
    assert driver.wait(timeout=200) == 0
    assert {row["outcome"] for row in Store(tmp_path / "out").results()} == {"ok"}
