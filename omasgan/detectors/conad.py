"""ConAD: a variational autoencoder with several hypotheses, kept apart and kept real.

Source: Nguyen, Lou, Klar, Brox, "Anomaly Detection With Multiple-Hypotheses Predictions" (2019).
The last layer of a VAE's decoder has H heads, each a Gaussian p_h(x|z) with its own mean and the
fixed deviation ``scale``. With h the head of the largest p_h(x|z), sample by sample,

- winner takes all: L_WTA = -log p_h(x|z); the relaxed form (the paper's MHP baseline) gives the
  winner the weight 1 - eps and each of the others eps / (H - 1), with eps = ``relaxation``;
- the autoencoder minimises L_WTA + KL(q(z|x) || N(0, I)) + ``adversarial_weight`` L_adv;
- D tells samples from three groups of hypotheses: those of latents from N(0, I), those of q(z|x),
  and the winners. L_D = BCE(D(x), 1) + the sum over the groups of BCE(D(group), 0), and L_adv is
  the non-saturating sum over the groups of BCE(D(group), 1). The first two groups hold all heads:
  there is nothing else that a head which never wins could learn from.

Scores, with z the mean of q(z|x) and the constants of a Gaussian: ``wta``, -log p_h(x|z) of the
best head, and ``worst``, the same of each head's ``worst_share`` worst entries of a sample, again
of the best head. The paper scores objects by the former, defects in textures by the latter.

The paper leaves open the sizes, the rates and the weight of L_adv. It learns the variances, which
need a floor; here they are fixed. It lets D compare the hypotheses of one sample with each other
(minibatch discrimination); that is left out. In the first two groups each latent shows one head,
all heads in turn, so that no group is larger than a batch. The authors released no code; that of
others chooses one winner for a whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.ranges import Count, Fraction, NonNegative, Positive, Share, Steps
from omasgan.errors import ConfigError
from omasgan.nn import batches, networks, posteriors
from omasgan.nn.losses import binary_cross_entropy


@dataclass(kw_only=True, eq=False, repr=False)
class ConAD(NeuralDetector):
    """A VAE with several hypotheses in one phase, ``train``; scores ``wta`` and ``worst``.

    With one head and no D it is trained as ``vae`` is. The defaults are a small budget for two CPU
    cores, and no result.
    """

    properties = frozenset({"autoencoder", "reconstruction", "likelihood"})
    defaults_saw = "test anomalies of digits"

    heads: Count = 4
    """The paper's H: hypotheses of one latent."""
    relaxation: Fraction = 0.0
    """The eps of the relaxed form; 0: the winner takes all, (H - 1) / H: all heads alike."""
    adversarial_weight: NonNegative = 1.0
    """Of L_adv; 0: no D."""
    scale: Positive = 0.5
    """Standard deviation of each head, in units of x (which spans 2)."""
    latent_dim: Count = 8
    worst_share: Share = 0.1
    """Share of a sample's entries that ``worst`` adds up."""
    stage: Literal["wta", "worst"] = "wta"
    train_steps: Steps = 900
    lr: Positive = 1e-3
    """Adam's rate of the autoencoder, betas (0.5, 0.999)."""
    discriminator_lr: Positive = 1e-4
    """The same of D."""

    def _phases(self) -> Mapping[str, int]:
        return {"train": self.train_steps}

    def _begin(self, shape: list[int]) -> None:
        if self.relaxation and self.heads == 1:
            raise ConfigError(
                f"relaxation needs a head that can lose, got {self.relaxation} with 1 head; "
                "choose more heads, or relaxation 0"
            )
        super()._begin(shape)

    def _enter(self, phase: str) -> None:
        trained = ["encoder", "decoder"] + ["D"] * bool(self.adversarial_weight)
        for name in trained:
            self._add(name)
        self._train_here(*trained)

    def _new(self, name: str) -> nn.Module:
        if name == "D":
            return self._critic_of(name)
        if name == "encoder":
            return self._encoder_of(name, 2 * self.latent_dim)
        return networks.generator(
            [self.heads * self._shape[0], *self._shape[1:]],
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of(name),
        )

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        return adam(network, self.discriminator_lr if name == "D" else self.lr)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        x, noise = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
        with self._autocast():
            mean, log_variance = self._posterior(x)
        z = posteriors.draw(mean, log_variance, noise)
        with self._autocast():
            hypotheses = self._hypotheses(z)
        likelihoods = self._log_likelihoods(x, hypotheses)
        winners = likelihoods.argmax(1)
        counts = shares(winners, self.heads, self.relaxation)
        distortion = -(counts * likelihoods).sum(1).mean()
        kl = posteriors.kl_divergence(mean, log_variance).mean()
        losses = {"distortion": distortion, "kl": kl, "in_use": in_use(winners, self.heads)}
        if self.adversarial_weight:
            groups = self._groups(hypotheses, winners)
            losses["d"] = self._discriminator_step(x, groups)
            losses["adversarial"] = self._adversarial_loss(groups)
        loss = distortion + kl + self.adversarial_weight * losses.get("adversarial", 0.0)
        self._update(loss, "encoder", "decoder")
        return losses

    def _groups(self, hypotheses: Tensor, winners: Tensor) -> list[Tensor]:
        """Return what D sees as generated, a batch each: heads of latents from N(0, I), heads of
        those of samples, and the winners.
        """
        turns = torch.arange(len(winners), device=self._device) % self.heads
        with self._autocast():
            imagined = self._hypotheses(self._latents(len(winners)))
        return [shown(imagined, turns), shown(hypotheses, turns), shown(hypotheses, winners)]

    def _discriminator_step(self, x: Tensor, groups: list[Tensor]) -> Tensor:
        with self._autocast():
            on_x, *on_groups = networks.jointly(
                self._networks["D"], x, *(group.detach().to(x.dtype) for group in groups)
            )
        fake = torch.stack([binary_cross_entropy(on_group, 0.0) for on_group in on_groups])
        loss = binary_cross_entropy(on_x, 1.0) + fake.sum()
        self._update(loss, "D")
        return loss

    def _adversarial_loss(self, groups: list[Tensor]) -> Tensor:
        D = self._networks["D"]
        with self._autocast(), networks.frozen(D):
            on_groups = networks.jointly(D, *groups)
        return torch.stack([binary_cross_entropy(each, 1.0) for each in on_groups]).sum()

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), ``(n, latent_dim)`` each."""
        mean, log_variance = self._networks["encoder"](x).float().chunk(2, dim=1)
        return mean, log_variance

    def _hypotheses(self, z: Tensor) -> Tensor:
        """Return the means of all heads, ``(n, heads, ...)``."""
        decoded: Tensor = self._networks["decoder"](z)
        return decoded.reshape(len(decoded), self.heads, *self._shape)

    def _log_likelihoods(self, x: Tensor, hypotheses: Tensor, worst: int | None = None) -> Tensor:
        """Return log p_h(x|z) of each head, ``(n, heads)``, or of its ``worst`` entries alone."""
        errors = (x.flatten(1)[:, None] - hypotheses.float().flatten(2)).square()
        if worst is not None:
            errors = errors.topk(worst, dim=2).values
        constant = errors.shape[2] * (math.log(self.scale) + math.log(2 * math.pi) / 2)
        return -errors.sum(2) / (2 * self.scale**2) - constant

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        hypotheses = self._hypotheses(self._posterior(x)[0])
        worst = max(1, round(self.worst_share * math.prod(self._shape)))
        return {
            "wta": -self._log_likelihoods(x, hypotheses).amax(1),
            "worst": -self._log_likelihoods(x, hypotheses, worst).amax(1),
        }


def shares(winners: Tensor, heads: int, relaxation: float) -> Tensor:
    """Return what the loss of each head counts, ``(n, heads)``: the heads ``winners`` ``(n,)``
    leave the share ``relaxation`` to the others.
    """
    won = (winners[:, None] == torch.arange(heads, device=winners.device)).float()
    if not relaxation:
        return won
    return (1 - relaxation) * won + relaxation / (heads - 1) * (1 - won)


def shown(hypotheses: Tensor, heads: Tensor) -> Tensor:
    """Return one hypothesis ``(n, ...)`` of each sample ``(n, heads, ...)``: that of the head
    ``heads`` ``(n,)``.
    """
    index = heads.reshape(-1, *[1] * (hypotheses.dim() - 1))
    return hypotheses.take_along_dim(index, dim=1).squeeze(1)


def in_use(winners: Tensor, heads: int) -> Tensor:
    """Return how many heads win, as the exponential of the entropy of their shares: from 1 to
    ``heads``.
    """
    entropy: Tensor = torch.special.entr(shares(winners, heads, 0.0).mean(0)).sum()
    return entropy.exp()
