"""How many bytes tensors take, on any machine, and what becomes of those that are freed."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""


@functools.cache
def keep_what_is_freed() -> None:
    """Let this process keep the memory of freed tensors for the next ones, where the C library can
    be told so: a training step frees and takes the same again, and would wait for the system to
    clear it, up to 12,000 pages a step. The peak stays what it was.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class Allocated(TorchDispatchMode):
    """Counts the bytes of all tensors that are created in this context, from birth to death.

    ``bytes`` are alive now and ``peak`` were at most: weights, gradients, what an optimiser and
    autograd keep, and what operations hand to each other. What a single operation uses inside
    itself is not seen. The context makes each operation some ten microseconds slower.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_iter(out):
            if isinstance(leaf, Tensor):
                self._see(leaf.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        """Count a storage once, however many tensors are views of it."""
        key, size = storage._cdata, storage.nbytes()
        if size == 0 or key in self._alive:
            return
        self._alive.add(key)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.bytes -= size
