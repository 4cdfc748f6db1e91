"""AED, autoencoder-discriminator: OMASGAN's authors' own benchmark.

Source: Dionelis, Yaghoobi, Tsaftaris, "OMASGAN" (2021), section 4 and table 1. Stated there: AED
"uses reconstruction and latent losses, an encoder-decoder-encoder generator, and adversarial
training", and was developed for benchmarking; table 1 gives it a reconstruction and no
discriminator score, as it does to GANomaly. Nothing else is stated. Our choices: the losses, their
weights and the networks are GANomaly's (see ``ganomaly``), so that the two differ in one thing,
the adversarial training. That is the common one (Goodfellow et al. 2014): L_D is the binary
cross-entropy, and in the place of feature matching G minimises the non-saturating

    L_adv = -log D(x')

There is no released code to differ from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from omasgan.detectors.ganomaly import GANomaly


@dataclass(kw_only=True, eq=False, repr=False)
class AED(GANomaly):
    """An encoder-decoder-encoder generator that deceives a discriminator.

    Scores: ``reconstruction``, the mean of |x - x'| over the sample, ``latent``, the mean of
    (z - z')^2 over the latent, and ``aed``, both added with their weights in training: the loss of
    G on this sample without D. Which of them the authors used is not stated. The defaults are a
    small budget for two CPU cores. The params are GANomaly's.
    """

    stage: Literal["reconstruction", "latent", "aed"] = "aed"  # type: ignore[assignment]

    def _adversarial_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        """Return L_adv: D should take a reconstruction for a sample."""
        return F.softplus(-self._discriminator(fake).float()).mean()

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        scores = super()._scores(x)
        both = (
            self.reconstruction_weight * scores["reconstruction"]
            + self.latent_weight * scores["latent"]
        )
        return scores | {"aed": both}
