"""EGBAD: how badly a bidirectional GAN of normals reconstructs a sample.

Source: Zenati, Foo, Lecouat, Manek, Chandrasekhar, "Efficient GAN-Based Anomaly Detection" (2018),
on the BiGAN of Donahue et al. (2017): D tells pairs (x, E(x)) from pairs (G(z), z), while G and E
make it take the one for the other. With l_E and l_G its logits of the two kinds of pairs,

    D minimises BCE(l_E, 1) + BCE(l_G, 0),   G minimises BCE(l_G, 1),   E minimises BCE(l_E, 0).

Both scores are (1 - w) sum |x - G(E(x))| + w L_D(x), where L_D is, as in the released code, either
BCE(D(G(E(x)), E(x)), 1) (stage ``cross-entropy``) or sum |f(x, E(x)) - f(G(E(x)), E(x))| (stage
``feature-matching``), f the last hidden layer of D.

Where released code differs: its training and test normals are drawn from one pool by two different
permutations, so that most of the normals tested were trained on; here the splits are the
benchmark's. It drops out half of D's hidden units; here D has no dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.ranges import Count, Fraction, Positive, Steps
from omasgan.nn import batches, networks


@dataclass(kw_only=True, eq=False, repr=False)
class EGBAD(NeuralDetector):
    """A GAN with an encoder, whose critic judges samples together with their latents.

    Scores: ``cross-entropy`` and ``feature-matching``, see above. The defaults are a small budget
    for two CPU cores; settings from the literature stand in ``benchmarks/params``.
    """

    properties = frozenset({"GAN", "discriminator score", "reconstruction"})

    width: Count = 16
    joint_width: Count = 128
    """Units of D's layer for latents and of the layer f that joins both."""
    train_steps: Steps = 400
    """Updates of G and E, each after one of D."""
    lr: Positive = 1e-3
    """Adam's rate, betas (0.5, 0.999)."""
    weight: Fraction = 0.1
    """The w of the scores: the share of the critic's term."""
    stage: Literal["cross-entropy", "feature-matching"] = "feature-matching"

    # Training

    def _phases(self) -> Mapping[str, int]:
        return {"bigan": self.train_steps}

    def _enter(self, phase: str) -> None:
        for name in ("G", "E", "D"):
            self._add(name)
        self._train_here("G", "E", "D")

    def _new(self, name: str) -> nn.Module:
        if name == "G":
            return self._generator_of(name)
        if name == "E":
            return self._encoder_of(name, self.latent_dim)
        joint_seed = self._seed_of("D", "joint")
        return _JointCritic(self._critic_of(name), self.latent_dim, self.joint_width, joint_seed)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update D once, then G and E on the same pairs."""
        x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
        with self._autocast():
            code, fake = self._networks["E"](x), self._networks["G"](z)
        on_real, on_fake = self._logits(x, code.detach(), fake.detach(), z)
        loss_d = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        self._update(loss_d, "D")
        with networks.frozen(self._networks["D"]):
            on_real, on_fake = self._logits(x, code, fake, z)
        loss_g, loss_e = F.softplus(-on_fake).mean(), F.softplus(on_real).mean()
        self._update(loss_g + loss_e, "G", "E")
        return {"d": loss_d, "g": loss_g, "e": loss_e}

    def _logits(self, x: Tensor, code: Tensor, fake: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's outputs on the pairs (x, E(x)) and (G(z), z), in float32."""
        with self._autocast():
            outputs = self._networks["D"](torch.cat([x, fake]), torch.cat([code, z])).float()
        on_real, on_fake = outputs.chunk(2)
        return on_real, on_fake

    # Scoring

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        D = cast(_JointCritic, self._networks["D"])
        code = self._networks["E"](x)
        rebuilt = self._networks["G"](code)
        f = D.features(rebuilt, code)
        critic_terms = {
            "cross-entropy": F.softplus(-D.head(f).squeeze(1)),
            "feature-matching": (D.features(x, code) - f).abs().sum(1),
        }
        residual = (x - rebuilt).abs().flatten(1).sum(1)
        return {
            name: (1 - self.weight) * residual + self.weight * term
            for name, term in critic_terms.items()
        }


class _JointCritic(nn.Module):
    """Samples ``(n, ...)`` with latents ``(n, latent_dim)`` to one raw output each, ``(n,)``.

    ``features`` is the last hidden layer ``(n, width)``. As in every critic here there is no
    batch normalisation.
    """

    def __init__(self, samples: networks.Critic, latent_dim: int, width: int, seed: int) -> None:
        super().__init__()
        size = cast(nn.Linear, samples.head).in_features + width
        self.samples = samples.features
        with networks.initialised_from(seed):
            self.latents = nn.Sequential(nn.Linear(latent_dim, width), nn.LeakyReLU(0.2))
            self.joint = nn.Sequential(nn.Linear(size, width), nn.LeakyReLU(0.2))
            self.head = nn.Linear(width, 1)

    def features(self, x: Tensor, z: Tensor) -> Tensor:
        both = torch.cat([self.samples(x), self.latents(z)], dim=1)
        return self.joint(both)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.head(self.features(x, z)).squeeze(1)  # type: ignore[no-any-return]
