"""Fixtures for all tests: one torch thread, a small benchmark on the embedded digits."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import resource
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.store.files import AnyPath, open_root

settings.register_profile("fast", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("fast")


class OneCluster(LoadFileScheduling):  # type: ignore[misc]
    """Gives a process whole files, and all that use ``ray_cluster`` to the same one: each process
    starts a cluster of its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "ray" if uses_ray(file) else file


@functools.cache
def uses_ray(file: str) -> bool:
    return "ray_cluster" in (Path(__file__).parents[1] / file).read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneCluster | None:
    return OneCluster(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through all tests and libraries again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in the user's environment is not to receive what tests do."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without experiments, to be copied: making one takes seconds. All
    processes of a test run have the same.
    """
    from omasgan.tracking.client import Mlflow

    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(folder / "new.lock"):
        if not (folder / "new.done").exists():
            Mlflow.open(f"sqlite:///{folder / 'new.db'}", folder)
            (folder / "new.done").touch()
    return folder / "new.db"


@pytest.fixture
def mlflow_database(new_database: Path, tmp_path: Path) -> Path:
    """MLflow's database, in ``tmp_path`` where a store's own lies."""
    return shutil.copy(new_database, tmp_path / "mlflow.db")


@pytest.fixture(scope="session")
def small_spec() -> BenchmarkSpec:
    """Two folds of digits with 100 training and 60 test samples each."""
    return load_benchmark("digits-loo", max_folds=2, max_train=100, max_test=60)


@pytest.fixture(scope="session")
def small_dataset(small_spec: BenchmarkSpec) -> Dataset:
    return protocols.load_data(small_spec, root=None, download=False)


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The URI of a bucket on a real S3 server, which the environment points to."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        root = open_root("s3://results")
        assert not isinstance(root, Path)
        root.fs.mkdir("results")
        yield "s3://results"
    server.stop()


@pytest.fixture
def remote(bucket: str) -> AnyPath:
    """A place of its own on the S3 server."""
    return open_root(f"{bucket}/{uuid.uuid4().hex}/out")


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> AnyPath:
    """An empty place for files, on each kind of storage."""
    if request.param == "folder":
        return tmp_path
    found: AnyPath = request.getfixturevalue("remote")
    return found


@dataclass(frozen=True)
class SmallDisk:
    """A folder on a disk that has no room for a file of 1 MiB while ``full`` is entered."""

    path: Path
    full: Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["limit", "tmpfs"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 1 MiB where one may be mounted, and a limit on the length of files."""
    if request.param == "limit":
        yield SmallDisk(tmp_path, _short_files)
        return
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place]).returncode:
        pytest.skip("nothing can be mounted here")
    yield SmallDisk(place, lambda: _filled(place))
    subprocess.run(["umount", place], check=True)


@contextlib.contextmanager
def _short_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def _filled(place: Path) -> Iterator[None]:
    with (place / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    (place / "filler").unlink()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One cluster for all tests; it claims 8 CPUs and 2 GPUs, which the machine need not have."""
    from omasgan.backends.ray.backend import RayBackend

    with pytest.MonkeyPatch.context() as patch:
        # Ray's workers make way for others: they would starve beside the tests that only compute.
        patch.setenv("RAY_worker_niceness", "0")
        backend = RayBackend(num_cpus=8, num_gpus=2)
    yield
    backend.close()
