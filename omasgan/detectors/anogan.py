"""AnoGAN: how far a sample lies from the nearest one that a GAN of normals can generate.

Source: Schlegl, Seeböck, Waldstein, Schmidt-Erfurth, Langs, "Unsupervised Anomaly Detection with
Generative Adversarial Networks to Guide Marker Discovery" (2017). G and D are an ordinary GAN on
normals (the non-saturating loss). The score of x is what a search over latents comes down to,
with D and G frozen:

    min_z (1 - lambda) sum |x - G(z)|  +  lambda sum |f(x) - f(G(z))|

the residual and the (feature matching) discrimination loss, f the last hidden layer of D.

Where released code differs: searches there share one optimiser's state from batch to batch or run
one sample at a time; here each has Adam moments of its own and tries the same starting latents,
so that a score does not depend on what is scored with it. A score is the best loss seen and not
the last one, and a search that no longer improves is ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.ranges import Count, Decay, Fraction, Positive, Steps
from omasgan.nn import batches, frozen, graphs, networks

SLOTS = {"cpu": 64, "cuda": 1024}
"""Searches side by side, by the type of device. Always as many, used or not: kernels of another
size round otherwise, and a search of some hundred steps makes much of it.
"""

LOOK_EVERY = {"cpu": 1, "cuda": 8}
"""Steps after which ended searches make room. To look, a GPU has to have done all that it was
told; a search that has ended before keeps its result meanwhile.
"""

IDLE = -1
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(kw_only=True, eq=False, repr=False)
class AnoGAN(NeuralDetector):
    """A GAN, then for each sample a search for the latent that comes nearest to it.

    Scores: ``residual`` and ``features``, the two sums at the best latent, and ``anogan``, their
    weighted sum, which the search minimises. The defaults are a small budget for two CPU cores;
    settings from the literature stand in ``benchmarks/params``.
    """

    properties = frozenset({"GAN", "discriminator score", "reconstruction"})

    width: Count = 16
    train_steps: Steps = 400
    """Updates of G, each after one of D."""
    lr: Positive = 1e-3
    """Adam's rate for G and D, betas (0.5, 0.999)."""
    feature_weight: Fraction = 0.1
    """The paper's lambda: the weight of the features' distance against the residual."""
    search_steps: Count = 150
    """Latents that a search looks at, at most."""
    search_lr: Positive = 0.02
    """Adam's rate for the latents, betas (0.9, 0.999)."""
    restarts: Count = 1
    """Starting latents that every sample tries; the best loss counts."""
    patience: Count = 20
    """A search ends after so many steps without improvement."""
    tolerance: Decay = 1e-3
    """Share of the loss by which it must fall to count as an improvement."""
    stage: Literal["residual", "features", "anogan"] = "anogan"

    # Training

    def _phases(self) -> Mapping[str, int]:
        return {"gan": self.train_steps}

    def _enter(self, phase: str) -> None:
        self._add("G")
        self._add("D")
        self._train_here("G", "D")

    def _new(self, name: str) -> nn.Module:
        return self._generator_of(name) if name == "G" else self._critic_of(name)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update D once, then G on the same samples."""
        G, D = self._networks["G"], self._networks["D"]
        x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
        with self._autocast():
            fake = G(z)
            on_real, on_fake = networks.jointly(D, x, fake.detach())
        loss_d = F.softplus(-on_real.float()).mean() + F.softplus(on_fake.float()).mean()
        self._update(loss_d, "D")
        with self._autocast(), networks.frozen(D):
            on_fake = D(fake).float()
        loss_g = F.softplus(-on_fake).mean()
        self._update(loss_g, "G")
        return {"d": loss_d, "g": loss_g}

    # Scoring

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        D = cast(networks.Critic, self._networks["D"])
        generate = frozen.quick(self._networks["G"], (self.latent_dim,))
        features = frozen.quick(D.features, self._shape)
        losses = _Searches(self, generate, features, x, self._starts().to(x)).run()
        per_sample = losses.reshape(3, len(x), self.restarts)
        best = per_sample[0].argmin(1, keepdim=True)
        loss, residual, distance = (values.gather(1, best).squeeze(1) for values in per_sample)
        return {"residual": residual, "features": distance, "anogan": loss}

    def _starts(self) -> Tensor:
        """Return the starting latents of each sample's searches, ``(restarts, latent_dim)``."""
        generator = torch.Generator().manual_seed(self._seed_of("search"))
        return torch.randn(self.restarts, self.latent_dim, generator=generator)


