"""Local distances against their definition, computed the long way."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from omasgan.nn.neighbourhoods import NEAREST, SMALLEST, Neighbourhoods


def directions(n: int, seed: int, d: int = 6) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))


def one_minus_cosine(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    return np.asarray(1 - a.double().numpy() @ b.double().numpy().T)


def test_both_distances_are_what_they_say() -> None:
    reference, x = directions(700, 0), directions(40, 1)
    own = np.sort(one_minus_cosine(reference, reference), axis=1)[:, 1 : NEAREST + 1].mean(1)
    far = one_minus_cosine(x, reference)
    nearest = np.argsort(far, axis=1)[:, :NEAREST]
    near = np.take_along_axis(far, nearest, axis=1)
    plain, local = Neighbourhoods.of(reference).distances(x)
    np.testing.assert_allclose(plain.numpy(), near[:, 0], rtol=1e-3, atol=1e-6)
    expected = near.mean(1) / np.sqrt(own[nearest].mean(1))
    np.testing.assert_allclose(local.numpy(), expected, rtol=1e-3, atol=1e-6)


def test_the_same_distance_counts_more_where_vectors_lie_close() -> None:
    """Two groups, one ten times as tight, and a vector as far from the one's middle as another
    from the other's.
    """
    draw = torch.Generator().manual_seed(0)
    centres = torch.eye(8)[:2]
    loose, tight = (
        F.normalize(centres[i] + sd * torch.randn(200, 8, generator=draw))
        for i, sd in enumerate((0.2, 0.02))
    )
    away = torch.zeros(1, 8)
    away[0, 7] = 1.0
    x = F.normalize(centres + away)
    plain, local = Neighbourhoods.of(torch.cat([loose, tight])).distances(x)
    assert local[1] / local[0] > 3 * plain[1] / plain[0]


def test_repeated_and_few_vectors_give_finite_distances() -> None:
    repeated = directions(1, 0).expand(30, -1)
    for reference in (repeated, directions(2, 0)):
        plain, local = Neighbourhoods.of(reference).distances(directions(3, 1))
        assert torch.isfinite(local).all() and torch.isfinite(plain).all()
    assert Neighbourhoods.of(repeated).usual.max() == SMALLEST


def test_no_vector_of_the_reference_is_its_own_neighbour() -> None:
    reference = directions(40, 0)
    near = Neighbourhoods.of(reference)
    own = one_minus_cosine(reference, reference)
    np.fill_diagonal(own, np.inf)
    plain, local = near.own_distances()
    np.testing.assert_allclose(plain.numpy(), own.min(1), rtol=1e-3, atol=1e-6)
    nearest = np.argsort(own, axis=1)[:, :NEAREST]
    mean = np.take_along_axis(own, nearest, axis=1).mean(1)
    expected = mean / np.sqrt(near.usual.numpy()[nearest].mean(1))
    np.testing.assert_allclose(local.numpy(), expected, rtol=1e-3, atol=1e-6)
