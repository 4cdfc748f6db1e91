"""Equations 3 and 4 against naive loops, and what collapse looks like."""

from __future__ import annotations

import pytest
import torch

from omasgan.nn import boundary


@pytest.fixture
def samples() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return (
        torch.randn(12, 1, 6, 6, generator=g),
        torch.randn(20, 1, 6, 6, generator=g),
        torch.randn(12, 5, generator=g),
    )


def test_point_to_set_equals_a_naive_loop(samples: tuple[torch.Tensor, ...]) -> None:
    b, generated, _ = samples
    naive = [min(torch.linalg.norm(x - y).item() for y in generated) for x in b]
    assert boundary.point_to_set(b, generated).item() == pytest.approx(sum(naive) / 12, rel=1e-5)


def test_dispersion_equals_a_naive_loop(samples: tuple[torch.Tensor, ...]) -> None:
    b, _, z = samples
    total = 0.0
    for i in range(12):
        terms = [
            (torch.linalg.norm(z[i] - z[j]) / torch.linalg.norm(b[i] - b[j])).item()
            for j in range(12)
            if j != i
        ]
        total += sum(terms) / 11
    assert boundary.dispersion(b, z).item() == pytest.approx(total / 12, rel=1e-4)


def test_every_sample_receives_a_gradient_from_both_terms(
    samples: tuple[torch.Tensor, ...],
) -> None:
    b, generated, z = samples
    for term in (
        lambda x: boundary.point_to_set(x, generated),
        lambda x: boundary.dispersion(x, z),
    ):
        x = b.clone().requires_grad_()
        term(x).backward()
        assert (x.grad.flatten(1).norm(dim=1) > 0).all()


def test_normalised_terms_do_not_depend_on_the_scale(samples: tuple[torch.Tensor, ...]) -> None:
    b, generated, z = samples
    unit = boundary.Scale.measure(generated, z)
    larger = boundary.Scale.measure(7 * generated, 3 * z)
    assert boundary.point_to_set(7 * b, 7 * generated, larger).item() == pytest.approx(
        boundary.point_to_set(b, generated, unit).item(), rel=1e-4
    )
    assert boundary.dispersion(7 * b, 3 * z, larger).item() == pytest.approx(
        boundary.dispersion(b, z, unit).item(), rel=1e-4
    )


def test_collapse_lowers_the_spread_and_raises_the_dispersion(
    samples: tuple[torch.Tensor, ...],
) -> None:
    b, generated, z = samples
    collapsed = b[:1] + 0.01 * b
    assert boundary.spread(b, generated) > 0.8
    assert boundary.spread(collapsed, generated) < 0.05
    assert boundary.dispersion(collapsed, z) > 10 * boundary.dispersion(b, z)


def test_one_pattern_in_varying_strength_is_alike_however_widely_spread(
    samples: tuple[torch.Tensor, ...],
) -> None:
    b, generated, _ = samples
    strength = torch.linspace(1, 9, 12)[:, None, None, None]
    pattern = 3 + strength * b[:1] + 0.1 * b
    assert boundary.alikeness(b, generated) < 0.2
    assert boundary.alikeness(pattern, generated) > 0.8
    assert boundary.spread(pattern, generated) > 1
    directions = [(x - generated.mean(0)).flatten() for x in b]
    cosines = [
        torch.cosine_similarity(x, y, 0) for x in directions for y in directions if x is not y
    ]
    naive = torch.stack(cosines).mean().item()
    assert boundary.alikeness(b, generated).item() == pytest.approx(naive, abs=1e-5)


def test_identical_samples_keep_gradients_finite() -> None:
    x = torch.zeros(4, 3, requires_grad=True)
    (boundary.dispersion(x, torch.randn(4, 2)) + boundary.point_to_set(x, x.detach())).backward()
    assert torch.isfinite(x.grad).all()
