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

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from omasgan.detectors.ganomaly import GANomaly
from omasgan.detectors.neural import Count, Depth, NonNegative, Pairs, Positive, Steps
from omasgan.nn import batches


class AED(GANomaly):
    """An encoder-decoder-encoder generator that deceives a discriminator.

    Scores: ``reconstruction``, the mean of |x - x'| over the sample, ``latent``, the mean of
    (z - z')^2 over the latent, and ``aed``, both added with their weights in training: what G's
    loss is on this sample without D. Which of them the authors used is not stated. The defaults
    are a small budget for two CPU cores.

    Args:
        latent_dim: dimensions of z.
        width, depth: size of G, E and D (see ``omasgan.nn.networks``); depth 0 fits the data.
        batch_size: samples a step.
        train_steps: updates of G and E, each with one of D.
        lr: Adam's rate for all networks, betas (0.5, 0.999).
        adversarial_weight, reconstruction_weight, latent_weight: weights in G's loss.
        epoch_steps: steps that make one epoch of the training iterator.
        score: the score that ``decision_function`` gives.
        precision: ``auto`` trains in bfloat16 where the chip computes in it; scores are float32.
        seed: of everything random here; no global generator is used.
        device: ``auto``, ``cpu``, ``cuda`` ...
    """

    def __init__(
        self,
        *,
        latent_dim: Count = 32,
        width: Count = 32,
        depth: Depth = 0,
        batch_size: Pairs = 64,
        train_steps: Steps = 500,
        lr: Positive = 2e-4,
        adversarial_weight: NonNegative = 1.0,
        reconstruction_weight: NonNegative = 50.0,
        latent_weight: NonNegative = 1.0,
        epoch_steps: Count = 50,
        score: Literal["reconstruction", "latent", "aed"] = "aed",
        precision: batches.Precision = "auto",
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        super().__init__(
            latent_dim=latent_dim,
            width=width,
            depth=depth,
            batch_size=batch_size,
            train_steps=train_steps,
            lr=lr,
            adversarial_weight=adversarial_weight,
            reconstruction_weight=reconstruction_weight,
            latent_weight=latent_weight,
            epoch_steps=epoch_steps,
            precision=precision,
            seed=seed,
            device=device,
        )
        self.score = score  # type: ignore[assignment]

    def _adversarial_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        """L_adv: D is to take a reconstruction for a sample."""
        return F.softplus(-self._discriminator(fake).float()).mean()

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        scores = super()._scores(x)
        both = (
            self.reconstruction_weight * scores["reconstruction"]
            + self.latent_weight * scores["latent"]
        )
        return scores | {"aed": both}
