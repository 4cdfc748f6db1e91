"""BDSG: its loss under a density that is known, its boundary, and images as grey levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from omasgan.detectors.bdsg import BDSG
from omasgan.nn import boundary
from omasgan.nn.boundary import density_term
from tests.contracts import test_detector
from tests.contracts.test_detector import images, vectors
from tests.detectors.learning import trained_and_untrained
from tests.detectors.test_density_boundary import assert_surrounds


def quick(**params: Any) -> Any:
    return test_detector.quick("bdsg", **{"flow_blocks": 2, **params})


STANDARD = torch.distributions.Normal(0.0, 1.0)


class KnownDensity(BDSG):
    """The closed-form variant: a mixture of equal Gaussians in the place of the flow's density."""

    centres: Any = ((0.0, 0.0),)
    sd = 0.2

    def _log_density(self, x: Tensor, noise: Tensor | float = 0.5) -> Tensor:
        of = [
            torch.distributions.Normal(torch.tensor(c), self.sd).log_prob(x).sum(1)
            for c in self.centres
        ]
        return torch.logsumexp(torch.stack(of), 0) - math.log(len(of))


def known(X: np.ndarray, centres: Any, **params: Any) -> KnownDensity:
    small = {"width": 16, "latent_dim": 2, "flow_steps": 0, "epoch_steps": 100}
    detector = KnownDensity(**{**small, "density": "plain", **params}, seed=0, device="cpu")
    detector.centres = centres
    return detector.fit(X)


def test_the_loss_of_a_circle_is_least_between_the_centre_and_far_away() -> None:
    """Under p = N(0, I) its density falls with the radius, and the distance to 1,024 samples,
    which reach a radius of about 3.7, rises beyond them.
    """
    generator = torch.Generator().manual_seed(0)
    x, z = (torch.randn(n, 2, generator=generator) for n in (1024, 256))
    losses, radii = [], torch.linspace(0.1, 8, 80)
    for r in radii:
        circle = r * z / z.norm(dim=1, keepdim=True)
        density = density_term(STANDARD.log_prob(circle).sum(1), 2, "plain")
        expected = math.exp(-(r.item() ** 2) / 2) / (2 * math.pi)
        assert density.item() == pytest.approx(expected, rel=1e-4)
        distance, scattering = boundary.point_to_set(circle, x), boundary.dispersion(circle, z)
        losses.append(density + 0.3 * distance + 0.025 * scattering)
    assert 1 < radii[torch.stack(losses).argmin()] < 4


def test_the_gradient_of_the_plain_density_is_p_times_that_of_its_logarithm() -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    log_p = STANDARD.log_prob(x).sum(1)
    (gradient,) = torch.autograd.grad(density_term(log_p, 2, "plain"), x)
    torch.testing.assert_close(gradient, (log_p.exp()[:, None] * -x / 5).detach())


def test_the_root_of_a_density_has_a_gradient_where_the_density_is_zero() -> None:
    x = torch.full((4, 100), 3.0, requires_grad=True)
    log_p = STANDARD.log_prob(x).sum(1)
    for kind, alive in (("plain", False), ("root", True)):
        (gradient,) = torch.autograd.grad(density_term(log_p, 100, kind), x, retain_graph=True)
        assert (gradient != 0).any() == alive
    bits = -log_p.mean().item() / (100 * math.log(2))
    assert density_term(log_p, 100, "root").item() == pytest.approx(math.exp(-bits), rel=1e-4)


def test_the_boundary_of_a_known_gaussian_surrounds_it() -> None:
    X = vectors(2000)
    detector = known(X, [(0.0, 0.0)], boundary_steps=300, boundary_lr=3e-3)
    b = detector.samples(X[:300])["B"]
    assert_surrounds(b, detector.sd)


def test_the_boundary_of_two_modes_covers_both() -> None:
    centres = [(-0.6, 0.0), (0.6, 0.0)]
    X = vectors(2000) * 0.5 + np.repeat(np.float32(centres), 1000, axis=0)
    detector = known(X, centres, boundary_steps=300, boundary_lr=3e-3)
    b = detector.samples(X[:300])["B"]
    assert 0.3 < (b[:, 0] > 0).mean() < 0.7


