"""Variational autoencoder: how improbable a sample is under a model of normals.

Sources: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), eqs. 3, 7 and 10; An and
Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction Probability" (2015);
Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders" (2016), eq. 8.

With q(z|x) = N(mean(x), diag(variance(x))), p(x|z) Gaussian or Bernoulli, and p(z) = N(0, I), or
with ``prior_blocks`` a masked autoregressive flow that is trained along (Choi, Jang, Alemi 2018,
whose members of ensembles have one):

- training minimises -ELBO(x) = -E_q[log p(x|z)] + KL(q(z|x) || p(z)), one z a sample;
- ``reconstruction``: ||x - decoder(mean(x))||^2;
- ``elbo``: -ELBO(x), the KL in closed form (with a flow over the same noise), the expectation over
  fixed noise (without the KL it would be An and Cho's reconstruction probability);
- ``rate``: the KL alone, the rate of Choi, Jang and Alemi;
- ``iw``: -log of the mean over the same noise of p(x|z) p(z) / q(z|x), a tighter bound of
  -log p(x).

Two latents by default: held-out digits then have nowhere to go. Published leave-one-out AUROCs on
MNIST fall from 0.855 with 2 latents to 0.718 with 32, since a wider bottleneck reconstructs
anomalies as well.

Where released code differs: scores sampled with new noise at each call (two calls, two rankings);
a KL term clamped to 0, which makes the model a noisy autoencoder; likelihoods without their
normalising constant, so that scores of different ``scale`` are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.ranges import Count, Positive, Steps
from omasgan.errors import ConfigError
from omasgan.nn import batches, maf, posteriors


@dataclass(kw_only=True, eq=False, repr=False)
class VAE(NeuralDetector):
    """A variational autoencoder in one phase, ``train``.

    Scores: ``reconstruction``, ``elbo``, ``iw`` and ``rate`` (see the module);
    ``decision_function`` returns the one that ``stage`` names. The defaults are a small budget for
    two CPU cores, and no result; benchmarks/params holds published settings.
    """

    properties = frozenset({"autoencoder", "reconstruction", "likelihood"})

    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    """Of a pixel given z; ``bernoulli`` takes (x + 1) / 2 as a probability and is for images."""
    scale: Positive = 0.5
    """Standard deviation of the Gaussian likelihood, in units of x (which spans 2); of no effect
    on ``bernoulli``. The smaller, the less the KL term weighs."""
    latent_dim: Count = 2
    importance_samples: Count = 16
    """Noise vectors that ``elbo`` and ``iw`` average over."""
    prior_blocks: Steps = 0
    """Blocks of the flow that is p(z); 0: N(0, I). The paper's ensembles have 6."""
    prior_width: Count = 64
    """Units of the hidden layer of a block; the paper's have two layers of 512."""
    stage: Literal["reconstruction", "elbo", "iw", "rate"] = "elbo"
    train_steps: Steps = 900
    lr: Positive = 1e-3
    """Adam's rate, betas (0.5, 0.999)."""

    def _phases(self) -> Mapping[str, int]:
        return {"train": self.train_steps}

    def _begin(self, shape: list[int]) -> None:
        if self.likelihood == "bernoulli" and len(shape) == 1:
            raise ConfigError(
                "likelihood 'bernoulli' is for images, got vectors; choose 'gaussian'"
            )
        super()._begin(shape)

    def _enter(self, phase: str) -> None:
        for name in self._trained:
            self._add(name)
        self._train_here(*self._trained)

    @property
    def _trained(self) -> list[str]:
        return ["encoder", "decoder", *["prior"] * bool(self.prior_blocks)]

    def _new(self, name: str) -> nn.Module:
        if name == "prior":
            return maf.MAF(
                self.latent_dim,
                blocks=self.prior_blocks,
                hidden=self.prior_width,
                seed=self._seed_of(name),
            )
        if name == "encoder":
            return self._encoder_of(name, 2 * self.latent_dim)
        return self._generator_of(name)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        x = normals.draw(self.batch_size, self._generator)
        with self._autocast():
            mean, log_variance = self._posterior(x)
        noise = self._latents(self.batch_size)
        z = posteriors.draw(mean, log_variance, noise)
        # In bfloat16 tanh reaches 1, where the Bernoulli likelihood has no gradient.
        with nullcontext() if self.likelihood == "bernoulli" else self._autocast():
            decoded = self._networks["decoder"](z)
        distortion = -self._log_likelihood(x, decoded.float()).mean()
        if self.prior_blocks:
            kl = -self._log_ratio(z, noise, log_variance).mean()
        else:
            kl = posteriors.kl_divergence(mean, log_variance).mean()
        self._update(distortion + kl, *self._trained)
        return {"distortion": distortion, "kl": kl}

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), ``(n, latent_dim)`` each."""
        mean, log_variance = self._networks["encoder"](x).float().chunk(2, dim=1)
        return mean, log_variance

    def _log_likelihood(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Return the log of p(x|z), ``(n,)``, where the decoder makes ``decoded`` of z."""
        x, decoded = x.flatten(1), decoded.flatten(1)
        if self.likelihood == "bernoulli":
            loss = F.binary_cross_entropy((decoded + 1) / 2, (x + 1) / 2, reduction="none")
            return -loss.sum(1)
        constant = x.shape[1] * (math.log(self.scale) + math.log(2 * math.pi) / 2)
        return -(x - decoded).square().sum(1) / (2 * self.scale**2) - constant

    def _log_ratio(self, z: Tensor, noise: Tensor, log_variance: Tensor) -> Tensor:
        """Return log p(z) - log q(z|x), ``(n,)``, at the z that ``noise`` makes of q(z|x)."""
        if not self.prior_blocks:
            return posteriors.log_ratio(z, noise, log_variance)
        constant = self.latent_dim * math.log(2 * math.pi) / 2
        log_q = -(noise.square() + log_variance).sum(1) / 2 - constant
        prior: Any = self._networks["prior"]
        log_p: Tensor = prior.log_density(z)
        return log_p - log_q

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        decoder = self._networks["decoder"]
        mean, log_variance = self._posterior(x)
        likelihoods, log_ratios = [], []
        for noise in self._noise():
            z = posteriors.draw(mean, log_variance, noise)
            likelihoods.append(self._log_likelihood(x, decoder(z)))
            log_ratios.append(self._log_ratio(z, noise, log_variance))
        weights = [a + b for a, b in zip(likelihoods, log_ratios, strict=True)]
        log_mean = torch.logsumexp(torch.stack(weights), 0) - math.log(self.importance_samples)
        if self.prior_blocks:
            rate = -torch.stack(log_ratios).mean(0)
        else:
            rate = posteriors.kl_divergence(mean, log_variance)
        return {
            "reconstruction": (x - decoder(mean)).flatten(1).square().sum(1),
            "elbo": rate - torch.stack(likelihoods).mean(0),
            "iw": -log_mean,
            "rate": rate,
        }

    def _noise(self) -> Tensor:
        """Draw from N(0, I), ``(importance_samples, latent_dim)``, the same for all samples and
        calls.
        """
        generator = torch.Generator().manual_seed(self._seed_of("importance"))
        noise = torch.randn(self.importance_samples, self.latent_dim, generator=generator)
        return noise.to(self._device)
