"""ADAE: two autoencoders as generator and discriminator.

Source: Vu, Ueta, Hashimoto, Maeno, Pranata, Shen, "Anomaly Detection with Adversarial Dual
Autoencoders" (2019). G and D are autoencoders of one architecture (L1 as means over all entries):

    L_D = |x - D(x)|_1 - |G(x) - D(G(x))|_1
    L_G = |x - G(x)|_1 + |G(x) - D(G(x))|_1

D reconstructs samples and spoils G's reconstructions; G is to make what D leaves as it is. The
score is the L2 distance of x to D(G(x)).

L_D falls the further D moves G's reconstructions, for vectors without end. The paper keeps
training stable by equal capacities and by rates that let the weaker network catch up, a sigmoid
centred at 0 without a formula. Ours: D's rate is ``lr`` times 2 s(b v) and G's ``lr`` times
2 s(-b v), with s the logistic function, b = ``balance`` and v the paper's L_D, which is 0 where D
treats samples and reconstructions alike and the lower the more D wins.

Two things are ours. The second term of L_D has a weight, ``adversarial_weight``, by default below
the paper's 1: where G(x) is nearly x the terms cancel at 1, and nothing keeps D from spoiling
both. And D always gets samples and reconstructions in one batch, so that batch normalisation
is the same for both and does not give away which is which. The paper's networks are convolutions
throughout; these have one linear layer at the latent. The authors released no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.ranges import Fraction, NonNegative, Positive, Steps
from omasgan.nn import autoencoders, batches, networks


@dataclass(kw_only=True, eq=False, repr=False)
class ADAE(NeuralDetector):
    """Adversarial dual autoencoders.

    Scores: ``discriminator``, the L2 distance of x to D(G(x)) (the paper's), and ``generator``,
    that of x to G(x), which shows what D adds. The defaults are a small budget for two CPU cores;
    the published settings are larger.
    """

    properties = frozenset({"autoencoder", "discriminator score", "reconstruction"})
    defaults_saw = "test scores, printed beside its training errors"

    train_steps: Steps = 400
    """Updates of D and G, one of each."""
    lr: Positive = 2e-4
    """Adam's rate, betas (0.5, 0.999), before balancing."""
    adversarial_weight: Fraction = 0.3
    """Of the second term of L_D; the paper's is 1."""
    balance: NonNegative = 5.0
    """How fast the rates move apart as one network wins; 0: they stay the same."""
    stage: Literal["discriminator", "generator"] = "discriminator"

    def _phases(self) -> Mapping[str, int]:
        return {"train": self.train_steps}

    def _enter(self, phase: str) -> None:
        self._add("G")
        self._add("D")
        self._train_here("G", "D")

    def _new(self, name: str) -> nn.Module:
        return autoencoders.Autoencoder(
            self._shape,
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of(name),
        )

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update D once, then G with the same samples."""
        D = self._networks["D"]
        x = normals.draw(self.batch_size, self._generator)
        with self._autocast():
            fake = self._networks["G"](x)
        on_x, on_fake = self._discriminator_errors(x, fake.detach())
        self._balance((on_x - on_fake).detach())
        loss_d = on_x - self.adversarial_weight * on_fake
        self._update(loss_d, "D")
        with networks.frozen(D):
            _, spoilt = self._discriminator_errors(x, fake)
        reconstruction = F.l1_loss(fake.float(), x)
        self._update(reconstruction + spoilt, "G")
        return {
            "d": loss_d,
            "g": reconstruction + spoilt,
            "reconstruction": reconstruction,
            "d_on_samples": on_x,
            "d_on_reconstructions": on_fake,
        }

    def _discriminator_errors(self, x: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means ``|x - D(x)|_1`` and ``|G(x) - D(G(x))|_1``."""
        with self._autocast():
            both = torch.cat([x, fake.to(x.dtype)])
            errors = (self._networks["D"](both).float() - both).abs()
        on_x, on_fake = errors.chunk(2)
        return on_x.mean(), on_fake.mean()

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        optimiser = adam(network, self.lr)
        optimiser.param_groups[0]["lr"] = torch.tensor(self.lr, device=self._device)
        return optimiser

    def _balance(self, loss_d: Tensor) -> None:
        """Slow the network that wins and hurry the other."""
        for name, sign in (("D", 1), ("G", -1)):
            share = 2 * torch.sigmoid(sign * self.balance * loss_d)
            self._optimisers[name].param_groups[0]["lr"].copy_(self.lr * share)

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        fake = self._networks["G"](x)
        return {
            "discriminator": (x - self._networks["D"](fake)).flatten(1).norm(dim=1),
            "generator": (x - fake).flatten(1).norm(dim=1),
        }
