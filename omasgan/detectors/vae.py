"""Variational autoencoder: how improbable a sample is under a model of normals.

Sources: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), eqs. 3, 7 and 10; An and
Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction Probability" (2015);
Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders" (2016), eq. 8.

With q(z|x) = N(mean(x), diag(variance(x))), p(z) = N(0, I) and p(x|z) Gaussian or Bernoulli:

- training minimises -ELBO(x) = -E_q[log p(x|z)] + KL(q(z|x) || p(z)), one z a sample;
- ``reconstruction``: ||x - decoder(mean(x))||^2;
- ``elbo``: -ELBO(x), the KL in closed form, the expectation over fixed noise (without the KL it
  would be An and Cho's reconstruction probability);
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
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.ranges import Count, Positive, Steps
from omasgan.errors import ConfigError
from omasgan.nn import batches


@dataclass(kw_only=True, eq=False, repr=False)
class VAE(NeuralDetector):
    """A variational autoencoder in one phase, ``train``.

    Scores: ``reconstruction``, ``elbo`` and ``iw`` (see the module); ``decision_function`` returns
    the one that ``score`` names. The defaults are a small budget for two CPU cores, and no result;
    benchmarks/params holds published settings.
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
    score: Literal["reconstruction", "elbo", "iw"] = "elbo"
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
        self._add("encoder")
        self._add("decoder")
        self._train_here("encoder", "decoder")

    def _new(self, name: str) -> nn.Module:
        if name == "encoder":
            return self._encoder_of(name, 2 * self.latent_dim)
        return self._generator_of(name)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        x = normals.draw(self.batch_size, self._generator)
        with self._autocast():
            mean, log_variance = self._posterior(x)
        z = mean + (0.5 * log_variance).exp() * self._latents(self.batch_size)
        # In bfloat16 tanh reaches 1, where the Bernoulli likelihood has no gradient.
        with nullcontext() if self.likelihood == "bernoulli" else self._autocast():
            decoded = self._networks["decoder"](z)
        distortion = -self._log_likelihood(x, decoded.float()).mean()
        kl = kl_divergence(mean, log_variance).mean()
        self._update(distortion + kl, "encoder", "decoder")
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

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        decoder = self._networks["decoder"]
        mean, log_variance = self._posterior(x)
        kl = kl_divergence(mean, log_variance)
        likelihoods, weights = [], []
        for noise in self._noise():
            z = mean + (0.5 * log_variance).exp() * noise
            likelihoods.append(self._log_likelihood(x, decoder(z)))
            # log p(z) - log q(z|x): the normalising constants cancel.
            log_ratio = (noise.square() + log_variance - z.square()).sum(1) / 2
            weights.append(likelihoods[-1] + log_ratio)
        log_mean = torch.logsumexp(torch.stack(weights), 0) - math.log(self.importance_samples)
        return {
            "reconstruction": (x - decoder(mean)).flatten(1).square().sum(1),
            "elbo": kl - torch.stack(likelihoods).mean(0),
            "iw": -log_mean,
        }

    def _noise(self) -> Tensor:
        """Draw from N(0, I), ``(importance_samples, latent_dim)``, the same for all samples and
        calls.
        """
        generator = torch.Generator().manual_seed(self._seed_of("importance"))
        noise = torch.randn(self.importance_samples, self.latent_dim, generator=generator)
        return noise.to(self._device)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, diag(exp(log_variance))) || N(0, I)) of each row, ``(n,)``."""
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
