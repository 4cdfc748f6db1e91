"""Frozen image networks in a form that computes gradients to their input quickly.

At the sizes used here most of a pass is overhead: batch norms that could be part of the layer
before them, and convolutions with so few channels or pixels that no library is fast at them. The
quick form is no approximation: its map is the same up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from omasgan.nn.networks import ImageGenerator

LARGEST_MATRIX = 2**18
"""Entries up to which one matrix product is quicker than the convolutions that it stands for."""

FEW_CHANNELS = 3
AFFINE = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)


def quick(network: nn.Module, shape: Sequence[int]) -> nn.Module:
    """Return the map of a frozen ``network`` in eval mode on inputs ``(n, *shape)``; it shares or
    copies the weights as they are now. A network that is no chain of layers is returned as it is.
    """
    if isinstance(network, ImageGenerator):
        network = nn.Sequential(network.project, nn.Unflatten(1, network.start), *network.body)
    if not isinstance(network, nn.Sequential):
        return network
    layers: list[nn.Module] = []
    point = next(network.parameters()).new_zeros(1, *shape)
    for _, run in groupby(network, _kind):
        part = nn.Sequential(*run)
        at_zero = part(point)
        affine = any(isinstance(layer, AFFINE) for layer in part)
        if affine and point.numel() * at_zero.numel() <= LARGEST_MATRIX:
            layers.append(_Matrix(part, point.shape[1:], at_zero))
        else:
            layers += _folded(list(part))
        point = torch.zeros_like(at_zero)
    return nn.Sequential(*layers).eval().requires_grad_(False)


def _kind(layer: nn.Module) -> bool:
    """Return whether a layer is an affine map (reshaping included) rather than an activation."""
    return isinstance(layer, (*AFFINE, nn.Flatten, nn.Unflatten))


class _Matrix(nn.Module):
    """An affine map, computed by sending the unit vectors through it."""

    def __init__(self, layers: nn.Module, shape: Sequence[int], at_zero: Tensor) -> None:
        super().__init__()
        units = torch.eye(math.prod(shape)).to(at_zero).reshape(-1, *shape)
        self.shape = at_zero.shape[1:]
        self.bias = nn.Parameter(at_zero.flatten().clone())
        columns = (layers(units) - at_zero).flatten(1)
        self.weight = nn.Parameter(columns.T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight, self.bias).reshape(-1, *self.shape)


def _folded(layers: list[nn.Module]) -> list[nn.Module]:
    """Fold each batch norm into the transposed convolution before it, and replace convolutions of
    few channels by a form of their own.
    """
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and isinstance(folded[-1], nn.ConvTranspose2d):
            folded[-1] = fuse_conv_bn_eval(folded[-1], layer, transpose=True)
        else:
            folded.append(layer)
    return [_for_few_channels(layer) for layer in folded]


def _for_few_channels(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.Conv2d) and _halves(layer) and layer.in_channels <= FEW_CHANNELS:
        return _Down(layer)
    if isinstance(layer, nn.ConvTranspose2d) and layer.out_channels <= FEW_CHANNELS:
        return _Up(layer) if _halves(layer) else layer
    return layer


def _halves(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))


class _Down(nn.Module):
    """A 4x4 convolution of stride 2 and padding 1, as a 2x2 one over blocks of 2x2 pixels."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        blocks = layer.weight.reshape(*layer.weight.shape[:2], 2, 2, 2, 2)
        weight = blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        self.weight = nn.Parameter(weight.contiguous())
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pixel_unshuffle(F.pad(x, (1, 1, 1, 1)), 2), self.weight, self.bias)


class _Up(nn.Module):
    """A transposed 4x4 convolution of stride 2 and padding 1, as a 2x2 one into blocks of 2x2
    pixels.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        assert layer.bias is not None
        blocks = layer.weight.reshape(*layer.weight.shape[:2], 2, 2, 2, 2).flip(2, 4)
        weight = blocks.permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        self.weight = nn.Parameter(weight.contiguous())
        self.bias = nn.Parameter(layer.bias.repeat_interleave(4))

    def forward(self, x: Tensor) -> Tensor:
        blocks = F.conv2d(x, self.weight, self.bias, padding=1)
        return F.pixel_shuffle(blocks, 2)[..., 1:-1, 1:-1]
