"""Generators, critics and encoders for vectors and for square images.

A sample's shape is ``(d,)`` or ``(c, s, s)``. Image networks are DCGANs (Radford et al. 2016):
``depth`` halvings of the side, ``width`` channels at the largest resolution, doubled at each
halving. Vector networks are MLPs with ``depth`` hidden layers of ``width`` units and, in the
generator, a skip from the latent (OMASGAN's synthetic study). Depth 0 is chosen by the shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn

from omasgan.errors import ConfigError
from omasgan.nn import spectral

Shape = Sequence[int]

LAYOUT = torch.channels_last
"""The memory format of images and of the weights of convolutions."""


class VectorGenerator(nn.Module):
    """Latents ``(n, latent_dim)`` to vectors ``(n, d)``, unbounded: MLP plus a linear skip."""

    def __init__(self, d: int, latent_dim: int, width: int, depth: int) -> None:
        super().__init__()
        sizes = [latent_dim] + [width] * depth
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Linear(sizes[-1], d))
        self.skip = nn.Linear(latent_dim, d, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return self.body(z) + self.skip(z)  # type: ignore[no-any-return]


class ImageGenerator(nn.Module):
    """Latents ``(n, latent_dim)`` to images ``(n, c, s, s)`` in [-1, 1]."""

    def __init__(self, shape: Shape, latent_dim: int, width: int, depth: int) -> None:
        super().__init__()
        channels, side = shape[0], shape[1]
        start = width * 2 ** (depth - 1)
        self.start = (start, side >> depth, side >> depth)
        self.project = nn.Linear(latent_dim, math.prod(self.start), bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(start), nn.ReLU()]
        for i in reversed(range(1, depth)):
            a, b = width * 2**i, width * 2 ** (i - 1)
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        start = self.project(z).unflatten(1, self.start)
        return self.body(start.contiguous(memory_format=LAYOUT))  # type: ignore[no-any-return]


class Flatten(nn.Flatten):
    """Images ``(n, c, h, w)`` to ``(n, c * h * w)``, whose gradient comes back in ``LAYOUT``.

    A gradient in another layout than its image makes the activations before it up to 18 times
    slower on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.requires_grad:
            input.register_hook(lambda gradient: gradient.contiguous(memory_format=LAYOUT))
        return super().forward(input)


class Critic(nn.Module):
    """Samples to one raw output each, ``(n,)``; ``features`` is the last hidden layer ``(n, m)``.

    No batch normalisation: an output depends on its own sample alone, in training as in scoring.
    """

    def __init__(self, body: nn.Module, m: int, *, normalised: bool) -> None:
        super().__init__()
        self.features = body
        head = nn.Linear(m, 1)
        self.head = spectral.normalised(head) if normalised else head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)).squeeze(1)  # type: ignore[no-any-return]


def generator(shape: Shape, *, latent_dim: int, width: int, depth: int, seed: int) -> nn.Module:
    """Build a generator of samples of ``shape``, initialised from ``seed``.

    Raises:
        ConfigError: the image side cannot be halved ``depth`` times (to no less than 2).
    """
    depth = _depth(shape, depth)
    with initialised_from(seed):
        if len(shape) == 1:
            return VectorGenerator(shape[0], latent_dim, width, depth)
        return ImageGenerator(shape, latent_dim, width, depth).apply(_dcgan_init)


def critic(shape: Shape, *, width: int, depth: int, normalised: bool, seed: int) -> Critic:
    """Build a critic of samples of ``shape``, initialised from ``seed``; ``normalised``: spectral
    norm on every layer (Miyato et al. 2018).

    Raises:
        ConfigError: the image side cannot be halved ``depth`` times (to no less than 2).
    """
    depth = _depth(shape, depth)
    with initialised_from(seed):
        layers: list[nn.Module] = []
        if len(shape) == 1:
            size = shape[0]
            for _ in range(depth):
                layers += [nn.Linear(size, width), nn.LeakyReLU(0.2)]
                size = width
        else:
            channels = shape[0]
            for i in range(depth):
                layers += [nn.Conv2d(channels, width * 2**i, 4, 2, 1), nn.LeakyReLU(0.2)]
                channels = width * 2**i
            layers += [nn.Conv2d(channels, channels * 2, 3, 2, 1), nn.LeakyReLU(0.2), Flatten()]
            side = ((shape[1] >> depth) + 1) // 2
            size = channels * 2 * side * side
        if normalised:
            layers = [spectral.normalised(m) if hasattr(m, "weight") else m for m in layers]
        return Critic(nn.Sequential(*layers), size, normalised=normalised)


