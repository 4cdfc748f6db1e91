"""Deep SAD: Deep SVDD that is also shown some anomalies, and maps them far from the centre.

Source: Ruff, Vandermeulen, Goernitz, Binder, Mueller, Mueller, Kloft, "Deep Semi-Supervised
Anomaly Detection" (2020), eq. 7, with n normal samples and m labelled anomalies a:

    1 / (n + m) (sum dist(x) + eta sum 1 / (dist(a) + 1e-6)),  dist(x) = ||phi(x) - c||^2

with weight decay; what the paper calls unlabelled samples are the normal ones here. Phases,
networks, centre and score are Deep SVDD's (see ``deep_svdd``). The autoencoder is pretrained on,
and c is the mean over, all n + m samples. Without labelled anomalies it is Deep SVDD bit for bit:
the difference of the two measures what labels are worth, and under a protocol without labels
there is no reason to run both.

Where released code differs: a batch there holds whatever labelled samples the draw brings; here it
holds ``batch_size`` of each kind, and their means are weighted as the sums of the equation are.
There the gradient of an anomaly near c has hardly a bound; here its length by phi(a) grows up to
``pull`` and no further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from omasgan.detectors.deep_svdd import DeepSVDD
from omasgan.detectors.ranges import NonNegative, Positive
from omasgan.nn import batches

EPSILON = 1e-6
"""Keeps the loss of an anomaly on c finite, as in the released code."""


@dataclass(kw_only=True, eq=False, repr=False)
class DeepSAD(DeepSVDD):
    """Deep SVDD with labelled anomalies; the one score is ``score``, ||phi(x) - c||^2.

    The params are Deep SVDD's and two more, which do nothing without labelled anomalies.
    """

    properties = frozenset({"negative training"})
    takes_anomalies = True

    eta: NonNegative = 1.0
    """Weight of a labelled anomaly, in units of a normal sample's."""
    pull: Positive = 100.0
    """The longest that the gradient of an anomaly's loss by its code becomes."""

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        known = self._anomalies
        if known is None or phase == "pretrain":
            return super()._step(phase, normals)
        n, m = len(normals.rows), len(known.rows)
        x = normals.draw(self.batch_size, self._generator)
        labelled = known.draw(min(m, self.batch_size), self._generator)
        with self._autocast():
            codes = self._networks["phi"](torch.cat([x, labelled]))
        distances = self._squared_distance(codes)
        distance = distances[: len(x)].mean()
        inverse = bounded_inverse(distances[len(x) :], self.pull).mean()
        self._update((n * distance + self.eta * m * inverse) / (n + m), "phi")
        return {"distance": distance, "inverse": inverse}

    def _pretraining_samples(self, normals: batches.Sampler) -> Tensor:
        """Draw from the normal samples and the labelled anomalies alike."""
        x = super()._pretraining_samples(normals)
        known = self._anomalies
        if known is None:
            return x
        n, m = len(normals.rows), len(known.rows)
        labelled = known.draw(len(x), self._generator)
        draws = torch.rand(len(x), generator=self._generator, device=self._generator.device)
        is_labelled = draws < m / (n + m)
        return torch.where(is_labelled.reshape(-1, *[1] * (x.dim() - 1)), labelled, x)

    def _centre(self, *X: NDArray[Any]) -> Tensor:
        return super()._centre(*X, *(() if self._anomalies is None else (self._anomalies.X,)))


def bounded_inverse(distances: Tensor, pull: float) -> Tensor:
    """Return 1 / (d + 1e-6) of squared distances ``(n,)``, continued as a straight line over the
    distance itself where its slope would be steeper than ``pull``.
    """
    squares = distances + EPSILON
    steep = (2 / pull) ** (1 / 3)
    line = steep**-2 + pull * (steep - squares.sqrt())
    return torch.where(squares < steep**2, line, 1 / squares)