def test_the_flow_and_the_known_density_agree_on_the_loss() -> None:
    X = vectors(2000)
    detector = BDSG(
        flow_steps=200, boundary_steps=0, flow_lr=3e-3, flow_width=16, flow_blocks=3, seed=0,
        device="cpu",
    ).fit(X)  # fmt: skip
    x = torch.from_numpy(vectors(300, seed=1)) * 1.5
    of_flow, of_known = (
        density_term(log_p, 2, "plain").item()
        for log_p in (
            torch.from_numpy(-detector.decision_function(x.numpy())),
            known(X, [(0.0, 0.0)], boundary_steps=1)._log_density(x),
        )
    )
    assert of_flow == pytest.approx(of_known, rel=0.1)


def test_gaussians_may_stand_in_the_place_of_the_flow() -> None:
    X = vectors(2000)
    detector = BDSG(model="gaussians", boundary_steps=1, seed=0, device="cpu").fit(X)
    assert "G" not in detector._networks
    x = torch.from_numpy(vectors(100, seed=1))
    expected = torch.distributions.Normal(0.0, 0.2).log_prob(x).sum(1)
    got = -torch.from_numpy(detector.decision_function(x.numpy()))
    torch.testing.assert_close(got, expected, atol=0.2, rtol=0)
    assert detector.samples(X)["G"].std() == pytest.approx(0.2, rel=0.05)
    again = BDSG(model="gaussians", boundary_steps=1, seed=0, device="cpu")
    again.load_state_dict(detector.state_dict())
    assert np.array_equal(again.decision_function(x.numpy()), -got.numpy())


def test_gaussians_are_those_of_the_logits_of_images() -> None:
    """One Gaussian is the best of its kind: no flow that is near the identity beats it."""
    X = images(200)
    scores = [
        quick(model=model, boundary_steps=1, flow_steps=1).fit(X).decision_function(X).mean()
        for model in ("gaussians", "flow")
    ]
    assert scores[0] < scores[1]


def fitted_to_images() -> tuple[Any, Tensor]:
    X = (images() // 15) * 15  # 18 levels, 0 to 255
    return quick().fit(X), torch.from_numpy(X).float() / 127.5 - 1


def test_images_have_as_many_grey_levels_as_the_data_show() -> None:
    detector, x = fitted_to_images()
    levels = len(torch.unique(x))
    assert 10 < levels <= 18
    assert detector._fitted["levels"] == levels
    as_float = quick().fit(x.numpy())
    assert as_float._fitted["levels"] == levels


def test_the_log_determinant_of_images_is_that_of_autograd_in_levels() -> None:
    detector, x = fitted_to_images()
    x = x[:3, :, 2:4, 2:4]
    log_det = detector._rows(x, 0.5)[1]
    per_level = 2 / (detector._fitted["levels"] - 1)
    for i, image in enumerate(x):
        one = torch.func.jacrev(lambda flat: detector._rows(flat.reshape(1, 1, 2, 2), 0.5)[0][0])
        expected = torch.linalg.slogdet(one(image.flatten()) * per_level).logabsdet
        torch.testing.assert_close(log_det[i], expected, rtol=1e-4, atol=1e-4)


def test_what_the_flow_takes_of_an_image_gives_the_image_back() -> None:
    detector, x = fitted_to_images()
    torch.testing.assert_close(
        detector._from_rows(detector._rows(x, 0.5)[0]), x, atol=1e-4, rtol=0
    )


def test_training_pays() -> None:
    untrained = {"flow_steps": 1}
    trained, before = trained_and_untrained(
        "bdsg", "digits-loo", 3, untrained,
        flow_steps=150, boundary_steps=0, flow_blocks=4, flow_width=16, flow_lr=3e-3,
    )  # fmt: skip
    assert trained > max(before, 0.5) + 0.05
