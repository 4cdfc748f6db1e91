"""Gaussian mixtures on principal components as a density that gradients go through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TINY = 1e-6
"""The least that is added to a variance; without it samples that are all equal have no
likelihood."""


def fit(
    rows: NDArray[Any], *, components: int, gaussians: int, floor: float, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Return what ``log_density`` needs of a mixture that is fitted to ``rows`` ``(n, d)``.

    Args:
        rows: at least ``gaussians`` of them, or there will be fewer Gaussians.
        components: principal components; all that there are where it is larger.
        gaussians: those of the mixture, with full covariances.
        floor: what is added to every variance, in units of the components' mean variance.
        seed: of the start of expectation maximisation.
    """
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    pca = PCA(min(components, *rows.shape), random_state=seed).fit(rows)
    Z = pca.transform(rows).astype(np.float64)
    added = max(floor * float(Z.var(axis=0).mean()), TINY)
    mixture = GaussianMixture(min(gaussians, len(Z)), reg_covar=added, random_state=seed).fit(Z)
    roots = mixture.precisions_cholesky_
    log_dets = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(1)
    constants = np.log(mixture.weights_) + log_dets - Z.shape[1] * math.log(2 * math.pi) / 2
    parts = {
        "mean": pca.mean_,
        "axes": pca.components_.T,
        "centres": mixture.means_,
        "roots": roots,
        "constants": constants,
    }
    return {name: np.ascontiguousarray(part, dtype=np.float32) for name, part in parts.items()}


def log_density(rows: Tensor, mixture: Mapping[str, Tensor]) -> Tensor:
    """Return the log-density of the components of ``rows`` ``(n, d)``, ``(n,)``; with all of them
    it is that of the rows.
    """
    z = (rows - mixture["mean"]) @ mixture["axes"]
    white = torch.einsum("nkc,kcj->nkj", z[:, None] - mixture["centres"], mixture["roots"])
    return torch.logsumexp(mixture["constants"] - white.square().sum(2) / 2, 1)


def draws(noise: Tensor, mixture: Mapping[str, Tensor]) -> Tensor:
    """Return draws of a mixture, ``(n, d)``, from draws of N(0, I), ``(n, d)``: each Gaussian gets
    its share of them in turn.
    """
    centres, roots = mixture["centres"], mixture["roots"]
    log_dets = roots.diagonal(dim1=1, dim2=2).log().sum(1)
    shares = torch.softmax(mixture["constants"] - log_dets, 0).cumsum(0)
    places = (torch.arange(len(noise), device=noise.device) + 0.5) / len(noise)
    of = torch.searchsorted(shares, places).clamp_max(len(centres) - 1)
    white = noise[:, None, : centres.shape[1]]
    z: Tensor = centres[of] + torch.linalg.solve(roots[of], white, left=False).squeeze(1)
    return z @ mixture["axes"].T + mixture["mean"]
