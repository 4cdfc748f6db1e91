"""Fixtures of the fault tests: servers to kill, a disk to fill, the table of what was survived."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.harness import ROOT, Sweep, Table
from tests.faults.servers import Cluster, Services

MakeSweep = Callable[..., Sweep]
TABLE = pytest.StashKey[Table]()
RAY_PORT, POSTGRES_PORT, MLFLOW_PORT = 7390, 7432, 7500


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the table, and keep it, where all faults were asked for."""
    config = terminalreporter.config
    if config.getoption("markexpr") or not config.stash.get(TABLE, Table()).lines:
        return
    text = str(config.stash[TABLE])
    terminalreporter.section("faults")
    terminalreporter.write_line(text)
    file = ROOT / "out" / "faults" / "table.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    return request.config.stash.setdefault(TABLE, Table())


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes for all tests."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), RAY_PORT)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """PostgreSQL and MLflow for all tests; the checks here find the password as a sweep does."""
    # PostgreSQL runs as another user than root, who must be able to enter.
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        Path(name).chmod(0o755)
        services = Services(Path(name) / "services", POSTGRES_PORT, MLFLOW_PORT)
        patch.setenv("PGPASSFILE", services.environment["PGPASSFILE"])
        yield services
        services.stop()


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[MakeSweep]:
    """Makes sweeps whose drivers end with the test."""
    sweeps: list[Sweep] = []

    def make(**options: object) -> Sweep:
        folder = tmp_path / f"sweep-{len(sweeps)}"
        sweeps.append(Sweep(**({"folder": folder} | options)))  # type: ignore[arg-type]
        return sweeps[-1]

    yield make
    for one in sweeps:
        one.close()


class Disk:
    """A file system of its own in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Whoever opens a file there from now on may only read it."""
        # A second mount on top: one with files open for writing cannot be made read-only.
        subprocess.run(["mount", "--bind", self.path, self.path], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", self.path], check=True)
            yield
        finally:
            subprocess.run(["umount", "-l", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "omasgan-faults", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)
