"""TailGAN: a GAN with a density, which is the score, and a generator of samples of its tail.

Sources: Dionelis, Yaghoobi, Tsaftaris, "Tail of Distribution GAN (TailGAN): Generative-
Adversarial-Network-Based Boundary Formation" (2020), and for the GAN Dieng, Ruiz, Blei, Titsias,
"Prescribed Generative Adversarial Networks" (2019). Of TailGAN only the abstract could be read;
the rest follows its authors' unpublished scripts.

A sample of the GAN is x~ = G(z) + sigma eta with z and eta from N(0, I) and a learned deviation
sigma of each entry, so that there is a density p_g(x) = E_z N(x; G(z), diag(sigma^2)).

- Phase ``gan``: L_D = BCE(D(x + sigma eta), 1) + BCE(D(x~), 0), and G and sigma minimise
  BCE(D(x~), 1) - ``entropy`` H(p_g). The gradient of the entropy H goes through x~ alone:

      -grad log p_g(x~) = E[(x~ - G(z)) / sigma^2 | x~]

  is the mean over ``posterior_samples`` states of a chain of Hamiltonian Monte Carlo (``nn.hmc``)
  that starts at the z that made x~. That is a draw of the posterior already, but one that depends
  on z: the burn-in is there for the chain to leave it.
- Phase ``encoder``: E learns q(z|x), a Gaussian, from samples of the GAN and the z of each.
- Phase ``boundary``: B minimises, p_g fixed, the loss of BDSG's B (``bdsg``): its samples are
  unlikely, near the data, and spread.

``score`` is -log p_g(x) by importance sampling: the mean over fixed draws of q of
N(x; G(z), sigma^2) N(z; 0, I) / q(z|x). B has no part in it: it shows where the boundary is.

Where released code differs: that of PresGAN has no gradient of G in its chains, so that leaps see
the prior alone. The scripts of TailGAN score by the value of the entropy's surrogate, of which
only the gradient means something, with new noise in each call; to B, which starts from G, they
give Lambert's W of it, which is 0 or infinite for images. Ours: B's loss and its fresh start,
which are BDSG's, the encoder, limits of sigma, and dense networks for images too, since every leap
of a chain is a pass through G.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.density_boundary import DensityBoundary
from omasgan.detectors.neural import adam
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import Count, NonNegative, Positive, Steps
from omasgan.nn import batches, hmc, networks, posteriors
from omasgan.nn.losses import binary_cross_entropy

LEAST_LOG_VARIANCE = -10.0
"""Of q(z|x); without it the loss of E has no lower bound."""


@dataclass(kw_only=True, eq=False, repr=False)
class TailGAN(DensityBoundary):
    """A GAN with a density in three phases, ``gan``, ``encoder`` and ``boundary``; the one score
    is ``score``, -log p_g(x).

    The defaults are a small budget for two CPU cores, and no result. ``entropy`` and ``gan_lr``
    are those of the larger likelihood of held-out normals (digits), of two settings; that others
    were tried was due to a low AUROC on the test digits.
    Beside each param stands the first phase that depends on it; those without one belong to
    ``gan``.
    """

    properties = frozenset({"GAN", "negative sampling", "boundary loss", "likelihood"})
    defaults_saw = "test anomalies of digits"

    latent_dim: Count = 16
    width: Count = 128
    """Units of each hidden layer."""
    noise: Annotated[float, Field(gt=0, le=1), Phase("gan")] = 0.3
    """The sigma that training starts from, in units of x (which spans 2)."""
    least_noise: Annotated[float, Field(gt=0, le=1), Phase("gan")] = 0.01
    """The least sigma; the largest is 1."""
    entropy: Annotated[NonNegative, Phase("gan")] = 1e-2
    """Weight of the entropy, PresGAN's lambda; 0: a GAN with noise, and no chains."""
    posterior_samples: Annotated[Count, Phase("gan")] = 2
    burn_in: Annotated[Count, Phase("gan")] = 2
    """Transitions of a chain before those that count, in which the length of a leap is adapted."""
    leaps: Annotated[Count, Phase("gan")] = 5
    """Leapfrog steps of a transition."""
    gan_steps: Annotated[Steps, Phase("gan")] = 600
    """Updates of D and of G and sigma, one of each."""
    gan_lr: Annotated[Positive, Phase("gan")] = 1e-3
    """Adam's rate of all three, betas (0.5, 0.999)."""

    encoder_steps: Annotated[Steps, Phase("encoder")] = 600
    encoder_lr: Annotated[Positive, Phase("encoder")] = 1e-3
    """Adam's rate, betas (0.9, 0.999), as in the next phase."""
    importance_samples: Annotated[Count, Phase("encoder")] = 50
    """Draws of q(z|x) that p_g is averaged over."""

    def _phases(self) -> Mapping[str, int]:
        return {
            "gan": self.gan_steps,
            "encoder": self.encoder_steps,
            "boundary": self.boundary_steps,
        }

    def _enter(self, phase: str) -> None:
        if phase == "gan":
            self._fitted["leap"] = torch.tensor(1 / self.latent_dim, device=self._device)
            trained = ["G", "D", "sigma"]
        else:
            trained = ["E" if phase == "encoder" else "B"]
        if phase == "encoder":
            self._fitted["draws"] = self._draws()
        for name in trained:
            self._add(name)
        self._train_here(*trained)

    def _draws(self) -> Tensor:
        """Draw from N(0, I), ``(importance_samples, latent_dim)``: the same for all samples."""
        generator = torch.Generator().manual_seed(self._seed_of("importance"))
        draws = torch.randn(self.importance_samples, self.latent_dim, generator=generator)
        return draws.to(self._device)

    def _new(self, name: str) -> nn.Module:
        d, seed = [math.prod(self._shape)], self._seed_of(name)
        if name == "sigma":
            return Sigma(d[0], self.noise, self.least_noise)
        if name == "D":
            return networks.critic(
                d, width=self.width, depth=self.depth, normalised=False, seed=seed
            )
        if name == "E":
            return networks.encoder(
                d, outputs=2 * self.latent_dim, width=self.width, depth=self.depth, seed=seed
            )
        generator = networks.generator(
            d, latent_dim=self.latent_dim, width=self.width, depth=self.depth, seed=seed
        )
        return generator if len(self._shape) == 1 else nn.Sequential(generator, nn.Tanh())

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        if name in ("G", "D", "sigma"):
            return adam(network, self.gan_lr)
        lr = self.encoder_lr if name == "E" else self.boundary_lr
        return adam(network, lr, betas=(0.9, 0.999))

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        if phase == "gan":
            x = normals.draw(self.batch_size, self._generator).flatten(1)
            return {"d": self._discriminator_step(x)} | self._generator_step()
        return self._encoder_step() if phase == "encoder" else self._boundary_step(normals)

    def _discriminator_step(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self._noisy(self._networks["G"](self._latents(len(x))))
            real = self._noisy(x)
        on_real, on_fake = networks.jointly(self._networks["D"], real, fake)
        loss = binary_cross_entropy(on_real, 1.0) + binary_cross_entropy(on_fake, 0.0)
        self._update(loss, "D")
        return loss

    def _generator_step(self) -> dict[str, Tensor]:
        D = self._networks["D"]
        z = self._latents(self.batch_size)
        fake = self._noisy(self._networks["G"](z))
        with networks.frozen(D):
            adversarial = binary_cross_entropy(D(fake), 1.0)
        loss = adversarial
        if self.entropy:
            loss = adversarial - self.entropy * (self._downhill(fake, z) * fake).sum(1).mean()
        self._update(loss, "G", "sigma")
        self._sigma.limit()
        return {
            "g": adversarial,
            "sigma": self._sigma.deviations().mean(),
            "leap": self._fitted["leap"].clone(),
        }

    def _downhill(self, x: Tensor, start: Tensor) -> Tensor:
        """Return -grad log p_g at rows ``(n, d)``, from chains that start at latents ``start``."""
        G, x, sigma = self._networks["G"], x.detach(), self._sigma.deviations().detach()

        def energy(z: Tensor) -> Tensor:
            error: Tensor = ((x - G(z)) / sigma).square().sum(1)
            return (z.square().sum(1) + error) / 2

        states = hmc.chain(
            energy,
            start,
            step=self._fitted["leap"],
            leaps=self.leaps,
            burn_in=self.burn_in,
            samples=self.posterior_samples,
            generator=self._generator,
        )
        with torch.no_grad():
            mean = torch.stack([G(z) for z in states]).mean(0)
        return (x - mean) / sigma.square()

    def _encoder_step(self) -> dict[str, Tensor]:
        z = self._latents(self.batch_size)
        mean, log_variance = self._posterior(self._noisy(self._networks["G"](z)))
        errors = (z - mean).square() / log_variance.exp()
        loss = (log_variance + errors + math.log(2 * math.pi)).sum(1).mean() / 2
        self._update(loss, "E")
        return {"encoder": loss}

    @property
    def _sigma(self) -> Sigma:
        return cast(Sigma, self._networks["sigma"])

    def _noisy(self, rows: Tensor) -> Tensor:
        noise = torch.randn(rows.shape, generator=self._generator, device=self._device)
        return rows + self._sigma.deviations() * noise

    def _posterior(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), ``(n, latent_dim)`` each."""
        mean, log_variance = self._networks["E"](rows).chunk(2, dim=1)
        return mean, log_variance.clamp_min(LEAST_LOG_VARIANCE)

    def _log_density(self, rows: Tensor) -> Tensor:
        """Return log p_g of rows ``(n, d)``, ``(n,)``.

        A gradient goes through the draws too: where q is the posterior it is exact with any draw.
        """
        G, sigma = self._networks["G"], self._sigma.deviations()
        mean, log_variance = self._posterior(rows)
        constant = sigma.log().sum() + rows.shape[1] * math.log(2 * math.pi) / 2
        weights = []
        for noise in self._fitted["draws"]:
            z = posteriors.draw(mean, log_variance, noise)
            error = ((rows - G(z)) / sigma).square().sum(1) / 2
            weights.append(posteriors.log_ratio(z, noise, log_variance) - error)
        return torch.logsumexp(torch.stack(weights), 0) - math.log(len(weights)) - constant

    @torch.no_grad()
    def _generated(self, n: int) -> dict[str, NDArray[np.float32]]:
        self._check_fitted()
        generator = torch.Generator().manual_seed(self._seed_of("samples"))
        z = torch.randn(n, self.latent_dim, generator=generator).to(self._device)
        rows = {name: self._networks[name](z).reshape(-1, *self._shape) for name in ("G", "B")}
        return {name: x.cpu().numpy() for name, x in rows.items()}

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        return {"score": -self._log_density(x.flatten(1))}


class Sigma(nn.Module):
    """The deviation of each of ``d`` entries, ``(d,)``, between ``least`` and 1."""

    def __init__(self, d: int, start: float, least: float) -> None:
        super().__init__()
        self.limits = _raw(least), _raw(1.0)
        self.raw = nn.Parameter(torch.full((d,), _raw(start)))

    def deviations(self) -> Tensor:
        return F.softplus(self.raw)

    @torch.no_grad()
    def limit(self) -> None:
        """Bring the deviations back between their limits."""
        self.raw.clamp_(*self.limits)


def _raw(deviation: float) -> float:
    return math.log(math.expm1(deviation))
