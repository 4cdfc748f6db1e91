"""FenceGAN: a GAN whose generator is kept on a fence around the data.

Source: Ngo, Winarto, Kou, Park, Akram, Lee, "Fence GAN: Towards Better Anomaly Detection" (2019).
With D as a probability, ``alpha`` the level of the fence and c the mean of a batch of G(z):

- L_G = BCE(D(G(z)), alpha) + beta / mean_i ||G(z_i) - c||_2  (encirclement, dispersion);
- L_D = BCE(D(x), 1) + gamma BCE(D(G(z)), 0);
- phase ``pretrain`` trains D alone, ``train`` both, one update each in turn.

``score`` is -D(x) before the sigmoid: D is low off the data.

Where released code differs: it chooses the epoch by labelled anomalies of the test kind in the
validation set, which makes its numbers optimistic; here the last step counts. Its AUPRC has the
normal class as the positive one. It mixes the train and test splits of MNIST. It updates D twice,
on real and on generated samples; here once, on the sum. No dropout and no decay of the rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.ranges import Count, NonNegative, Positive, Share, Steps
from omasgan.nn import batches, networks
from omasgan.nn.losses import binary_cross_entropy


@dataclass(kw_only=True, eq=False, repr=False)
class FenceGAN(NeuralDetector):
    """FenceGAN; the one score is ``score``, -D(x) before the sigmoid.

    The defaults are a small budget for two CPU cores, and no result; benchmarks/params holds
    published settings.
    """

    properties = frozenset({"GAN", "boundary loss", "discriminator score"})

    alpha: Share = 0.5
    """What D should say of generated samples, between anomalous (0) and normal (1)."""
    beta: NonNegative = 10.0
    """Weight of the dispersion, in the units of the data's norms, as in the paper."""
    gamma: NonNegative = 0.5
    """Weight of generated samples in D's loss; below 1 keeps D from giving up the data near the
    fence."""
    latent_dim: Count = 64
    pretrain_steps: Steps = 50
    train_steps: Steps = 400
    generator_lr: Positive = 1e-3
    """Adam's rate, betas (0.5, 0.999)."""
    discriminator_lr: Positive = 1e-4

    def _phases(self) -> Mapping[str, int]:
        return {"pretrain": self.pretrain_steps, "train": self.train_steps}

    def _enter(self, phase: str) -> None:
        if phase == "pretrain":
            self._add("G")
            self._add("D")
            self._train_here("D")
        else:
            self._train_here("G", "D")

    def _new(self, name: str) -> nn.Module:
        return self._generator_of(name) if name == "G" else self._critic_of(name)

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        return adam(network, self.generator_lr if name == "G" else self.discriminator_lr)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        losses = self._discriminator_step(normals)
        if phase == "train":
            losses |= self._generator_step()
        return losses

    def _discriminator_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        D = self._networks["D"]
        x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
        with self._autocast():
            with torch.no_grad():
                fake = self._networks["G"](z)
            on_x, on_fake = networks.jointly(D, x, fake)
        loss = binary_cross_entropy(on_x, 1.0) + self.gamma * binary_cross_entropy(on_fake, 0.0)
        self._update(loss, "D")
        return {"d": loss}

    def _generator_step(self) -> dict[str, Tensor]:
        D = self._networks["D"]
        with self._autocast(), networks.frozen(D):
            fake = self._networks["G"](self._latents(self.batch_size))
            on_fake = D(fake)
        encirclement = binary_cross_entropy(on_fake, self.alpha)
        dispersion = inverse_spread(fake)
        self._update(encirclement + self.beta * dispersion, "G")
        return {"encirclement": encirclement, "dispersion": dispersion}

    @torch.no_grad()
    def samples(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return normal samples ``X``, and as many of G, by name; they are called ``B``, since G
        is what makes samples on the boundary here.
        """
        self._check_fitted()
        x = torch.cat(list(batches.in_order(X, self._device)))
        generator = torch.Generator().manual_seed(self._seed_of("samples"))
        z = torch.randn(len(x), self.latent_dim, generator=generator).to(self._device)
        rows = {"real": x, "B": self._networks["G"](z)}
        return {name: of.float().cpu().numpy() for name, of in rows.items()}

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        return {"score": -self._networks["D"](x)}


def inverse_spread(samples: Tensor) -> Tensor:
    """Return 1 / mean_i ||x_i - mean_j x_j||_2 of a batch, a scalar; only a single centre makes it
    large: two clusters opposite each other do not.
    """
    rows = samples.float().flatten(1)
    distances: Tensor = torch.linalg.vector_norm(rows - rows.mean(0), dim=1)
    return distances.mean().reciprocal()
