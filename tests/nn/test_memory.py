from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from omasgan.nn.memory import Allocated

FLOAT = 4


def test_tensors_count_from_birth_to_death_and_views_do_not() -> None:
    with Allocated() as tensors:
        x = torch.zeros(1000)
        y = x + 1
        del x
        z = y * 2
        view = z[:10].reshape(2, 5)
        assert (tensors.bytes, tensors.peak) == (2000 * FLOAT, 2000 * FLOAT)
        del y, z
        assert tensors.bytes == 1000 * FLOAT
        del view
        assert (tensors.bytes, tensors.peak) == (0, 2000 * FLOAT)


@given(n=st.integers(1, 20), inputs=st.integers(1, 20), hidden=st.integers(1, 20))
def test_a_training_step_of_a_tiny_network_is_as_counted_by_hand(
    n: int, inputs: int, hidden: int
) -> None:
    with Allocated() as tensors:
        net = nn.Sequential(
            nn.Linear(inputs, hidden, bias=False), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )
        weights = (inputs * hidden + hidden) * FLOAT
        assert tensors.bytes == weights
        x = torch.ones(n, inputs)
        net(x).mean().backward()
        batch = n * inputs * FLOAT
        assert tensors.bytes == 2 * weights + batch
        # Before the backward pass: the hidden layer after tanh, the output and its mean.
        retained = (n * hidden + n + 1) * FLOAT
        assert tensors.peak >= weights + batch + retained
        optimiser = torch.optim.Adam(net.parameters(), foreach=False)
        optimiser.step()
        n_tensors = len(list(net.parameters()))
        assert tensors.bytes == 4 * weights + batch + n_tensors * FLOAT
    del net, optimiser, x
    assert tensors.bytes == 0
