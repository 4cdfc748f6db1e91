"""Autoencoders from the encoders and generators of ``networks``."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from omasgan.nn import networks


class Autoencoder(nn.Module):
    """Samples to their reconstructions through ``latent_dim`` numbers each; ``standard`` ones have
    mean 0 and variance 1.
    """

    def __init__(
        self,
        shape: networks.Shape,
        *,
        latent_dim: int,
        width: int,
        depth: int,
        seed: int,
        standard: bool = False,
    ) -> None:
        super().__init__()
        encoder = networks.encoder(shape, outputs=latent_dim, width=width, depth=depth, seed=seed)
        scale = nn.BatchNorm1d(latent_dim, affine=False)
        self.encoder = nn.Sequential(encoder, scale) if standard else encoder
        self.decoder = networks.generator(
            shape, latent_dim=latent_dim, width=width, depth=depth, seed=seed + 1
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]


class MapAutoencoder(nn.Module):
    """Images to their reconstructions through ``latent_dim`` numbers at each place of a map, the
    lowest resolution: a latent that is no smaller than the image.
    """

    def __init__(
        self, shape: networks.Shape, *, latent_dim: int, width: int, depth: int, seed: int
    ) -> None:
        super().__init__()
        encoder = networks.encoder(shape, outputs=1, width=width, depth=depth, seed=seed)
        decoder = networks.generator(shape, latent_dim=1, width=width, depth=depth, seed=seed + 1)
        *down, _, _ = cast(nn.Sequential, encoder)
        up = cast(networks.ImageGenerator, decoder).body
        channels = cast(nn.BatchNorm2d, up[0]).num_features
        with networks.initialised_from(seed + 2):
            narrow, widen = nn.Conv2d(channels, latent_dim, 1), nn.Conv2d(latent_dim, channels, 1)
        self.encoder = nn.Sequential(*down, narrow)
        self.decoder = nn.Sequential(widen, *up)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]


class EncoderDecoderEncoder(Autoencoder):
    """An autoencoder whose reconstructions a second encoder, of weights of its own, reads again.

    Samples to their latents ``(n, latent_dim)``, their reconstructions and the latents of these.
    """

    def __init__(
        self, shape: networks.Shape, *, latent_dim: int, width: int, depth: int, seed: int
    ) -> None:
        super().__init__(shape, latent_dim=latent_dim, width=width, depth=depth, seed=seed)
        self.second = networks.encoder(
            shape, outputs=latent_dim, width=width, depth=depth, seed=seed + 2
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        z = self.encoder(x)
        reconstruction = self.decoder(z)
        return z, reconstruction, self.second(reconstruction)
