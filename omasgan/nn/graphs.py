"""A training step as one CUDA graph.

At these networks' sizes a GPU computes faster than a process can tell it what to do next: a step
of some hundred launches takes as long as the launches do. A graph records them once and replays
them with one. What a recorded step does in Python happens while it is recorded, and never again;
its tensors keep their addresses, so data, weights, moments and losses are read and written where
they lie.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from omasgan.errors import ConfigError

WARM_UP_STEPS = 3
"""Steps before the recording: cuDNN chooses its kernels in them, Adam makes its moments."""


class Recorded:
    """A step whose launches are recorded after ``WARM_UP_STEPS`` calls, and replayed from then on.

    ``step`` updates tensors in place and returns losses; it neither waits for the GPU nor depends
    on the values of tensors. ``generator`` is what it draws from. Every call is one step; the
    losses that it returns are overwritten by the next.
    """

    def __init__(self, step: Callable[[], dict[str, Tensor]], generator: torch.Generator) -> None:
        self._step, self._generator = step, generator
        self._stream = _stream_beside(generator.device)
        self._warm_up_left = WARM_UP_STEPS
        self._graph: torch.cuda.CUDAGraph | None = None
        self._losses: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Take one step.

        Raises:
            ConfigError: the step cannot be recorded.
        """
        if self._warm_up_left:
            self._warm_up_left -= 1
            return self._beside()
        if self._graph is None:
            self._graph = self._record()
        self._graph.replay()
        return self._losses

    def _beside(self) -> dict[str, Tensor]:
        """Take a step on a stream of its own, as recording requires of those before it."""
        current = torch.cuda.current_stream(self._generator.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            losses = self._step()
        current.wait_stream(self._stream)
        return losses

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        try:
            # Other threads of this process, such as Ray's, may go on calling CUDA meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._losses = self._step()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"a training step cannot be recorded as a CUDA graph: {reason}; it must not read "
                "the values of tensors, or set graphs=False"
            ) from error
        return graph


@functools.cache
def _stream_beside(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which steps are recorded: one for all recordings of a process, since
    libraries keep working space for each stream that they have seen, 32 MB and more.
    """
    return torch.cuda.Stream(device)
