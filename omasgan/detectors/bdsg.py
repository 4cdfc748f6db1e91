"""BDSG and BDSGM: a flow whose density is the score, and a generator of samples on its boundary.

Source: Dionelis, Yaghoobi, Tsaftaris, "Boundary of Distribution Support Generator (BDSG): Sample
Generation on the Boundary" (2020), and the authors' slides on BDSGM, the form for data of several
modes. With G an invertible network, p_g its density and B a generator from z ~ N(0, I):

- phase ``flow``: G by maximum likelihood of the normals;
- phase ``boundary``: B, with G frozen, minimises

      p_g(B(z)) + l1 min_j |B(z) - x_j| + l2 mean_j |z - z_j| / |B(z) - B(z_j)|

  over N latents, among M normals x_j: few samples of B are likely, all are near the data, and they
  spread. The three terms are ``density_term``, ``point_to_set`` and ``dispersion`` of
  ``nn.boundary``.

The slides also have a closed form, in which p_g is the density that the data were drawn from. Here
``model = "gaussians"`` is the closest that there is where nobody knows that density: a mixture of
Gaussians in the place of the flow, fitted by expectation maximisation.

``score`` is -log p_g(x). B has no part in it: it shows where the boundary is.

An image is (L - 1) (x + 1) / 2 + u in L grey levels with noise u in [0, 1), divided by L and taken
to logits; its score is minus the log-probability of its levels, read at the middle of their bins
(u = 1/2), so that it is no matter of chance. A vector is taken as it is.

Ours, where the sources are silent or do not go together: the flow has dense blocks of one hidden
layer, whose log-determinant is exact (``nn.flows``), for images too, in place of Residual Flow's
convolutions and random estimate of it; the distance is not squared, as on the slides (later
scripts of the authors square it); distances are in units of the mean ones among the data and among
latents, unless ``normalised`` is off, since l1 and l2 were chosen for two dimensions; a pair of a
sample with itself is left out of the third term. For images the density itself is 0 in any number
format; its root of order d in bits, which the authors' scripts take, has a gradient everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from omasgan.detectors.density_boundary import DensityBoundary
from omasgan.detectors.neural import adam
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import Count, Positive, Share, Steps
from omasgan.nn import batches, flows, mixtures

LEVELS_FROM = 2_000
"""Training samples whose grey levels are counted."""
FIT_TO = 5_000
"""Training samples that a mixture is fitted to."""


@dataclass(kw_only=True, eq=False, repr=False)
class BDSG(DensityBoundary):
    """A flow and its boundary in two phases, ``flow`` and ``boundary``; the one score is
    ``score``, -log p_g(x).

    ``width`` and ``depth`` are the size of B, ``batch_size`` is that of ``flow``. The defaults are
    a small budget for two CPU cores, and no result. Beside each param stands the first phase that
    depends on it; those without one belong to ``flow``.
    """

    properties = frozenset({"negative sampling", "boundary loss", "likelihood"})

    latent_dim: Count = 16
    model: Annotated[Literal["flow", "gaussians"], Phase("flow")] = "flow"
    """What p_g is; ``gaussians`` leaves the phase ``flow`` out."""
    gaussians: Annotated[Count, Phase("flow")] = 1
    """Those of the mixture."""
    flow_blocks: Annotated[Count, Phase("flow")] = 8
    """Residual blocks of the flow."""
    flow_width: Annotated[Count, Phase("flow")] = 32
    """Units of the hidden layer of a block; the time of a step grows with their cube."""
    bound: Annotated[Share, Phase("flow")] = 0.97
    """The largest norm of a layer; a block's Lipschitz constant is at most its square."""
    margin: Annotated[float, Field(gt=0, lt=0.5), Phase("flow")] = 0.05
    """How far from 0 and 1 an image stays before its logits are taken."""
    flow_steps: Annotated[Steps, Phase("flow")] = 1_000
    flow_lr: Annotated[Positive, Phase("flow")] = 3e-3
    """Adam's rate, betas (0.9, 0.999), as in the other phase."""

    def _phases(self) -> Mapping[str, int]:
        has_flow = self.model == "flow"
        return {"flow": self.flow_steps * has_flow, "boundary": self.boundary_steps}

    def _enter(self, phase: str) -> None:
        if phase == "flow" and self.model == "gaussians":
            return
        name = "G" if phase == "flow" else "B"
        self._add(name)
        self._train_here(name)

    def _new(self, name: str) -> nn.Module:
        if name == "B":
            return self._generator_of(name)
        return flows.Flow(
            math.prod(self._shape),
            blocks=self.flow_blocks,
            hidden=self.flow_width,
            bound=self.bound,
            seed=self._seed_of(name),
        )

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        lr = self.flow_lr if name == "G" else self.boundary_lr
        return adam(network, lr, betas=(0.9, 0.999))

    def _prepare(self, phase: str, normals: batches.Sampler) -> None:
        if "levels" not in self._fitted:
            self._begin_density(normals.X, self._first(phase, normals)[0])
        super()._prepare(phase, normals)

    def _begin_density(self, X: NDArray[Any], x: Tensor) -> None:
        """Get the density ready for its training, or fit it; ``x`` are some of the samples."""
        self._count_levels(X)
        if self.model == "flow":
            flow: Any = self._networks["G"]
            flow.initialise(self._rows(x, 0.5)[0])
            return
        rows = np.sort(
            np.random.default_rng(self._seed_of("mixture")).permutation(len(X))[:FIT_TO]
        )
        parts = [self._rows(x, 0.5)[0] for x in batches.in_order(X, self._device, rows)]
        form = mixtures.Form(math.prod(self._shape), self.gaussians, floor=0.0, whiten=False)
        self._fitted |= vars(mixtures.Density.of(torch.cat(parts), form, self._seed_of("mixture")))

    def _count_levels(self, X: NDArray[Any]) -> None:
        generator = np.random.default_rng(self._seed_of("levels"))
        rows = np.sort(generator.permutation(len(X))[:LEVELS_FROM])
        grey = X[rows] if X.dtype == np.uint8 else np.round(127.5 * (X[rows] + 1))
        levels = max(2, len(np.unique(grey)))
        self._fitted["levels"] = torch.tensor(float(levels), device=self._device)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        return self._flow_step(normals) if phase == "flow" else self._boundary_step(normals)

    def _flow_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        x = normals.draw(self.batch_size, self._generator)
        noise = torch.rand(x.shape, generator=self._generator, device=self._device)
        loss = -self._log_density(x, noise).mean()
        self._update(loss / math.prod(self._shape), "G")
        return {"nll": loss}

    def _rows(self, x: Tensor, noise: Tensor | float) -> tuple[Tensor, Tensor | float]:
        """Return what the flow takes of samples, ``(n, d)``, and the log-determinant of the way
        there, in units of grey levels.
        """
        if x.dim() == 2:
            return x, 0.0
        levels = self._fitted["levels"]
        lightness = ((x + 1) / 2 * (levels - 1) + noise) / levels
        rows, log_det = flows.logits(lightness.flatten(1), self.margin)
        return rows, log_det - rows.shape[1] * levels.log()

    def _log_density(self, x: Tensor, noise: Tensor | float = 0.5) -> Tensor:
        """Return log p_g of samples, ``(n,)``."""
        rows, log_det = self._rows(x, noise)
        if self.model == "gaussians":
            return log_det - mixtures.Density.among(self._fitted).surprise(rows)
        flow: Any = self._networks["G"]
        log_density: Tensor = flow.log_density(rows) + log_det
        return log_density

    @torch.no_grad()
    def _generated(self, n: int) -> dict[str, NDArray[np.float32]]:
        self._check_fitted()
        generator = torch.Generator().manual_seed(self._seed_of("samples"))
        z = torch.randn(n, math.prod(self._shape), generator=generator).to(self._device)
        latents = torch.randn(n, self.latent_dim, generator=generator).to(self._device)
        by_name = {"G": self._from_rows(self._drawn(z)), "B": self._networks["B"](latents)}
        return {name: x.float().cpu().numpy() for name, x in by_name.items()}

    def _drawn(self, z: Tensor) -> Tensor:
        """Return draws of the density, rows ``(n, d)``, from as many of N(0, I)."""
        if self.model == "gaussians":
            return mixtures.Density.among(self._fitted).draws(z)
        flow: Any = self._networks["G"]
        inverse: Tensor = flow.inverse(z)
        return inverse

    def _from_rows(self, rows: Tensor) -> Tensor:
        """Return the samples whose ``_rows`` are these, images within [-1, 1]."""
        if len(self._shape) == 1:
            return rows
        levels = self._fitted["levels"]
        lightness = (torch.sigmoid(rows) - self.margin) / (1 - 2 * self.margin)
        x = (lightness * levels - 0.5) / (levels - 1) * 2 - 1
        return x.clamp(-1, 1).reshape(-1, *self._shape)

    def _finish(self, X: NDArray[Any]) -> None:
        if "levels" not in self._fitted:  # no flow_steps
            self._count_levels(X)

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        return {"score": -self._log_density(x)}
