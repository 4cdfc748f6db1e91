"""GANomaly: what a reconstruction loses shows in its latents.

Source: Akcay, Atapour-Abarghouei, Breckon, "GANomaly: Semi-Supervised Anomaly Detection via
Adversarial Training" (ACCV 2018). A generator G encodes a sample, z = G_E(x), decodes it,
x' = G_D(z), and a second encoder E reads the reconstruction, z' = E(x'). With f the last hidden
layer of a discriminator D (eqs. 1 to 4, as means over all entries):

    L_adv = |f(x) - f(x')|^2     L_con = |x - x'|     L_enc = |z - z'|^2
    L_G = w_adv L_adv + w_con L_con + w_enc L_enc, with the weights 1, 50, 1
    L_D = (BCE(D(x), 1) + BCE(D(x'), 0)) / 2

Where released code differs: it scores in training mode, so that a test sample's score depends on
the others of its batch through batch normalisation, scales scores by the minimum and maximum of
the test set, reports the epoch that is best on the test set, and draws D anew whenever
L_D < 1e-5. Here scoring is in eval mode, a score is the sample's own, training has a fixed
length and D is never reset. D is this package's critic, without batch normalisation; samples are
in [-1, 1], the range of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.ranges import NonNegative, Positive, Steps
from omasgan.nn import autoencoders, batches, networks


@dataclass(kw_only=True, eq=False, repr=False)
class GANomaly(NeuralDetector):
    """An encoder-decoder-encoder generator against a discriminator.

    Scores: ``latent``, the mean of (z - z')^2 over the latent (the paper's, eq. 5), and
    ``reconstruction``, the mean of |x - x'| over the sample. The defaults are a small budget for
    two CPU cores; the published settings are larger.
    """

    properties = frozenset({"autoencoder", "reconstruction"})

    train_steps: Steps = 500
    """Updates of G and E, each with one of D."""
    lr: Positive = 2e-4
    """Adam's rate for all networks, betas (0.5, 0.999)."""
    adversarial_weight: NonNegative = 1.0
    """The paper's w_adv, the weight of L_adv (eq. 1)."""
    reconstruction_weight: NonNegative = 50.0
    """The paper's w_con, the weight of L_con (eq. 2)."""
    latent_weight: NonNegative = 1.0
    """The paper's w_enc, the weight of L_enc (eq. 3)."""
    stage: Literal["latent", "reconstruction"] = "latent"

    def _phases(self) -> Mapping[str, int]:
        return {"train": self.train_steps}

    def _enter(self, phase: str) -> None:
        self._add("G")
        self._add("D")
        self._train_here("G", "D")

    def _new(self, name: str) -> nn.Module:
        if name == "D":
            return self._critic_of(name)
        return autoencoders.EncoderDecoderEncoder(
            self._shape,
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of(name),
        )

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update G and E once, then D with the same samples."""
        D = self._discriminator
        x = normals.draw(self.batch_size, self._generator)
        with self._autocast():
            z, fake, again = self._networks["G"](x)
            with networks.frozen(D):
                adversarial = self._adversarial_loss(x, fake)
        reconstruction = F.l1_loss(fake.float(), x)
        latent = F.mse_loss(again.float(), z.float())
        loss_g = (
            self.adversarial_weight * adversarial
            + self.reconstruction_weight * reconstruction
            + self.latent_weight * latent
        )
        self._update(loss_g, "G")
        with self._autocast():
            on_x, on_fake = D(torch.cat([x, fake.detach()])).float().chunk(2)
        loss_d = (F.softplus(-on_x).mean() + F.softplus(on_fake).mean()) / 2
        self._update(loss_d, "D")
        return {
            "g": loss_g,
            "d": loss_d,
            "adversarial": adversarial,
            "reconstruction": reconstruction,
            "latent": latent,
        }

    def _adversarial_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        """Return L_adv: D's features of a reconstruction should match those of its sample."""
        with torch.no_grad():
            wanted = self._discriminator.features(x)
        return F.mse_loss(self._discriminator.features(fake).float(), wanted.float())

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        z, fake, again = self._networks["G"](x)
        return {
            "latent": (z - again).square().mean(1),
            "reconstruction": (x - fake).abs().flatten(1).mean(1),
        }

    @property
    def _discriminator(self) -> networks.Critic:
        return cast(networks.Critic, self._networks["D"])
