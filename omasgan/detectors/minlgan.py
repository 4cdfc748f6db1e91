"""MinLGAN, as we read it: a GAN whose generator is kept off the likeliest samples.

Source: Wang, Zhang, Liu, "Anomaly Detection via Minimum Likelihood Generative Adversarial
Networks" (2018), of which nothing but the abstract could be read. It says that the discriminator
detects, that a regularisation by minimum likelihood makes G produce anomalies and keeps it from
the distribution of the normals, and that an ensemble of anomaly scores steadies D. **The formulas
here are our reading of that, and not the paper's.**

With p^ a density of the normals that is fixed before the training, a mixture of Gaussians on
their principal components (``nn.mixtures``), and t the ``quantile`` of its log-densities among
normals that it was not fitted to:

- L_D = BCE(D(x), 1) + BCE(D(G(z)), 0);
- L_G = BCE(D(G(z)), 1) + ``likelihood`` E max(log p^(G(z)) - t, 0) / d, with d the number of
  components. Below t nothing is left to gain, or G would flee to where there are no data at all.

Why this makes D a detector: where D is at its optimum p / (p + p_G), p the data's density, and G
at its best reply, each of G's samples costs it the same, so that

    D(x) = C exp(lambda max(log p^(x) - t, 0)),  lambda = ``likelihood`` / d,

with C such that p_G is a density. It grows with p^; without the regularisation D is 1/2
everywhere.

Scores: ``ensemble``, -D(x) before the sigmoid, averaged over ``snapshots`` states of D from the
second half of the training, and ``last``, that of the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.base import State
from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.ranges import Count, Fraction, NonNegative, Pairs, Positive, Steps
from omasgan.nn import batches, mixtures, networks
from omasgan.nn.losses import binary_cross_entropy

HELD_OUT = 5
"""One in so many samples is held out from the density, for the threshold."""


@dataclass(kw_only=True, eq=False, repr=False)
class MinLGAN(NeuralDetector):
    """Our reading of MinLGAN in one phase, ``train``; scores ``ensemble`` and ``last``.

    The defaults are a small budget for two CPU cores, and no result.
    """

    properties = frozenset(
        {"GAN", "negative sampling", "negative training", "discriminator score", "likelihood"}
    )

    latent_dim: Count = 64
    likelihood: NonNegative = 1.0
    """Weight of the log-density of G's samples, per component; 0: a GAN."""
    quantile: Fraction = 0.05
    """Share of normals whose log-density is below t."""
    components: Count = 16
    """Principal components that the density is one of."""
    gaussians: Count = 10
    """Those of the mixture."""
    floor: NonNegative = 0.1
    """What is added to every variance, in units of the components' mean variance."""
    samples: Pairs = 5_000
    """Training samples that the density is fitted to, drawn at random; bounds the time."""
    snapshots: Count = 5
    """States of D, evenly spaced over the second half of the training, the last at its end."""
    train_steps: Steps = 400
    """Updates of D and G, one of each."""
    generator_lr: Positive = 1e-3
    """Adam's rate, betas (0.5, 0.999)."""
    discriminator_lr: Positive = 2e-4
    stage: Literal["ensemble", "last"] = "ensemble"

    def _phases(self) -> Mapping[str, int]:
        return {"train": self.train_steps}

    def _begin(self, shape: list[int]) -> None:
        super()._begin(shape)
        self._steps_done = 0

    def _enter(self, phase: str) -> None:
        for name in ("G", "D", *self._snapshots):
            self._add(name)
        self._train_here("G", "D")

    def _new(self, name: str) -> nn.Module:
        return self._generator_of(name) if name == "G" else self._critic_of("D")

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        return adam(network, self.generator_lr if name == "G" else self.discriminator_lr)

    @property
    def _snapshots(self) -> dict[str, int]:
        """By name, the step after which a state of D is kept."""
        at = [1 / 2 + (i + 1) / (2 * self.snapshots) for i in range(self.snapshots)]
        return {f"D{i}": round(share * self.train_steps) for i, share in enumerate(at)}

    def _prepare(self, phase: str, normals: batches.Sampler) -> None:
        if self._position == 0:
            self._fit_density(normals.X)

    def _fit_density(self, X: NDArray[Any]) -> None:
        """Fit the density to some of ``X``, and take t from others."""
        rows = np.random.default_rng(self._seed_of("density")).permutation(len(X))[: self.samples]
        held, others = rows[::HELD_OUT], np.delete(rows, np.s_[::HELD_OUT])
        x, known = (
            torch.cat(list(batches.in_order(X, self._device, part))).flatten(1)
            for part in (others, held)
        )
        form = mixtures.Form(self.components, self.gaussians, self.floor, whiten=False)
        density = mixtures.Density.of(x, form, self._seed_of("density"))
        t = (-density.surprise(known)).quantile(self.quantile)
        self._fitted = {**vars(density), "t": t}

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        return {"d": self._discriminator_step(normals)} | self._generator_step()

    def _stepped(self, phase: str) -> None:
        """Count the steps, and keep the states of D that the ensemble is made of."""
        self._steps_done += 1
        for name, step in self._snapshots.items():
            if step == self._steps_done:
                self._add(name, networks.copy_of(self._networks["D"]))

    def _discriminator_step(self, normals: batches.Sampler) -> Tensor:
        x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
        with self._autocast():
            with torch.no_grad():
                fake = self._networks["G"](z)
            on_x, on_fake = networks.jointly(self._networks["D"], x, fake.to(x.dtype))
        loss = binary_cross_entropy(on_x, 1.0) + binary_cross_entropy(on_fake, 0.0)
        self._update(loss, "D")
        return loss

    def _generator_step(self) -> dict[str, Tensor]:
        D = self._networks["D"]
        with self._autocast(), networks.frozen(D):
            fake = self._networks["G"](self._latents(self.batch_size))
            on_fake = D(fake)
        log_p = -mixtures.Density.among(self._fitted).surprise(fake.float().flatten(1))
        weight = self.likelihood / self._fitted["axes"].shape[1]
        loss = generator_losses(on_fake, log_p, self._fitted["t"], weight).mean()
        self._update(loss, "G")
        below = (log_p < self._fitted["t"]).float().mean()
        return {"g": loss, "log_density": log_p.mean(), "below": below}

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        outputs = torch.stack([self._networks[name](x) for name in self._snapshots])
        return {"ensemble": -outputs.mean(0), "last": -outputs[-1]}

    # State

    def state_dict(self) -> State:
        """Return the state of every neural detector, and how far the training is."""
        return super().state_dict() | {"steps_done": self._steps_done}

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state``, which a detector with the same params returned.

        Raises:
            ConfigError: the state belongs to other params.
        """
        super().load_state_dict(state)
        self._steps_done = state["steps_done"]


def generator_losses(logits: Tensor, log_p: Tensor, t: Tensor, weight: float) -> Tensor:
    """Return what each of G's samples costs it, ``(n,)``, given what D says of it before the
    sigmoid and its log-density: it wants to pass for real, and to be unlikely down to ``t``.
    """
    return F.softplus(-logits.float()) + weight * (log_p - t).clamp_min(0)
