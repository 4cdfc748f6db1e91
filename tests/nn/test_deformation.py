"""Displacement fields, and the controls that need no training."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from omasgan.nn import batches, deformation, negatives


@pytest.fixture
def images() -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 1, 5, 5, generator=g) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (20, 20), mode="bilinear", align_corners=True)


def test_no_displacement_changes_nothing(images: torch.Tensor) -> None:
    assert torch.allclose(deformation.deform(images, torch.zeros(6, 18)), images, atol=1e-5)


def test_a_constant_field_shifts_by_its_units(images: torch.Tensor) -> None:
    # One pixel of a 20-pixel image is 2 / 19 of the side that grid_sample calls 2.
    field = torch.zeros(6, 2, 9)
    field[:, 0] = 2 / 19
    shifted = deformation.deform(images, field.flatten(1))
    assert torch.allclose(shifted[..., :-1], images[..., 1:], atol=1e-4)


@pytest.mark.parametrize("grid", [2, 3, 5])
def test_fields_are_interpolated_bicubically(images: torch.Tensor, grid: int) -> None:
    field = 0.3 * torch.randn(6, 2, grid, grid)
    smooth = F.interpolate(field, (20, 20), mode="bicubic", align_corners=True)
    identity = F.affine_grid(torch.eye(2, 3).expand(6, 2, 3), [6, 1, 20, 20], align_corners=True)
    where = identity + smooth.movedim(1, 3)
    expected = F.grid_sample(images, where, padding_mode="border", align_corners=True)
    torch.testing.assert_close(deformation.deform(images, field.flatten(1)), expected)


def test_images_are_read_as_grid_sample_does(images: torch.Tensor) -> None:
    x = torch.cat([images, 2 * images], 1).requires_grad_()
    where = (2.6 * torch.rand(6, 20, 20, 2, generator=torch.Generator().manual_seed(0))) - 1.3
    expected = F.grid_sample(x, where, padding_mode="border", align_corners=True)
    read = deformation.read_at(x, where)
    torch.testing.assert_close(read, expected)
    weight = torch.randn(expected.shape)
    for_expected, for_read = (
        torch.autograd.grad((weight * y).sum(), x)[0] for y in (expected, read)
    )
    torch.testing.assert_close(for_read, for_expected)


def test_autocast_does_not_round_the_grid(images: torch.Tensor) -> None:
    field = 0.1 * torch.randn(6, 18)
    with batches.autocast(torch.device("cpu"), "bfloat16"):
        rounded = deformation.deform(images, field)
    assert torch.equal(rounded, deformation.deform(images, field))


def test_vectors_are_displaced_as_they_stand() -> None:
    x, field = torch.randn(4, 3), torch.randn(4, 3)
    assert torch.equal(deformation.deform(x, field), x + field)


def new_deformer(**changes: float) -> deformation.Deformer:
    settings = {"latent_dim": 7, "grid": 3, "radius": 0.2, "residual": 0.0, "seed": 0} | changes
    return deformation.deformer((1, 20, 20), **settings)  # type: ignore[arg-type]


def test_deformer_has_the_radius_that_it_was_given(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    deform = deformation.deform
    monkeypatch.setattr(deformation, "deform", lambda x, f: (seen.append(f), deform(x, f))[1])
    new_deformer()(torch.randn(6, 7), images)
    (field,) = seen
    assert field.square().mean().sqrt().item() == pytest.approx(0.2, rel=1e-4)
    assert torch.allclose(field.mean(0), torch.zeros(18), atol=1e-6)


def test_residual_changes_values_and_stays_in_range(images: torch.Tensor) -> None:
    z = torch.randn(6, 7)
    with_residual = new_deformer(residual=0.5)(z, images)
    assert with_residual.abs().max() <= 1
    assert (with_residual - new_deformer()(z, images)).abs().mean() > 0.05


def test_a_gradient_reaches_every_weight_of_the_deformer(images: torch.Tensor) -> None:
    deformer = new_deformer(residual=0.1)
    deformer(torch.randn(6, 7), images).square().mean().backward()
    biases = {"body.4.bias"}  # centring removes a constant
    for name, p in deformer.named_parameters():
        assert name in biases or p.grad.abs().sum() > 0, name


def test_patch_shuffle_keeps_each_image_s_patches(images: torch.Tensor) -> None:
    shuffled = negatives.patch_shuffle(images, torch.Generator().manual_seed(0))
    assert shuffled.shape == images.shape
    assert not torch.equal(shuffled, images)
    assert torch.allclose(shuffled.flatten(1).sort().values, images.flatten(1).sort().values)
    corner = images[0, 0, :5, :5]
    patches = shuffled[0, 0].unfold(0, 5, 5).unfold(1, 5, 5).reshape(-1, 5, 5)
    assert any(torch.equal(corner, p) for p in patches)


def test_patch_shuffle_of_vectors_keeps_the_marginals() -> None:
    x = torch.randn(50, 3)
    shuffled = negatives.patch_shuffle(x, torch.Generator().manual_seed(0))
    assert torch.equal(shuffled.sort(0).values, x.sort(0).values)
    assert not torch.equal(shuffled, x)


def test_noise_fills_the_range(images: torch.Tensor) -> None:
    noise = negatives.uniform_noise(images, torch.Generator().manual_seed(0))
    assert noise.shape == images.shape
    assert noise.min() < -0.95
    assert noise.max() > 0.95
    assert noise.abs().max() <= 1