def encoder(
    shape: Shape, *, outputs: int, width: int, depth: int, seed: int, affine: bool = True
) -> nn.Module:
    """Build a network from samples of ``shape`` to ``(n, outputs)``, initialised from ``seed``:
    the mirror of ``generator``, with batch normalisation after every convolution but the first.

    Without ``affine`` no layer has a bias or a learned scale, so that a constant output is not
    within its reach (Ruff et al. 2018, propositions 2 and 3).

    Raises:
        ConfigError: the image side cannot be halved ``depth`` times (to no less than 2).
    """
    depth = _depth(shape, depth)
    with initialised_from(seed):
        layers: list[nn.Module] = []
        if len(shape) == 1:
            size = shape[0]
            for _ in range(depth):
                layers += [nn.Linear(size, width, bias=affine), nn.LeakyReLU(0.2)]
                size = width
            return nn.Sequential(*layers, nn.Linear(size, outputs, bias=affine))
        channels = shape[0]
        for i in range(depth):
            layers.append(nn.Conv2d(channels, width * 2**i, 4, 2, 1, bias=affine and i == 0))
            if i:
                layers.append(nn.BatchNorm2d(width * 2**i, affine=affine))
            layers.append(nn.LeakyReLU(0.2))
            channels = width * 2**i
        side = shape[1] >> depth
        last = nn.Linear(channels * side * side, outputs, bias=affine)
        return nn.Sequential(*layers, Flatten(), last).apply(_dcgan_init)


def _depth(shape: Shape, depth: int) -> int:
    """Return ``depth``, or for 0: two hidden layers for vectors, for images as many halvings as
    leave a side of at least 4.
    """
    if len(shape) == 1:
        return depth or 2
    if depth == 0:
        depth = max(
            (k for k in range(1, 7) if shape[1] % 2**k == 0 and shape[1] >> k >= 4), default=1
        )
    _check_image(shape, depth)
    return depth


def _check_image(shape: Shape, depth: int) -> None:
    """Raise ConfigError unless ``shape`` is ``(c, s, s)`` and 2^depth leaves a side >= 2."""
    side = shape[1]
    if side != shape[2] or side % 2**depth or side >> depth < 2:
        raise ConfigError(
            "depth must halve the side of a square image exactly and leave at least 2 pixels, "
            f"got {depth=} for images of {side}x{shape[2]}; choose a smaller depth"
        )


def copy_of(network: nn.Module) -> nn.Module:
    """Return a separate instance with the same weights: nothing is shared."""
    return deepcopy(network)


def jointly(critic: nn.Module, *samples: Tensor) -> Sequence[Tensor]:
    """Return the critic's outputs on each of several sets of samples, from one pass over all: the
    same numbers, but for one step of spectral norm's power iteration instead of several.
    """
    outputs: Tensor = critic(torch.cat(samples))
    parts: Sequence[Tensor] = outputs.split([len(each) for each in samples])
    return parts


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Within the context ``network`` passes gradients on but gathers none for its weights."""
    network.requires_grad_(False)
    yield
    network.requires_grad_(True)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move ``average`` towards ``network``: an exponential moving average of the weights, a copy
    of the buffers.
    """
    for a, p in zip(average.parameters(), network.parameters(), strict=True):
        a.lerp_(p, 1 - decay)
    for averaged, current in zip(average.buffers(), network.buffers(), strict=True):
        averaged.copy_(current)


def _dcgan_init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


@contextmanager
def initialised_from(seed: int) -> Iterator[None]:
    """Draw the weights of networks that are built within from ``seed``; the global generator is
    left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the generators of GPUs too, which nothing restores.
        torch.default_generator.manual_seed(seed)
        yield
