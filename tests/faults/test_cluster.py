"""Single faults on a cluster, and some that take long: hangs, leaks, clocks that jump."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Disk, MakeSweep
from tests.faults.harness import ON_RAY, Sweep, Table, fill
from tests.faults.processes import kill, wait_for
from tests.faults.servers import Cluster

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]


@pytest.fixture
def on_cluster(cluster: Cluster, sweep: MakeSweep) -> Callable[..., Sweep]:
    """Makes sweeps on the cluster, without MLflow."""

    def make(*options: str, **others: object) -> Sweep:
        options = ("--address", cluster.address, "--tracking-uri", "none", *options)
        return sweep(options=options, environment=cluster.environment, **others)

    return make


def test_an_interrupt_on_a_cluster_stops_in_seconds(
    on_cluster: Callable[..., Sweep], cluster: Cluster, table: Table
) -> None:
    one = on_cluster()
    one.start()
    one.wait_until(2)
    one.interrupt()
    wait_for("the end of the job's workers", lambda: not cluster.workers(), 30)
    one.start()
    one.finish()
    table.check("interrupt", one)


def test_a_stopped_worker_is_ended_and_its_trial_repeated(
    on_cluster: Callable[..., Sweep], cluster: Cluster, table: Table
) -> None:
    one = on_cluster("--stall-timeout", "0.1")
    one.start()
    one.wait_until(2)
    stopped = wait_for("a worker", cluster.trainers)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        one.finish()
    finally:
        kill([stopped])
    table.check("worker hangs", one)


def test_a_node_without_the_folder_is_refused_before_work_starts(
    on_cluster: Callable[..., Sweep], cluster: Cluster
) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    one = on_cluster()
    one.out.mkdir()
    hide = f'mount -t tmpfs none {one.out} && exec "$@"'
    cluster.add_node("unshare", "--mount", "sh", "-c", hide, "-")
    try:
        one.start()
        text = one.finish(2)
    finally:
        cluster.kill_node()
    assert f"does not see '{one.out}'" in text and "Traceback" not in text
    assert one.ended == 0 and not list(one.out.glob("**/studies/*"))


def test_a_full_disk_stops_a_sweep_on_ray_and_loses_nothing(
    sweep: MakeSweep, disk: Disk, table: Table
) -> None:
    one = sweep(folder=disk.path / "work", n_trials=6, options=ON_RAY)
    one.start()
    one.wait_until(2)
    fill(disk.path / "ballast")
    text = one.finish(2)
    assert "No space left on device" in text or "disk is full" in text
    assert "Traceback" not in text
    (disk.path / "ballast").unlink()
    assert one.here() == 0
    table.check("full disk", one)


def test_a_clock_that_jumps_changes_nothing(
    sweep: MakeSweep, tmp_path: Path, table: Table
) -> None:
    # Without Ray, whose waits for the kernel's wall clock a preload cannot move.
    library, shift = tmp_path / "clock.so", tmp_path / "shift"
    compile_clock(library)
    shift.write_text("0")
    one = sweep(
        options=("--backend", "local"),
        environment={"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)},
    )
    one.start()
    for after, hours in ((2, 3), (5, -5), (8, 800), (11, 0)):
        one.wait_until(after)
        shift.write_text(str(3600 * hours))
    one.finish()
    for trial in one.trials():
        assert trial.ending is not None and trial.ending.seconds is not None
        assert 0 < trial.ending.seconds < 60
    table.check("clock jumps", one, 4, tracking=f"sqlite:///{one.out / 'mlflow.db'}")


def compile_clock(library: Path) -> None:
    # libfaketime would do, but with the monotonic clock left alone its 0.9.10 breaks time.sleep.
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)


def test_a_trial_that_leaks_memory_is_ended_and_told(sweep: MakeSweep) -> None:
    total, available = (memory_gb(name) for name in ("MemTotal", "MemAvailable"))
    # The sweep itself takes 2 to 3 GB, a trial that leaks stops at 4 GB.
    threshold = (total - available + 4.0) / total
    if threshold > 0.9:
        pytest.skip(f"{available:.0f} GB of memory are too few to leak some")
    one = sweep(
        n_trials=2,
        detector="tests.toy:LeakingDetector",
        space="lr = { choices = [0.01, 0.5] }",
        options=(*ON_RAY, "--sampler", "BruteForceSampler"),
        environment={
            "RAY_memory_usage_threshold": f"{threshold:.4f}",
            "RAY_memory_monitor_refresh_ms": "100",
        },
    )
    one.start()
    one.finish(seconds=280)
    trials = one.trials()
    expected = ["out-of-memory" if trial.params["lr"] > 0.1 else "ok" for trial in trials]
    assert [trial.outcome for trial in trials] == expected
    assert len(set(expected)) == 2


def memory_gb(name: str) -> float:
    """A figure of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1e6
    raise KeyError(name)
