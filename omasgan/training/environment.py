"""What a training runs on: the device, and the version of this code."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from omasgan import __version__
from omasgan.errors import ConfigError

GPU_FILES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
"""One of them is there on a Linux with a GPU that torch can use: NVIDIA's, AMD's, or WSL's."""


def resolve_device(device: str) -> str:
    """Return ``auto`` as the best device of this machine, others as they are.

    A GPU is counted, not used: a process that uses one takes hundreds of MB of it.

    Raises:
        ConfigError: this machine has no such device.
    """
    if device == "cpu" or (device == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    from omasgan.nn import batches

    with _told_as_config_error(device):
        resolved = batches.resolve_device(device)
        if resolved.type == "cuda" and torch.cuda.is_available():
            _check_index(resolved.index or 0, torch.cuda.device_count())
        else:
            torch.empty(0, device=resolved)
    return str(resolved)


def check_device_name(device: str) -> None:
    """Check that some machine may have such a device.

    Raises:
        ConfigError: none does.
    """
    if device in ("auto", "cpu", "cuda"):
        return
    from omasgan.nn import batches

    with _told_as_config_error(device):
        batches.resolve_device(device)


@contextlib.contextmanager
def _told_as_config_error(device: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device '{device}' cannot be used: {reason}; try auto") from error


def _may_have_gpu() -> bool:
    """Return whether it takes torch, whose import takes seconds, to see if there is a GPU."""
    return sys.platform != "linux" or any(map(os.path.exists, GPU_FILES))


def _check_index(index: int, count: int) -> None:
    if index >= count:
        raise RuntimeError(f"there {'is 1 GPU' if count == 1 else f'are {count} GPUs'}")


def has_used_gpu() -> bool:
    """Return whether this process has used a GPU: only then it takes memory of one."""
    return "torch" in sys.modules and bool(sys.modules["torch"].cuda.is_initialized())


def compute_on_one_thread() -> None:
    """Let torch, if it is imported, compute with one thread unless the environment sets
    ``OMP_NUM_THREADS``: two trainings of one thread each are faster than one after the other with
    two.
    """
    if "torch" in sys.modules:
        from omasgan.nn import threads

        threads.suit((), 1)


def compute_with_threads(n: int) -> None:
    """Let torch, if it is imported, compute with ``n`` threads."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)


@functools.cache
def torch_version() -> str:
    """Return torch's version; without its import, which takes seconds and 200 MB."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    return str(runpy.run_path(str(Path(spec.origin).with_name("version.py")))["__version__"])


def device_class(device: str) -> str:
    """Return the class of a device: numbers differ between classes, not between devices of one.

    >>> device_class("cuda:1"), device_class("cpu")
    ('cuda', 'cpu')
    """
    return device.partition(":")[0]


@functools.cache
def code_version() -> str:
    """Return the package's version, with the commit when it runs from a checkout."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return __version__
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        git = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{git.stdout.strip()}"
