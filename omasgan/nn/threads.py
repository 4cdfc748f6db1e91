"""How many threads torch computes with on a CPU.

Small networks gain little from more threads, and lose much where other processes want the cores:
threads that wait for each other spin. Measured on 16 idle cores, OMASGAN's steps on 28x28 images
are 2.4 times as fast with 16 threads as with one at the default width, and 4.6 times at width 96;
on two busy cores they are 5 to 17 times slower with two threads than with one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

LARGE = 2**19
"""Weights from which a network gets all threads."""

VARIABLE = "OMP_NUM_THREADS"


@contextmanager
def restored() -> Iterator[None]:
    """Return a context that leaves torch's number of threads as it was."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def suit(networks: Iterable[nn.Module], most: int) -> None:
    """Let torch compute with ``most`` threads if one of ``networks`` is large, else with one;
    unless ``OMP_NUM_THREADS`` says how many.
    """
    if VARIABLE not in os.environ:
        weights = [sum(p.numel() for p in network.parameters()) for network in networks]
        torch.set_num_threads(most if max(weights, default=0) >= LARGE else 1)
