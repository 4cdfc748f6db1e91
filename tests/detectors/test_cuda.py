"""Training on a GPU, as far as it can be told without one: torch's fake CUDA device.

Tensors there have shapes and devices but no values: whatever mixes devices raises, and what would
wait for the GPU (reading a value, a copy between host and device) is seen and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from omasgan import detectors
from omasgan.detectors import anogan, omasgan
from omasgan.detectors.neural import NeuralDetector
from omasgan.nn import batches, boundary, hmc, langevin, mixtures, networks, penalties

NEURAL = [name for name in detectors.names() if issubclass(detectors.load(name), NeuralDetector)]
VARIANTS = [
    {"penalty": 1.0, "divergence": "wasserstein"},
    {"form": "pixel", "ema": 0.9},
    {"residual": 0.1, "base": "generator", "penalty": 1.0},
    {"form": "latent", "guide": "j"},
    {"form": "between", "base": "generator", "moves": 1},
    {"form": "mixture", "ema": 0.9},
    {"form": "mixture", "negatives": "random"},
    {"negatives": "noise"},
    {"negatives": "patch-shuffle"},
    {"negatives": "early-generator"},
    {"negatives": "deformation", "normalised": False},
]
SHORT = {"flow_blocks": 2, "leaps": 2, "burn_in": 1}
"""What a step only repeats."""
CUDA = torch.device("cuda", 0)
pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")
READS = {"aten._local_scalar_dense", "aten.nonzero", "aten.item", "aten.is_nonzero"}
UNRECORDABLE = {
    "aten._linalg_slogdet",
    "aten._linalg_det",
    "aten.linalg_lu_factor_ex",
    "aten.linalg_inv_ex",
    "aten._linalg_solve_ex",
}
"""What a GPU does to a batch of matrices but a CUDA graph cannot record; seen on an H200."""


class FakeGenerator(torch.Generator):
    """A generator that takes itself for one of the GPU."""

    device = CUDA  # type: ignore[assignment]

    def __new__(cls, device: object = None) -> FakeGenerator:
        return super().__new__(cls)


class Waits(TorchDispatchMode):
    """Counts the operations that make the host wait for the GPU, or cannot be recorded, or whose
    gradient is another one each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket)
        leaves = tree_leaves((args, kwargs, out))
        devices = {x.device.type for x in leaves if isinstance(x, torch.Tensor)}
        copies = name in ("aten._to_copy", "aten.copy_") and len(devices) > 1
        sampled = name == "aten.grid_sampler_2d" and args[0].requires_grad
        if name in READS | UNRECORDABLE or copies or sampled:
            self.counts[name] += 1
        return out


