"""Normalised autoencoder: an autoencoder that is a density, trained against its own samples.

Source: Yoon, Noh, Park, "Autoencoding Under Normalization Constraints" (2021). With x' the
reconstruction of x, of dimension d, and the latent on the unit sphere:

- E(x) = |x - x'|^2 / d is an energy: the density of x is p(x) = exp(-E(x) / T) / Z;
- phase ``pretrain`` trains a plain autoencoder, on the mean of E over normals;
- phase ``train`` goes up the gradient of the likelihood: it minimises E over normals minus E over
  samples x- of p, plus gamma E(x-)^2, without which E(x-) would grow without bound;
- x- comes from two Langevin chains. The first starts from latents, moves down the energy of what
  they decode to, and so ends near the manifold of the autoencoder ("on-manifold initialisation");
  the second starts from what the end of the first decodes to, and moves in x.

Scores:

- ``energy``: E(x), which is -log p(x) but for its scale and a constant;
- ``reconstruction``: the same of the autoencoder before ``train``, which starts from a copy of it:
  what the phase is worth, from one training.

As in the released code, rate and noise of the chains are set apart, so that a chain has a
temperature of its own; chains in the latent go on where an earlier step left them, but for a share
that begins anew, on the sphere at random; T is constant, which makes it a factor of gamma and no
more: it is left out here.

Ours: dense networks, those of the package for vectors, whatever the shape of a sample; no clipping
of the chains' gradients; noise of one size in all steps of the chain in x (theirs fades); energies
of samples in [-1, 1], which are four times those of samples in [0, 1]. Their configuration prints
the AUROC on the held-out class while it trains; nothing here sees one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import Count, Depth, Fraction, NonNegative, Positive, Steps
from omasgan.nn import autoencoders, batches, langevin, networks

PLAIN, NORMALISED = "autoencoder", "normalised"


@dataclass(kw_only=True, eq=False, repr=False)
class NAE(NeuralDetector):
    """A normalised autoencoder; scores ``energy`` and ``reconstruction`` (see the module).

    The defaults are a small budget for two CPU cores, and no result; benchmarks/params holds
    published settings. Beside each param stands the first phase that depends on it; those without
    one belong to ``pretrain``.
    """

    properties = frozenset({
        "autoencoder", "negative sampling", "negative training", "reconstruction", "likelihood",
    })  # fmt: skip

    latent_dim: Count = 16
    width: Count = 256
    """Units of each hidden layer."""
    depth: Depth = 3
    """Hidden layers of the encoder, and as many of the decoder; 0 are two."""
    sphere: Annotated[bool, Phase("pretrain")] = True
    """Scale latents to length 1."""
    pretrain_steps: Annotated[Steps, Phase("pretrain")] = 1_500
    pretrain_lr: Annotated[Positive, Phase("pretrain")] = 1e-3
    """Adam's rate, betas (0.9, 0.999), as in the other phase."""

    train_steps: Annotated[Steps, Phase("train")] = 300
    lr: Annotated[Positive, Phase("train")] = 1e-4
    gamma: Annotated[NonNegative, Phase("train")] = 2.0
    """Weight of the squared energy of samples. The published settings come to 0.25, with a tenth
    of this rate; at this rate 0.25 pushes up the energy of normals tenfold (digits)."""
    chains: Annotated[Count, Phase("train")] = 1_000
    """Chains in the latent, of which a step moves as many as ``batch_size``."""
    fresh: Annotated[Fraction, Phase("train")] = 0.05
    """Share of the chains in a step that begin anew."""
    latent_steps: Annotated[Steps, Phase("train")] = 10
    latent_rate: Annotated[Positive, Phase("train")] = 0.05
    """Of a chain in the latent, along the gradient of E."""
    latent_noise: Annotated[NonNegative, Phase("train")] = 0.05
    sample_steps: Annotated[Steps, Phase("train")] = 10
    sample_rate: Annotated[Positive, Phase("train")] = 0.03
    """Of a chain in x, along the gradient of |x - x'|^2 / 2: the share of the way to x' that a
    step goes, if x' stays."""
    sample_noise: Annotated[NonNegative, Phase("train")] = 0.02
    stage: Annotated[Literal["energy", "reconstruction"], Phase("train")] = "energy"

    def _phases(self) -> Mapping[str, int]:
        return {"pretrain": self.pretrain_steps, "train": self.train_steps}

    def _enter(self, phase: str) -> None:
        if phase == "pretrain":
            self._add(PLAIN)
            self._train_here(PLAIN)
        else:
            self._add(NORMALISED, networks.copy_of(self._networks[PLAIN]))
            self._train_here(NORMALISED)
            self._fitted["chains"] = self._onto(self._latents(self.chains))

    def _new(self, name: str) -> nn.Module:
        return autoencoders.Autoencoder(
            [math.prod(self._shape)],
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of(PLAIN),
        )

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        lr = self.pretrain_lr if name == PLAIN else self.lr
        return adam(network, lr, betas=(0.9, 0.999))

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        x = normals.draw(self.batch_size, self._generator).flatten(1)
        if phase == "pretrain":
            reconstruction = self._energy(x, PLAIN).mean()
            self._update(reconstruction, PLAIN)
            return {"reconstruction": reconstruction}
        samples = self._samples()
        energy, negative = self._energy(torch.cat([x, samples])).split([len(x), len(samples)])
        contrast = energy.mean() - negative.mean()
        self._update(contrast + self.gamma * negative.square().mean(), NORMALISED)
        return {"energy": energy.mean(), "negative": negative.mean()}

    def _energy(self, x: Tensor, name: str = NORMALISED) -> Tensor:
        """Return E of samples ``(n, d)``, ``(n,)``, by one of the autoencoders."""
        autoencoder: Any = self._networks[name]
        reconstruction: Tensor = autoencoder.decoder(self._onto(autoencoder.encoder(x)))
        return (x - reconstruction).square().mean(1)

    def _onto(self, latents: Tensor) -> Tensor:
        return F.normalize(latents) if self.sphere else latents

    def _samples(self) -> Tensor:
        """Return samples of p, ``(m, d)`` in [-1, 1]: the ends of the two chains."""
        chains, generator = self._fitted["chains"], self._generator
        order = torch.rand(self.chains, generator=generator, device=generator.device).argsort()
        chosen = order[: self.batch_size]
        anew = torch.rand(len(chosen), 1, generator=generator, device=generator.device)
        fresh = self._onto(self._latents(len(chosen)))
        z = torch.where(anew < self.fresh, fresh, chains[chosen])
        z = langevin.chain(
            lambda z: self._energy(self._decode(z)),
            z,
            steps=self.latent_steps,
            rate=self.latent_rate,
            noise=self.latent_noise,
            onto=self._onto,
            generator=generator,
        )
        chains[chosen] = z
        with torch.no_grad():
            x = self._decode(z)
        return langevin.chain(
            lambda x: self._energy(x) * (x.shape[1] / 2),
            x,
            steps=self.sample_steps,
            rate=self.sample_rate,
            noise=self.sample_noise,
            onto=in_range,
            generator=generator,
        )

    def _decode(self, z: Tensor) -> Tensor:
        """Return the samples that latents stand for, ``(n, d)`` in [-1, 1]."""
        autoencoder: Any = self._networks[NORMALISED]
        return in_range(autoencoder.decoder(z))

    def _finish(self, X: NDArray[Any]) -> None:
        self._fitted = {}  # scoring needs no chains

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        x = x.flatten(1)
        return {"energy": self._energy(x), "reconstruction": self._energy(x, PLAIN)}


def in_range(x: Tensor) -> Tensor:
    """Return the samples in [-1, 1] that are nearest to ``x``."""
    return x.clamp(-1, 1)
