"""WGAN-GP whose critic is then trained to tell real from generated samples.

Source: Choi, Jang, Alemi, "WAIC, but Why? Generative Ensembles for Robust Anomaly Detection"
(2018), whose ensembles for images have such members; the GAN is Gulrajani, Ahmed, Arjovsky,
Dumoulin, Courville, "Improved Training of Wasserstein GANs" (2017), eq. 3.

- phase ``gan``: L_D = E D(G(z)) - E D(x) + penalty E (|grad D(x')| - 1)^2 with x' between real and
  generated samples, ``critic_steps`` times, then L_G = -E D(G(z)) once;
- phase ``classifier``: D goes on alone against the frozen G, by cross-entropy on its raw output:
  at its optimum that is log p(x) - log p_G(x).

Scores: ``classifier``, minus the output after the second phase, and ``critic``, minus that after
the first, both higher off the data. No boundary samples take part, so that ``classifier`` is also
the control for OMASGAN's J: what a discriminator learns from a GAN's samples alone.

Where released code differs: it trains by RMSProp at 5e-5, here Adam; the classifier starts from
the critic in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import Count, NonNegative, Positive, Steps
from omasgan.nn import batches, networks, penalties


@dataclass(kw_only=True, eq=False, repr=False)
class WGAN(NeuralDetector):
    """WGAN-GP; scores ``classifier`` and ``critic``.

    The defaults are a small budget for two CPU cores, and no result.
    """

    properties = frozenset({"GAN", "discriminator score"})

    latent_dim: Count = 64
    penalty: Annotated[NonNegative, Phase("gan")] = 10.0
    """Weight of the gradient penalty, the paper's lambda."""
    critic_steps: Annotated[Count, Phase("gan")] = 3
    """Updates of D for each of G; the paper has 5."""
    gan_steps: Annotated[Steps, Phase("gan")] = 400
    """Updates of G."""
    gan_lr: Annotated[Positive, Phase("gan")] = 2e-4
    """Adam's rate, betas (0.5, 0.999)."""
    classifier_steps: Annotated[Steps, Phase("classifier")] = 200
    classifier_lr: Annotated[Positive, Phase("classifier")] = 2e-4
    stage: Annotated[Literal["classifier", "critic"], Phase("classifier")] = "classifier"

    def _phases(self) -> Mapping[str, int]:
        return {"gan": self.gan_steps, "classifier": self.classifier_steps}

    def _enter(self, phase: str) -> None:
        if phase == "gan":
            self._add("G")
            self._add("D")
            self._train_here("G", "D")
        else:
            self._add("classifier", networks.copy_of(self._networks["D"]))
            self._train_here("classifier")

    def _new(self, name: str) -> nn.Module:
        return self._generator_of(name) if name == "G" else self._critic_of(name)

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        return adam(network, self.classifier_lr if name == "classifier" else self.gan_lr)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        return self._gan_step(normals) if phase == "gan" else self._classifier_step(normals)

    def _gan_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        G, D = self._networks["G"], self._networks["D"]
        for _ in range(self.critic_steps):
            x, fake, (on_x, on_fake) = self._judged("D", normals)
            mix = torch.rand(len(x), generator=self._generator, device=self._generator.device)
            penalty = penalties.gradient_penalty(D, x, fake, mix)
            distance = on_x.float().mean() - on_fake.float().mean()
            self._update(self.penalty * penalty - distance, "D")
        with self._autocast(), networks.frozen(D):
            loss_g = -D(G(self._latents(self.batch_size))).float().mean()
        self._update(loss_g, "G")
        return {"distance": distance, "penalty": penalty, "g": loss_g}

    def _classifier_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        _, _, (on_x, on_fake) = self._judged("classifier", normals)
        loss = F.softplus(-on_x.float()).mean() + F.softplus(on_fake.float()).mean()
        self._update(loss, "classifier")
        return {"classifier": loss}

    def _judged(
        self, name: str, normals: batches.Sampler
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Return a batch of normals, one of G's samples, and the network's outputs on both."""
        x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
        with self._autocast():
            with torch.no_grad():
                fake = self._networks["G"](z)
            return x, fake, tuple(networks.jointly(self._networks[name], x, fake))

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        return {"classifier": -self._networks["classifier"](x), "critic": -self._networks["D"](x)}