def moved(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network with tensors in the place of others: torch swaps them, and no fake one can
    be swapped.
    """
    for module in network.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = nn.Parameter(p.detach().to(device), p.requires_grad)
        for name, x in module._buffers.items():
            if x is not None:
                module._buffers[name] = x.to(device)
    return network


def copied(network: nn.Module) -> nn.Module:
    """Copy a network; the copy of a fake tensor would read its memory, of which there is none."""
    memo: dict[int, Any] = {}
    for p in network.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p), p.requires_grad)
    for x in network.buffers():
        memo[id(x)] = torch.empty_like(x)
    return deepcopy(network, memo)


def updated(detector: NeuralDetector, loss: torch.Tensor, *names: str) -> None:
    """Take the step of an optimiser without the backward pass, which needs a GPU."""
    assert loss.shape == ()
    for name in names:
        for group in detector._optimisers[name].param_groups:
            for weight in group["params"]:
                weight.grad = torch.empty_like(weight)
        # A rate that is a tensor has no fake kernel.
        if isinstance(detector._optimisers[name].param_groups[0]["lr"], float):
            detector._optimisers[name].step()


def unfitted(x: torch.Tensor, form: mixtures.Form, seed: int) -> mixtures.Density:
    """A density of the shapes that fitting it gives."""
    k, m = min(form.components, *x.shape), form.mixture
    shapes = (x.shape[1],), (x.shape[1], k), (m, k), (m, k, k), (m,)
    return mixtures.Density(*(x.new_zeros(shape) for shape in shapes))


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch, "Generator", FakeGenerator)
    monkeypatch.setattr(batches, "usable_device", torch.device)
    monkeypatch.setattr(batches, "on_device", moved)
    monkeypatch.setattr(networks, "copy_of", copied)
    monkeypatch.setattr(NeuralDetector, "_update", updated)
    monkeypatch.setattr(penalties, "_gradient", lambda critic, x: 0 * x)
    monkeypatch.setattr(langevin, "gradient", lambda energy, x: energy(x).sum() * x)
    monkeypatch.setattr(hmc, "_points", lambda energy, x: hmc.Points(x, energy(x), 0 * x))
    # Measured once a phase, by reading values.
    monkeypatch.setattr(boundary.Scale, "measure", lambda *samples: boundary.LITERAL)
    monkeypatch.setattr(mixtures.Density, "of", unfitted)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def waits_of_steps(
    name: str,
    params: dict[str, Any],
    X: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    anomalies: np.ndarray | None = None,
) -> dict[str, Counter[str]]:
    """Return what makes the host wait in one step of each phase of a detector."""
    with fake_cuda(monkeypatch):
        detector: Any = detectors.load(name)(
            **params, device="cuda:0", precision="bfloat16", graphs=False
        )
        detector._begin(list(X.shape[1:]))
        normals = detector._normals(X)
        detector._anomalies = detector._known(X, anomalies)
        counts = {}
        for phase, steps in detector._phases().items():
            detector._enter_up_to(phase)
            if not steps:
                continue
            detector._prepare(phase, normals)
            detector._step(phase, normals)
            with Waits() as waits:
                detector._step(phase, normals)
            counts[phase] = waits.counts
    return counts


@pytest.mark.parametrize("name", NEURAL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (5,)])
def test_no_step_waits_for_the_gpu(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shape == (1, 8, 8):
        X = np.zeros((40, *shape), dtype=np.uint8)
    else:
        X = np.zeros((40, *shape), dtype=np.float32)
    known = detectors.parameters(detectors.load(name))
    short = {param: value for param, value in SHORT.items() if param in known}
    counts = waits_of_steps(name, short, X, monkeypatch)
    assert counts
    assert not any(counts.values()), counts


@pytest.mark.parametrize("name", [n for n in NEURAL if detectors.load(n).takes_anomalies])
def test_no_step_with_labelled_anomalies_waits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.zeros((40, 1, 8, 8), dtype=np.uint8)
    counts = waits_of_steps(name, {}, X, monkeypatch, anomalies=X[:3])
    assert not any(counts.values()), counts


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_no_step_of_a_variant_of_omasgan_waits(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.zeros((40, 3, 8, 8), dtype=np.uint8)
    counts = waits_of_steps("omasgan", params, X, monkeypatch)
    decodes = params.get("form") in omasgan.DECODED
    phases = ["gan", *(["autoencoder"] if decodes else []), "boundary", "retrain", "detector"]
    assert list(counts) == phases
    assert not any(counts.values()), counts


def test_a_wait_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch), Waits() as waits:
        torch.zeros(3).to(CUDA)
        torch.zeros(3, device=CUDA).add_(1)
    assert waits.counts == {"aten._to_copy": 1}


def test_no_step_of_anogans_searches_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one give a tensor another place in memory, which a recording would not follow."""
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, z: (torch.zeros_like(z),))
    with fake_cuda(monkeypatch):
        x = torch.zeros(5, 3, device=CUDA)
        params = anogan.AnoGAN(latent_dim=3)
        searches = anogan._Searches(params, nn.Tanh(), nn.ReLU(), x, torch.zeros(2, 3).to(CUDA))
        before = {name: x for name, x in vars(searches).items() if isinstance(x, torch.Tensor)}
        with Waits() as waits:
            searches._step()
        assert searches.z.shape == (anogan.SLOTS["cuda"], 3)
    assert not waits.counts
    assert {"z", "mean", "square", "steps", "stale", "mark", "best", "ended"} < before.keys()
    assert all(vars(searches)[name] is tensor for name, tensor in before.items())
