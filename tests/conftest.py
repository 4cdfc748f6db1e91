"""Fixtures for all tests: one torch thread, a small benchmark on the embedded digits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from omasgan import protocols
from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.datasets import Dataset

settings.register_profile("fast", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("fast")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in the user's environment is not to receive what tests do."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def small_spec() -> BenchmarkSpec:
    """Two folds of digits with 100 training and 60 test samples each."""
    return load_benchmark("digits-loo", max_folds=2, max_train=100, max_test=60)


@pytest.fixture(scope="session")
def small_dataset(small_spec: BenchmarkSpec) -> Dataset:
    return protocols.load_data(small_spec, root=None, download=False)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One cluster for all tests; it claims 8 CPUs and 2 GPUs, which the machine need not have."""
    from omasgan.search.ray_backend import RayBackend

    backend = RayBackend(num_cpus=8, num_gpus=2)
    yield
    backend.close()
