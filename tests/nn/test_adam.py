"""Adam without torch's compiler takes torch's own steps."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy

import pytest
import torch

from omasgan.nn.adam import Adam


def trained(cls: type[torch.optim.Adam], steps: int, state: object = None) -> list[torch.Tensor]:
    """The weights, and the state of the optimiser, after some steps on a sum of squares."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(5, 3, generator=generator).requires_grad_() for _ in range(2)]
    optimiser = cls(weights, lr=0.1, betas=(0.5, 0.99), weight_decay=0.01, fused=True)
    if state is not None:
        optimiser.load_state_dict(state)  # type: ignore[arg-type]
    for _ in range(steps):
        optimiser.zero_grad()
        sum(w.square().sum() for w in weights).backward()  # type: ignore[union-attr]
        optimiser.step()
    assert not any(w.requires_grad is False or w.grad_fn for w in weights)
    moments = [x for of in optimiser.state_dict()["state"].values() for x in of.values()]
    return [*weights, *moments]


@pytest.mark.parametrize("steps", [1, 7])
def test_the_steps_are_torchs(steps: int) -> None:
    mine, theirs = trained(Adam, steps), trained(torch.optim.Adam, steps)
    assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


def test_a_state_of_torchs_adam_goes_on() -> None:
    weights = [torch.ones(5, 3, requires_grad=True) for _ in range(2)]
    before = torch.optim.Adam(weights, fused=True)
    sum(w.sum() for w in weights).backward()  # type: ignore[union-attr]
    before.step()
    state = before.state_dict()
    mine = trained(Adam, 3, deepcopy(state))
    for one, other in zip(mine, trained(torch.optim.Adam, 3, state), strict=True):
        assert torch.equal(one, other)


TRAINING = """
import sys
import numpy as np
from omasgan import VAE
VAE(train_steps=2, width=8, device="cpu").fit(np.zeros((20, 1, 8, 8), np.uint8))
sys.exit("torch._dynamo" in sys.modules)
"""


def test_a_training_does_not_import_the_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", TRAINING], check=False).returncode == 0
