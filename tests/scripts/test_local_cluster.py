"""The local cluster is real: nodes join, die, are added, and leave nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.scripts.shell import call, exports, listening_elsewhere

PORT = 6470

NODES_OF_TASKS = """
import time, ray
ray.init("auto", log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=1, num_gpus=0.5)
def node():
    time.sleep(5)
    return ray.get_runtime_context().get_node_id()

names = {node["NodeID"]: node["NodeName"] for node in ray.nodes()}
print(*sorted({names[id] for id in ray.get([node.remote() for _ in range(2)])}))
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", 0], r"--nodes must be at least 1, got 0"),
        (["--gpus", -1], r"--gpus must be at least 0, got -1"),
        (["--port", 80], r"--port must be in \[1024, 9900\], got 80"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(
    arguments: list[object], said: str, tmp_path: Path
) -> None:
    done = call("local-cluster", "start", tmp_path / "new", *arguments)
    assert done.returncode == 2
    assert re.fullmatch(f"local-cluster: {said}\n", done.stderr)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("verb", ["env", "status", "add", "stop"])
def test_a_folder_without_a_cluster_is_refused(verb: str, tmp_path: Path) -> None:
    done = call("local-cluster", verb, tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path} has no cluster; start one with: " in done.stderr


def running(folder: Path) -> set[int]:
    """Processes that were started with the cluster's folder in their environment."""
    pids = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"={folder}".encode() in (entry / "environ").read_bytes():
                pids.add(int(entry.name))
        except OSError:
            continue
    return pids


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "cluster"
    done = call("local-cluster", "start", folder, "--gpus", 1, "--port", PORT)
    assert done.returncode == 0, done.stderr
    yield folder
    if (folder / "cluster.json").exists():
        assert call("local-cluster", "stop", folder).returncode == 0


def states(folder: Path) -> list[str]:
    done = call("local-cluster", "status", folder)
    return re.findall(r"^node \d  (\w+)", done.stdout, flags=re.MULTILINE)


def nodes_of_tasks(environment: Mapping[str, str]) -> list[str]:
    # Ray prints above it that it misses a node.
    return drive(environment).stdout.splitlines()[-1].split()


def drive(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NODES_OF_TASKS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nodes_work_die_and_are_added(cluster: Path) -> None:
    assert states(cluster) == ["alive", "alive"]
    environment = os.environ | exports("local-cluster", cluster)
    assert environment["RAY_ADDRESS"] == f"127.0.0.1:{PORT}"
    assert nodes_of_tasks(environment) == ["node-0", "node-1"]

    token = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o777 == 0o600
    stranger = token.with_name("stranger")
    stranger.write_text("0" * 64)
    stranded = drive(environment | {"RAY_AUTH_TOKEN_PATH": str(stranger)})
    assert stranded.returncode != 0
    assert "InvalidAuthToken" in stranded.stderr

    assert call("local-cluster", "kill", cluster, 1).returncode == 0
    assert call("local-cluster", "kill", cluster, 1).returncode == 2
    assert call("local-cluster", "add", cluster).returncode == 0
    assert states(cluster) == ["alive", "dead", "alive"]
    assert nodes_of_tasks(environment) == ["node-0", "node-2"]

    processes = running(cluster)
    assert len(processes) > 5
    assert listening_elsewhere(processes) == []
    assert call("local-cluster", "kill", cluster, 0).returncode == 0
    assert states(cluster) == ["dead", "dead", "dead"]
    refused = call("local-cluster", "add", cluster)
    assert "the head is dead, and with it the cluster" in refused.stderr
    began = time.monotonic()
    assert call("local-cluster", "stop", cluster).returncode == 0
    assert time.monotonic() - began < 15
    assert running(cluster) == set()
    assert not token.exists()
