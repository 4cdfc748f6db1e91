"""OGNet: a discriminator that tells good reconstructions from bad ones.

Source: Zaheer, Lee, Astrid, Lee, "Old is Gold: Redefining the Adversarially Learned One-Class
Classifier Training Paradigm" (CVPR 2020). G is an autoencoder; D is high on what is anomalous.

- Phase ``reconstruct``: with x~ = x + noise, clipped to [-1, 1],
  L_D = (BCE(D(G(x~)), 1) + BCE(D(x), 0)) / 2 and
  L_G = (1 - w) mean (G(x~) - x)^2 + w BCE(D(G(x~)), 0). G_old is G after the first few steps.
- Phase ``discriminate``: D alone goes on, at half its rate, without noise. What is good are
  samples x and their reconstructions G(x), what is bad are G_old(x) and reconstructions of
  mixtures, m = G((G_old(x_i) + G_old(x_j)) / 2) with two different samples:
  L_D = a BCE(D(x), 0) + (1 - a) BCE(D(G(x)), 0) + b BCE(D(G_old(x)), 1) + (1 - b) BCE(D(m), 1).

The score ``ognet`` is D(G(x)) before the sigmoid, with D after both phases. ``baseline`` is the
same with D after the first, as in the paper's ablation, and ``reconstruction`` is ||x - G(x)||^2.

Where released code differs: it squares its noise's deviation of 0.9 and uses the result as one; it
updates D and then G against what D said before; in the second phase D's batch normalisation sees
one kind of samples at a time, whose statistics give the label away. Here D has no such layers. The
paper stops the first phase early and finds the exact step of little weight; here both lengths are
params. G's latent is a map and no bottleneck, close to the paper's: what goes through a bottleneck
comes back as a normal sample whatever it was, and D has nothing to find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.base import State
from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import Count, Fraction, NonNegative, Positive, Share, Steps
from omasgan.nn import autoencoders, batches, networks
from omasgan.nn.losses import binary_cross_entropy

OLD, SECOND = "G_old", "D'"
"""G as it was early on, and D in the second phase."""


@dataclass(kw_only=True, eq=False, repr=False)
class OGNet(NeuralDetector):
    """An autoencoder G, and a discriminator D that judges reconstructions.

    Scores: ``ognet`` (the paper's), ``baseline`` and ``reconstruction``, see the module;
    ``decision_function`` returns the one that ``stage`` names. The defaults are a small budget for
    two CPU cores, and no result.
    """

    properties = frozenset(
        {"autoencoder", "negative sampling", "negative training", "discriminator score"}
    )
    defaults_saw = "test anomalies of digits"

    latent_dim: Count = 32
    """Numbers at each place of G's latent map; all there are for vectors."""
    noise: Annotated[NonNegative, Phase("reconstruct")] = 0.8
    """Standard deviation of what G learns to take away, in units of x (which spans 2); the
    released code's is 0.81."""
    adversarial_weight: Annotated[Fraction, Phase("reconstruct")] = 0.5
    """The w of L_G; the released code's."""
    old: Annotated[Share, Phase("reconstruct")] = 0.02
    """Share of ``reconstruct_steps`` after which G is kept as G_old."""
    reconstruct_steps: Annotated[Steps, Phase("reconstruct")] = 800
    """Updates of D and G, one of each."""
    generator_lr: Annotated[Positive, Phase("reconstruct")] = 1e-3
    """Adam's rate, betas (0.5, 0.999)."""
    discriminator_lr: Annotated[Positive, Phase("reconstruct")] = 2e-3
    """The same of D; in the second phase it is half of that."""
    a: Annotated[Fraction, Phase("discriminate")] = 0.1
    """Weight of samples among what is good; that of their reconstructions is ``1 - a``."""
    b: Annotated[Fraction, Phase("discriminate")] = 0.001
    """Weight of G_old's reconstructions among what is bad; that of mixtures is ``1 - b``."""
    discriminate_steps: Annotated[Steps, Phase("discriminate")] = 75
    """Updates of D in the second phase; 0 makes ``ognet`` the ``baseline``."""
    stage: Annotated[Literal["ognet", "baseline", "reconstruction"], Phase("discriminate")] = (
        "ognet"
    )

    def _phases(self) -> Mapping[str, int]:
        return {"reconstruct": self.reconstruct_steps, "discriminate": self.discriminate_steps}

    def _begin(self, shape: list[int]) -> None:
        super()._begin(shape)
        self._reconstruct_steps_done = 0

    def _enter(self, phase: str) -> None:
        if phase == "reconstruct":
            for name in ("G", OLD, "D"):
                self._add(name)
            self._train_here("G", "D")
        else:
            self._add(SECOND, networks.copy_of(self._networks["D"]))
            self._train_here(SECOND)

    def _new(self, name: str) -> nn.Module:
        if name in ("D", SECOND):
            return self._critic_of("D")
        vectors = len(self._shape) == 1
        kind = autoencoders.Autoencoder if vectors else autoencoders.MapAutoencoder
        return kind(
            self._shape,
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of("G"),
        )

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        rates = {"G": self.generator_lr, "D": self.discriminator_lr}
        return adam(network, rates.get(name, self.discriminator_lr / 2))

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        if phase == "reconstruct":
            return self._reconstruct_step(normals.draw(self.batch_size, self._generator))
        return self._discriminate_step(normals)

    def _stepped(self, phase: str) -> None:
        """Count the steps of the first phase, and keep G as it is early on."""
        if phase == "reconstruct":
            self._reconstruct_steps_done += 1
            if self._reconstruct_steps_done == round(self.old * self.reconstruct_steps):
                self._add(OLD, networks.copy_of(self._networks["G"]))

    def _reconstruct_step(self, x: Tensor) -> dict[str, Tensor]:
        """Update D once, then G with the same samples."""
        D = self._networks["D"]
        with self._autocast():
            fake = self._networks["G"](self._noisy(x))
            on_x, on_fake = networks.jointly(D, x, fake.detach())
        loss_d = (binary_cross_entropy(on_fake, 1.0) + binary_cross_entropy(on_x, 0.0)) / 2
        self._update(loss_d, "D")
        with self._autocast(), networks.frozen(D):
            adversarial = binary_cross_entropy(D(fake), 0.0)
        reconstruction = F.mse_loss(fake.float(), x)
        w = self.adversarial_weight
        self._update((1 - w) * reconstruction + w * adversarial, "G")
        return {"d": loss_d, "reconstruction": reconstruction, "adversarial": adversarial}

    def _noisy(self, x: Tensor) -> Tensor:
        noise = torch.empty_like(x).normal_(generator=self._generator)
        return (x + self.noise * noise).clamp(-1, 1)

    def _discriminate_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update D once; G and G_old stand still."""
        x = normals.draw(self.batch_size, self._generator)
        first, second = normals.draw_pairs(self.batch_size, self._generator)
        with self._autocast():
            with torch.no_grad():
                G, G_old = self._networks["G"], self._networks[OLD]
                mixed = G((G_old(first) + G_old(second)) / 2)
                groups = [x, G(x), G_old(x), mixed]
            outputs = networks.jointly(self._networks[SECOND], *groups)
        losses = second_phase_losses(outputs, self.a, self.b)
        self._update(torch.stack(list(losses.values())).sum(), SECOND)
        return losses

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        reconstructed = self._networks["G"](x)
        return {
            "ognet": self._networks[SECOND](reconstructed),
            "baseline": self._networks["D"](reconstructed),
            "reconstruction": (x - reconstructed).flatten(1).square().sum(1),
        }

    # State

    def state_dict(self) -> State:
        """Return the state of every neural detector, and how far the first phase is."""
        return super().state_dict() | {"reconstruct_steps_done": self._reconstruct_steps_done}

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state``, which a detector with the same params returned.

        Raises:
            ConfigError: the state belongs to other params.
        """
        super().load_state_dict(state)
        self._reconstruct_steps_done = state["reconstruct_steps_done"]


def second_phase_losses(logits: Sequence[Tensor], a: float, b: float) -> dict[str, Tensor]:
    """Return the four terms of D's loss in the second phase, whose sum it is.

    Args:
        logits: of D on samples, on their reconstructions, on those of G_old, and on mixtures.
        a: weight of samples among what is good.
        b: weight of G_old's reconstructions among what is bad.
    """
    real, good, old, mixed = logits
    return {
        "d_real": a * binary_cross_entropy(real, 0.0),
        "d_good": (1 - a) * binary_cross_entropy(good, 0.0),
        "d_old": b * binary_cross_entropy(old, 1.0),
        "d_mixed": (1 - b) * binary_cross_entropy(mixed, 1.0),
    }
