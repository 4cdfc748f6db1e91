"""The base of detectors with a density and a generator B that shows its boundary.

Source: BDSG's three terms, a density, a distance and a scattering; ``bdsg`` names the papers. B
has no part in the score.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import NonNegative, Pairs, Positive, Steps
from omasgan.nn import batches, boundary
from omasgan.nn.kinds import DensityKind

SCALE_BATCH = 256
"""Samples whose mean distance is the unit of distances."""


@dataclass(kw_only=True, eq=False, repr=False)
class DensityBoundary(NeuralDetector):
    """Base of detectors whose last phase is ``boundary``: B's samples go where the density is low,
    near the data.
    """

    boundary_steps: Annotated[Steps, Phase("boundary")] = 200
    boundary_lr: Annotated[Positive, Phase("boundary")] = 1e-3
    density: Annotated[DensityKind, Phase("boundary")] = "root"
    """``plain`` is the mean of p_g; ``root`` that of log p_g, per dimension and in bits, and its
    exponential."""
    distance: Annotated[NonNegative, Phase("boundary")] = 0.3
    """The weight l1, of the distance to the data."""
    scattering: Annotated[NonNegative, Phase("boundary")] = 0.025
    """The weight l2."""
    normalised: Annotated[bool, Phase("boundary")] = True
    """Measure distances in units of the mean ones among the data and among latents."""
    boundary_batch: Annotated[Pairs, Phase("boundary")] = 128
    """The sources' N: samples of B in a step."""
    boundary_reference: Annotated[Pairs, Phase("boundary")] = 512
    """The sources' M: normals among which the nearest is found."""

    @abstractmethod
    def _log_density(self, x: Tensor) -> Tensor:
        """Return log p_g of samples as B puts them out, ``(n,)``."""

    @abstractmethod
    def _generated(self, n: int) -> dict[str, NDArray[np.float32]]:
        """Return ``n`` samples of G and of B, by name."""

    def _first(self, phase: str, normals: batches.Sampler) -> tuple[Tensor, torch.Generator]:
        """Return some samples that are the same at each epoch of a phase, and what drew them."""
        generator = torch.Generator(self._device).manual_seed(self._seed_of(phase, "first"))
        return normals.draw(SCALE_BATCH, generator), generator

    def _prepare(self, phase: str, normals: batches.Sampler) -> None:
        if phase == "boundary":
            x, generator = self._first(phase, normals)
            z = torch.randn(len(x), self.latent_dim, generator=generator, device=self._device)
            measured = boundary.Scale.measure(x, z)
            self._scale = measured if self.normalised else boundary.LITERAL

    def _boundary_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        z = self._latents(self.boundary_batch)
        reference = normals.draw(self.boundary_reference, self._generator)
        samples = self._networks["B"](z).float()
        log_p = self._log_density(samples)
        density = boundary.density_term(log_p, math.prod(self._shape), self.density)
        distance = boundary.point_to_set(samples, reference, self._scale)
        scattering = boundary.dispersion(samples, z, self._scale)
        self._update(density + self.distance * distance + self.scattering * scattering, "B")
        return {
            "density": density,
            "distance": distance,
            "scattering": scattering,
            "log_density": log_p.mean(),
        }

    def samples(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return normal samples ``X``, and as many of G (without noise) and of B, by name."""
        x = torch.cat(list(batches.in_order(X, self._device)))
        return {"real": x.cpu().numpy()} | self._generated(len(x))

    def pictures(self, n: int) -> dict[str, NDArray[np.float32]]:
        """Return rows of images of G and of B; none for vectors."""
        return {} if len(self._shape) == 1 else self._generated(n)
