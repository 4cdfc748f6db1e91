"""RaPP: a reconstruction compared with its sample in every hidden layer of the encoder.

Source: Kim, Shim, Lim, Jeon, Choi, Kim, Yoon, "RaPP: Novelty Detection with Reconstruction along
Projection Pathway" (2020), sections 3 and 4. An autoencoder is trained on normals to minimise
|x - x'|^2, with x' the reconstruction. With h_0(x) = x and h_1 to h_l the encoder's layers,

    d(x) = (h_0(x) - h_0(x'), ..., h_l(x) - h_l(x'))

- ``sap`` (simple aggregation): |d(x)|^2;
- ``nap`` (normalised aggregation): with m the mean of d over the training samples, and U S V^T the
  singular value decomposition of the matrix of their d(x) - m: |(d(x) - m)^T V S^-1|^2, here times
  the number of these samples, so that it does not depend on it. It is the squared Mahalanobis
  distance of d(x);
- ``reconstruction``: |x - x'|^2, the first layer alone.

As in the paper the networks are dense for images too, with batch normalisation; their layers
narrow evenly from the sample to the latents. The paper leaves open what becomes of singular values
that are zero but for rounding: ``rank_tol``. V and S come from at most ``samples`` training
samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.ranges import Count, Pairs, Positive, Share, Steps
from omasgan.nn import batches, networks


@dataclass(kw_only=True, eq=False, repr=False)
class RaPP(NeuralDetector):
    """An autoencoder in one phase, ``train``; scores ``sap``, ``nap`` and ``reconstruction``.

    The defaults are a small budget for two CPU cores, and no result; benchmarks/params holds
    published settings.
    """

    properties = frozenset({"autoencoder", "reconstruction"})

    latent_dim: Count = 20
    depth: Count = 3
    """Hidden layers of the encoder, and as many of the decoder."""
    rank_tol: Share = 1e-6
    """``nap`` leaves out directions whose variance is below this share of the largest."""
    samples: Pairs = 10_000
    """Training samples that ``nap`` is fitted to, drawn at random; bounds the time."""
    stage: Literal["sap", "nap", "reconstruction"] = "nap"
    train_steps: Steps = 1_500
    lr: Positive = 1e-3
    """Adam's rate, betas (0.5, 0.999)."""

    def _phases(self) -> Mapping[str, int]:
        return {"train": self.train_steps}

    def _enter(self, phase: str) -> None:
        self._add("encoder")
        self._add("decoder")
        self._train_here("encoder", "decoder")

    def _new(self, name: str) -> nn.Module:
        ends = math.prod(self._shape), self.latent_dim
        sizes = [round(size) for size in np.linspace(*ends, self.depth + 2)]
        return layers(sizes if name == "encoder" else sizes[::-1], self._seed_of(name))

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        x = normals.draw(self.batch_size, self._generator).flatten(1)
        loss = (x - self._reconstruct(x)).square().sum(1).mean()
        self._update(loss, "encoder", "decoder")
        return {"reconstruction": loss}

    def _reconstruct(self, x: Tensor) -> Tensor:
        reconstruction: Tensor = self._networks["decoder"](self._networks["encoder"](x))
        return reconstruction

    def _pathway(self, x: Tensor) -> Tensor:
        """Return h_0 to h_l of samples ``(n, d)``, side by side: the samples themselves, what
        each activation of the encoder gives, and the latents.
        """
        layers = [x]
        for module in self._networks["encoder"].children():
            x = module(x)
            if isinstance(module, nn.LeakyReLU):
                layers.append(x)
        return torch.cat([*layers, x], 1)

    def _deviations(self, x: Tensor) -> Tensor:
        """Return d of samples of any shape, ``(n, m)``."""
        x = x.flatten(1)
        return self._pathway(x) - self._pathway(self._reconstruct(x))

    @torch.no_grad()
    def _finish(self, X: NDArray[Any]) -> None:
        generator = np.random.default_rng(self._seed_of("nap"))
        rows = np.sort(generator.permutation(len(X))[: self.samples])
        parts = [self._deviations(x) for x in batches.in_order(X, self._device, rows)]
        mean, axes = whitening(torch.cat(parts), self.rank_tol)
        self._fitted = {"mean": mean, "axes": axes}

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        d = self._deviations(x)
        return {
            "sap": d.square().sum(1),
            "nap": ((d - self._fitted["mean"]) @ self._fitted["axes"]).square().sum(1),
            "reconstruction": d[:, : math.prod(self._shape)].square().sum(1),
        }


def layers(sizes: Sequence[int], seed: int) -> nn.Sequential:
    """Build a dense network with layers of these sizes, initialised from ``seed``; all but the
    last have batch normalisation and a leaky rectifier.
    """
    with networks.initialised_from(seed):
        modules: list[nn.Module] = []
        for a, b in pairwise(sizes[:-1]):
            modules += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.LeakyReLU(0.2)]
        return nn.Sequential(*modules, nn.Linear(sizes[-2], sizes[-1]))


def whitening(d: Tensor, rank_tol: float) -> tuple[Tensor, Tensor]:
    """Return the mean ``(m,)`` of vectors ``d`` ``(n, m)`` and axes ``(m, r)``, such that the
    coordinates ``(d - mean) @ axes`` are uncorrelated and have variance 1.

    Directions whose variance is below ``rank_tol`` of the largest are left out.
    """
    mean = d.double().mean(0)
    centred = d.double() - mean
    if len(d) < d.shape[1]:  # most directions have no variance
        _, deviations, rows = torch.linalg.svd(centred / len(d) ** 0.5, full_matrices=False)
        variances, directions = deviations.square(), rows.T
    else:
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(d))
    kept = variances > rank_tol * variances.max()
    axes = directions[:, kept] / variances[kept].sqrt()
    return mean.to(d.dtype), axes.to(d.dtype)
