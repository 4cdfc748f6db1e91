"""Numpy samples to tensors, and where tensors are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

SCORING_BATCH = 512


def resolve_device(name: str) -> torch.device:
    """Return a device: ``auto`` is the GPU where there is one, else the CPU; others as torch's."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def rows_of(X: NDArray[Any], rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Return the samples ``X[rows]`` as float32 in [-1, 1]; only these rows are ever converted."""
    batch = torch.from_numpy(X[rows]).to(device)
    if batch.dtype == torch.uint8:
        return batch.float() / 127.5 - 1
    return batch.float()


@dataclass(frozen=True)
class Sampler:
    """Draws training batches from the rows ``rows`` of ``X``, with replacement."""

    X: NDArray[Any]
    rows: NDArray[np.int64]
    device: torch.device

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw ``n`` samples, float32 in [-1, 1]."""
        chosen = torch.randint(len(self.rows), (n,), generator=generator).numpy()
        return rows_of(self.X, self.rows[chosen], self.device)


def in_order(
    X: NDArray[Any], device: torch.device, rows: NDArray[np.int64] | None = None
) -> Iterator[Tensor]:
    """Yield all samples (or ``rows``) in order, in batches for scoring."""
    rows = np.arange(len(X)) if rows is None else rows
    for start in range(0, len(rows), SCORING_BATCH):
        yield rows_of(X, rows[start : start + SCORING_BATCH], device)


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


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to its device, with image weights in the layout that convolutions like."""
    return network.to(device).to(memory_format=torch.channels_last)
