"""Numpy samples to tensors, and where and how precisely tensors are computed."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omasgan.errors import ConfigError
from omasgan.nn.kinds import Precision

SCORING_BATCH = {"cpu": 512, "cuda": 4096}
"""Samples scored at once, by the type of device: always as many, since a batch of another size
may round otherwise.
"""


def resolve_device(name: str) -> torch.device:
    """Return a device: ``auto`` is the GPU where there is one, else the CPU; others as torch's.

    Raises:
        ConfigError: torch knows no such device. Whether this machine has it is another question.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device '{name}' cannot be used: {reason}; try auto") from error


def usable_device(name: str) -> torch.device:
    """Return a device to compute on.

    Raises:
        ConfigError: torch knows no such device, or sees no GPU here.
    """
    device = resolve_device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device '{name}' cannot be used: torch sees no GPU here; try auto")
    return device


def of_device(values: Mapping[str, int], device: torch.device) -> int:
    """Return the value for a type of device; any but a GPU is treated as a CPU."""
    return values.get(device.type, values["cpu"])


def rows_of(X: NDArray[Any], rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Return the samples ``X[rows]`` as float32 in [-1, 1]; only these rows are ever converted."""
    return as_samples(torch.from_numpy(X[rows]).to(device))


def as_samples(stored: Tensor) -> Tensor:
    """Return samples as float32 in [-1, 1]; uint8 stands for ``x / 127.5 - 1``."""
    return stored.float() / 127.5 - 1 if stored.dtype == torch.uint8 else stored.float()


class Sampler:
    """Draws training batches from the rows ``rows`` of ``X``, with replacement.

    A GPU holds these rows from the start, as they are stored, so that no step waits for a copy; on
    a CPU they stay in ``X``, which processes may share.
    """

    def __init__(self, X: NDArray[Any], rows: NDArray[np.int64], device: torch.device) -> None:
        self.X, self.rows, self.device = X, rows, device
        self._held = None if device.type == "cpu" else torch.from_numpy(X[rows]).to(device)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw ``n`` samples, float32 in [-1, 1], with a generator of the sampler's device."""
        return self._at(self._choose(len(self.rows), n, generator))

    def draw_pairs(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw ``n`` pairs of two different samples, as ``draw`` does."""
        chosen = self._choose(len(self.rows), n, generator)
        further = 1 + self._choose(len(self.rows) - 1, n, generator)
        return self._at(chosen), self._at((chosen + further) % len(self.rows))

    def _choose(self, among: int, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(among, (n,), generator=generator, device=generator.device)

    def _at(self, chosen: Tensor) -> Tensor:
        if self._held is not None:
            return as_samples(self._held[chosen])
        return rows_of(self.X, self.rows[chosen.numpy()], self.device)


def in_order(
    X: NDArray[Any], device: torch.device, rows: NDArray[np.int64] | None = None
) -> Iterator[Tensor]:
    """Yield all samples (or ``rows``) in order, in batches for scoring."""
    rows = np.arange(len(X)) if rows is None else rows
    size = of_device(SCORING_BATCH, device)
    for start in range(0, len(rows), size):
        yield rows_of(X, rows[start : start + size], device)


@functools.cache
def half_precision_pays(device: torch.device) -> bool:
    """Return whether bfloat16 is faster than float32 here: the chip must compute in it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older releases cannot tell.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16", False))


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context that training passes run in; ``auto`` is bfloat16 where it pays."""
    if precision == "bfloat16" or (precision == "auto" and half_precision_pays(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def exactly(device: torch.device) -> AbstractContextManager[object]:
    """Return a context within a training pass that computes in float32 all the same."""
    return torch.autocast(device.type, enabled=False)


@contextmanager
def coarse_products() -> Iterator[None]:
    """Compute matrix products of float32 from bfloat16 (on a GPU: TF32) halves of their entries,
    where that is faster: good enough to look for the nearest of many vectors.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute convolutions in float32 proper on a GPU, and each time alike.

    Torch lets cuDNN round their inputs to TF32, 10 bits, and take kernels that add up in any
    order.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to its device, with image weights in the layout that convolutions like."""
    return network.to(device).to(memory_format=torch.channels_last)