class _Searches:
    """The searches of all samples ``x`` from all ``starts``, ``SLOTS`` of them side by side.

    Each has an Adam, a best loss and an end of its own; one that has ended makes room for one that
    waits.
    """

    def __init__(
        self, params: AnoGAN, generate: nn.Module, features: nn.Module, x: Tensor, starts: Tensor
    ) -> None:
        self.params, self.generate, self.features = params, generate, features
        slots = batches.of_device(SLOTS, x.device)
        self.x, self.x_features, self.starts = x, _in_slots(features, x, slots), starts
        self.total, self.begun = len(x) * len(starts), 0
        self.results = x.new_empty(3, self.total)
        self.search = x.new_full((slots,), IDLE, dtype=torch.long)
        self.target = self.x[[0] * slots]
        self.target_features = self.x_features[[0] * slots]
        self.z = starts[[0] * slots]
        self.mean, self.square = torch.zeros_like(self.z), torch.zeros_like(self.z)
        self.steps = x.new_zeros(slots)
        self.stale = x.new_zeros(slots)
        self.mark = x.new_zeros(slots)
        self.best = x.new_zeros(3, slots)
        self.ended = x.new_zeros(slots, dtype=torch.bool)

    def run(self) -> Tensor:
        """Search to the end; return the best loss of each search, and the residual and the
        features' distance there, ``(3, n * restarts)``, a sample's searches one after another.
        """
        step = self._recorded() if self.x.is_cuda and self.params.graphs else self._step
        self._begin(self.search == IDLE)
        while (self.search != IDLE).any():
            for _ in range(batches.of_device(LOOK_EVERY, self.x.device)):
                step()
            ended = self.ended & (self.search != IDLE)
            if ended.any():
                self.results[:, self.search[ended]] = self.best[:, ended]
                self._begin(ended)
        return self.results

    def _recorded(self) -> graphs.Recorded:
        return graphs.Recorded(self._step, torch.Generator(self.x.device))

    def _step(self) -> dict[str, Tensor]:
        """Take a step in all slots; it changes tensors where they lie, so that a GPU can replay
        it.
        """
        self._descend(self._look())
        return {}

    def _begin(self, free: Tensor) -> None:
        """Begin the next searches in the ``free`` slots, as many as are left."""
        self.search[free] = IDLE
        slots = free.nonzero().squeeze(1)[: self.total - self.begun]
        waiting = torch.arange(self.begun, self.begun + len(slots), device=slots.device)
        self.begun += len(slots)
        sample, start = waiting // len(self.starts), waiting % len(self.starts)
        self.search[slots] = waiting
        self.target[slots] = self.x[sample]
        self.target_features[slots] = self.x_features[sample]
        self.z[slots] = self.starts[start]
        for zeroed in (self.mean, self.square, self.steps, self.stale, self.ended):
            zeroed[slots] = 0
        self.mark[slots] = torch.inf
        self.best[:, slots] = torch.inf

    def _look(self) -> Tensor:
        """Compute the gradient of every search's loss at its latent; note the losses of those that
        go on.
        """
        z = self.z.detach().requires_grad_()
        with torch.enable_grad():
            generated = self.generate(z)
            residual = _l1(self.target, generated)
            distance = _l1(self.target_features, self.features(generated))
            weight = self.params.feature_weight
            loss = (1 - weight) * residual + weight * distance
            (gradient,) = torch.autograd.grad(loss.sum(), z)
        now = torch.stack([loss, residual, distance]).detach()
        # A search that has ended improves no more: it keeps its best, and stays ended.
        now[0].masked_fill_(self.ended, torch.inf)
        torch.where(now[0] < self.best[0], now, self.best, out=self.best)
        improved = now[0] < (1 - self.params.tolerance) * self.mark
        torch.where(improved, now[0], self.mark, out=self.mark)
        self.stale.add_(1).masked_fill_(improved, 0)
        self.steps += 1
        is_stale = self.stale >= self.params.patience
        torch.logical_or(is_stale, self.steps >= self.params.search_steps, out=self.ended)
        return gradient

    def _descend(self, gradient: Tensor) -> None:
        """Take one step of Adam (Kingma and Ba 2015, algorithm 1) in every search."""
        self.mean.lerp_(gradient, 1 - BETA1)
        self.square.lerp_(gradient.square(), 1 - BETA2)
        mean = self.mean / (1 - BETA1**self.steps).unsqueeze(1)
        square = self.square / (1 - BETA2**self.steps).unsqueeze(1)
        self.z -= self.params.search_lr * mean / (square.sqrt() + EPSILON)


def _in_slots(features: nn.Module, x: Tensor, slots: int) -> Tensor:
    """Compute the features of ``x``, ``slots`` samples at a time as in the search."""
    filled = torch.arange(-(-len(x) // slots) * slots, device=x.device).clamp_max(len(x) - 1)
    return torch.cat([features(part) for part in torch.split(x[filled], slots)])[: len(x)]


def _l1(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of absolute differences of each sample, ``(n,)``."""
    return (a - b).abs().flatten(1).sum(1)
