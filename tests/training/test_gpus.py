"""What trainings do to a GPU, on machines that have none: ``torch.cuda`` is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError
from omasgan.store.results import Store
from omasgan.training import environment, evaluate, probe
from omasgan.training.environment import resolve_device
from omasgan.training.jobs import RunJob, TrialJob
from omasgan.training.measuring import MB, Measurement, failure, is_out_of_memory, lost_gpu
from omasgan.training.trials import Ending

ILLEGAL = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be"


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Two GPUs that nothing has used yet; returns what is done to them, none of which a process
    can do without taking memory of one.
    """
    used: list[tuple[str, Any]] = []

    def using(name: str, result: Any) -> None:
        def use(device: Any = None) -> Any:
            used.append((name, device))
            return result

        monkeypatch.setattr(torch.cuda, name, use)

    monkeypatch.setattr(environment, "GPU_FILES", ("/",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    using("reset_peak_memory_stats", None)
    using("max_memory_reserved", 3 * MB)
    using("mem_get_info", (1, 2))
    using("synchronize", None)
    return used


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:1"])
def test_what_computes_without_torch_takes_no_memory_of_a_gpu(
    two_gpus: list[Any],
    device: str,
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
) -> None:
    row = evaluate.run_fold(
        RunJob(0, "knn", {}, 0, "fixed", Store(tmp_path), device), small_spec, small_dataset
    )
    (study,) = selection.studies("proxy", small_spec, small_dataset, [0])
    *_, ending = evaluate.run_trial(TrialJob("knn", {}, device=device), study.data)
    assert isinstance(ending, Ending)
    assert (row["outcome"], ending.outcome) == ("ok", "ok")
    assert "gpu_peak_memory_mb" not in row
    assert ending.gpu_peak_memory_mb is None
    assert probe.gpu_memory_mb("knn", {}, study.data.pool[:50], device=device) == 0
    assert two_gpus == []


def test_the_gpu_that_is_used_is_the_one_that_is_measured(
    two_gpus: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    on_cpu = Measurement()
    on_cpu.on_device("cpu")
    assert "gpu_peak_memory_mb" not in on_cpu.costs()
    assert two_gpus == []
    measurement = Measurement()
    measurement.on_device("cuda:1")
    assert measurement.costs()["gpu_peak_memory_mb"] == 3
    assert two_gpus == [("reset_peak_memory_stats", "cuda:1"), ("max_memory_reserved", "cuda:1")]


def test_gpus_are_counted(two_gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [resolve_device(name) for name in ("auto", "cuda:1", "cpu")] == [
        "cuda",
        "cuda:1",
        "cpu",
    ]
    with pytest.raises(ConfigError, match="'cuda:2' cannot be used: there are 2 GPUs; try auto"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="'cuda:1' cannot be used: there is 1 GPU; try auto"):
        resolve_device("cuda:1")
    assert two_gpus == []


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA driver error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes",
    ],
)
def test_many_words_say_that_memory_ran_out(text: str) -> None:
    assert failure(RuntimeError(text))[0] == "out-of-memory"
    assert not is_out_of_memory(ValueError(text))


@pytest.mark.parametrize(
    "text",
    [
        ILLEGAL,
        "CUDA error: device-side assert triggered",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
        "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)",
    ],
)
def test_other_errors_of_a_gpu_are_failures(text: str) -> None:
    assert failure(RuntimeError(text))[0] == "failed"


def test_a_gpu_is_lost_once_every_call_fails(
    two_gpus: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lost_gpu("auto") is None and two_gpus == [], "it was never used"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert [lost_gpu(device) for device in ("cpu", "auto", "cuda:1")] == [None] * 3
    assert two_gpus == [("synchronize", "cuda"), ("synchronize", "cuda:1")]

    def fail(device: str) -> None:
        raise RuntimeError(ILLEGAL)

    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    assert lost_gpu("auto") == ILLEGAL.splitlines()[0]
    assert lost_gpu("cpu") is None
