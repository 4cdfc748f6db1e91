"""Deep SVDD: a network that maps the normal samples close to one point.

Source: Ruff, Vandermeulen, Goernitz, Deecke, Siddiqui, Binder, Mueller, Kloft, "Deep One-Class
Classification" (2018), eq. 4, the One-Class Deep SVDD.

- phase ``pretrain``: an encoder phi and a decoder, on ||x - decoder(phi(x))||^2;
- c = mean of phi over the training samples, once; a coordinate nearer to 0 than ``centre_margin``
  is pushed out to it, since a bias-free network reaches 0 with weights of 0;
- phase ``train``: mean ||phi(x) - c||^2 with weight decay, phi alone.

phi has no bias and no learned scale (propositions 2 and 3): with them a constant phi = c is
optimal. ``score`` is ||phi(x) - c||^2. The soft-boundary form (eq. 3) is left out: its radius does
not change the ranking, and nu, the share of outliers it allows for, is 0 in clean training data.

Where released code differs: the paper grants its shallow rivals a choice of settings by test
labels; nothing here sees one. Images are not contrast-normalised: every detector is given the
same samples. The rate is not lowered during training. The paper's protocol is one-vs-rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.ranges import Count, NonNegative, Positive, Steps
from omasgan.nn import batches


@dataclass(kw_only=True, eq=False, repr=False)
class DeepSVDD(NeuralDetector):
    """One-Class Deep SVDD; the one score is ``score``, ||phi(x) - c||^2.

    The defaults are a small budget for two CPU cores, and no result; benchmarks/params holds
    published settings.
    """

    centre_margin: NonNegative = 0.1
    """The least magnitude of a coordinate of c."""
    weight_decay: NonNegative = 5e-7
    """The paper's lambda, in both phases."""
    width: Count = 16
    pretrain_steps: Steps = 400
    """0 leaves phi at random."""
    train_steps: Steps = 400
    lr: Positive = 5e-4
    """Adam's rate in both phases."""

    def _phases(self) -> Mapping[str, int]:
        return {"pretrain": self.pretrain_steps, "train": self.train_steps}

    def _enter(self, phase: str) -> None:
        if phase == "pretrain":
            self._add("phi")
            self._add("decoder")
            self._train_here("phi", "decoder")
        else:
            self._train_here("phi")

    def _new(self, name: str) -> nn.Module:
        if name == "phi":
            return self._encoder_of(name, self.latent_dim, affine=False)
        return self._generator_of(name)

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        betas = (0.9, 0.999)
        return adam(network, self.lr, betas=betas, weight_decay=self.weight_decay)

    def _prepare(self, phase: str, normals: batches.Sampler) -> None:
        if phase == "train" and "centre" not in self._fitted:
            self._fitted["centre"] = self._centre(normals.X)

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        if phase == "pretrain":
            return self._autoencoder_step(normals)
        x = normals.draw(self.batch_size, self._generator)
        with self._autocast():
            codes = self._networks["phi"](x)
        loss = self._squared_distance(codes).mean()
        self._update(loss, "phi")
        return {"distance": loss}

    def _autoencoder_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        x = self._pretraining_samples(normals)
        with self._autocast():
            decoded = self._networks["decoder"](self._networks["phi"](x))
        loss = (x - decoded.float()).flatten(1).square().sum(1).mean()
        self._update(loss, "phi", "decoder")
        return {"reconstruction": loss}

    def _pretraining_samples(self, normals: batches.Sampler) -> Tensor:
        return normals.draw(self.batch_size, self._generator)

    @torch.no_grad()
    def _centre(self, *X: NDArray[Any]) -> Tensor:
        """Compute c, ``(latent_dim,)``, from all samples and from phi as it is now."""
        phi = self._networks["phi"]
        training = phi.training
        phi.eval()
        total = sum(
            phi(x).double().sum(0) for part in X for x in batches.in_order(part, self._device)
        )
        phi.train(training)
        return pushed_from_zero((total / sum(map(len, X))).float(), self.centre_margin)

    def _squared_distance(self, codes: Tensor) -> Tensor:
        return (codes.float() - self._fitted["centre"]).square().sum(1)

    def _finish(self, X: NDArray[Any]) -> None:
        if "centre" not in self._fitted:  # no train_steps
            self._fitted["centre"] = self._centre(X)

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        return {"score": self._squared_distance(self._networks["phi"](x))}


def pushed_from_zero(centre: Tensor, margin: float) -> Tensor:
    """Return ``centre`` with every coordinate at least ``margin`` from 0, on its side."""
    side = torch.where(centre < 0, -1.0, 1.0)
    return side * centre.abs().clamp(min=margin)
