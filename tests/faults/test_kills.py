"""SIGKILL at random moments, and connections that stall, on a cluster of two nodes with MLflow and
copies of the studies on PostgreSQL. A round is one fault.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import SEEDS, SPACE, Rounds, Sweep, Table
from tests.faults.processes import kill, wait_for
from tests.faults.proxy import Proxy
from tests.faults.servers import Cluster, Services

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

LONG = SPACE.replace("0.15", "0.8")
"""For faults that last seconds."""


@pytest.fixture(scope="session")
def sizes() -> Iterator[int]:
    """Training samples: on the same servers each sweep must be another study."""
    return itertools.count(80)


@pytest.fixture
def run(
    cluster: Cluster, services: Services, table: Table, sizes: Iterator[int], tmp_path: Path
) -> Iterator[Callable[..., None]]:
    """Carries one sweep through a number of rounds, then looks at all that it leaves behind."""
    sweeps: list[Sweep] = []

    def carry(
        fault: str,
        number: int,
        n: int,
        inflict: Callable[[Sweep, Rounds], None],
        **options: object,
    ) -> None:
        defaults: dict[str, Any] = {
            "max_train": next(sizes),
            "options": ("--address", cluster.address, "--storage", services.storage),
            "environment": cluster.environment | services.environment,
        }
        one = Sweep(tmp_path / "sweep", **(defaults | options))
        sweeps.append(one)
        rounds = Rounds(fault, number, n, one.n_trials)
        one.start()
        for after, pause in rounds:
            one.wait_until(after)
            time.sleep(pause)
            one.note(f"{fault}, sweep {number}: after {after} endings and {pause:.2f} s")
            inflict(one, rounds)
        assert one.driver is not None
        missed_the_end = one.driver.poll() is not None
        one.finish()
        wait_for("the end of the job's workers", lambda: not cluster.workers(), 30)
        if missed_the_end:
            one.report("--sync-mlflow", "--tracking-uri", services.tracking)
        table.check(fault, one, n, storage=services.storage, tracking=services.tracking)

    yield carry
    for one in sweeps:
        one.close()


@pytest.mark.parametrize("number", range(2))
def test_workers(number: int, run: Callable[..., None], cluster: Cluster) -> None:
    def inflict(one: Sweep, rounds: Rounds) -> None:
        kill([rounds.choose(wait_for("a worker", cluster.trainers))])

    run("worker", number, 4, inflict)


@pytest.mark.parametrize("number", range(3))
def test_nodes(number: int, run: Callable[..., None], cluster: Cluster) -> None:
    def inflict(one: Sweep, rounds: Rounds) -> None:
        cluster.kill_node()
        time.sleep(2 * rounds.uniform())
        cluster.add_node()

    run("raylet", number, 2, inflict, space=LONG)


@pytest.mark.parametrize("number", range(2))
def test_drivers(number: int, run: Callable[..., None]) -> None:
    def inflict(one: Sweep, rounds: Rounds) -> None:
        one.close()
        one.start()

    run("driver", number, 3, inflict)


@pytest.mark.parametrize("number", range(2))
def test_the_mlflow_server(number: int, run: Callable[..., None], services: Services) -> None:
    def inflict(one: Sweep, rounds: Rounds) -> None:
        services.kill("mlflow")
        time.sleep(3 * rounds.uniform())
        services.restart("mlflow")

    run("MLflow server", number, 2, inflict, space=LONG)


@pytest.mark.parametrize("number", range(2))
def test_postgresql(number: int, run: Callable[..., None], services: Services) -> None:
    def inflict(one: Sweep, rounds: Rounds) -> None:
        services.kill("postgres")
        time.sleep(5 * rounds.uniform())
        services.restart("postgres")

    run("PostgreSQL", number, 2, inflict, space=LONG)


def test_postgresql_is_away_at_the_end(run: Callable[..., None], services: Services) -> None:
    """The search and the final runs end without it; the driver waits to send what it missed."""

    def inflict(one: Sweep, rounds: Rounds) -> None:
        services.kill("postgres")
        wait_for("all endings", lambda: one.ended == one.n_trials + SEEDS, 120)
        time.sleep(5)
        assert one.driver is not None and one.driver.poll() is None
        services.restart("postgres")

    run("PostgreSQL at the end", 0, 1, inflict)


@pytest.mark.parametrize("number", range(2))
def test_a_stalled_connection(
    number: int, run: Callable[..., None], cluster: Cluster, services: Services
) -> None:
    proxy = Proxy(services.mlflow_port)

    def inflict(one: Sweep, rounds: Rounds) -> None:
        with proxy.stalled(*rounds.choose([("there",), ("back",), ("there", "back")])):
            time.sleep(4 + 4 * rounds.uniform())

    environment = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    }
    try:
        run(
            "stalled connection", number, 2, inflict,
            space=LONG, environment=cluster.environment | services.environment | environment,
        )  # fmt: skip
    finally:
        proxy.close()
