"""AnoGAN's scoring against a search of one sample at a time.

The plain search goes through the same starting latents with the same loss, steps of Adam, best
loss and early end, on the networks as they were trained; ours runs many searches side by side on
the same networks in a quicker form. The plain one searches the first images only, and both rates
are per image. The loss has a gradient of signs, so that the last bit of a float32 can grow to a
percent within a search, whatever runs it: that both are the same search is checked in float64,
and the differences of the timed scores are given beside it.

    OMASGAN_DATA=... python benchmarks/speed/anogan_scoring.py [--images 1000] [--plain 50]

Without MNIST the 28x28 images are smooth random ones. Ends with 1 where scores differ.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omasgan.data import datasets
from omasgan.detectors.anogan import AnoGAN
from omasgan.errors import DataError
from omasgan.nn.batches import SCORING_BATCH, rows_of

ANOMALOUS = 0
IN_FLOAT64 = 10
TOLERANCE_FLOAT64 = 1e-6
TOLERANCE_FLOAT32 = 0.1
"""Largest relative differences between the two scores of an image."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="scored by ours")
    parser.add_argument("--plain", type=int, default=50, help="of them, searched one by one too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sets = {"digits 8x8": split(datasets.load("digits")), **twenty_eight()}
    print(f"ours on {arguments.images} images, plain on the first {arguments.plain} of them")
    print(f"{'':22}images/s{'':18}largest difference of a score")
    print("data          device     plain      ours   ratio     float32     float64")
    equal = True
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for name, (train, test) in sets.items():
            detector = AnoGAN(seed=0, device=device).fit(train)
            rows = np.arange(arguments.images) % len(test)
            x = rows_of(test, rows, torch.device(device))
            slow, quick, single = compared(detector, x, arguments.plain)
            *_, double = compared(in_float64(detector), x[:IN_FLOAT64].double(), IN_FLOAT64)
            equal &= single <= TOLERANCE_FLOAT32 and double <= TOLERANCE_FLOAT64
            rates = f"{slow:10.1f}{quick:10.1f}{quick / slow:8.1f}"
            print(f"{name:14}{device:6}{rates}{single:12.1e}{double:12.1e}", flush=True)
    if not equal:
        sys.exit(f"scores differ by more than {TOLERANCE_FLOAT32}, {TOLERANCE_FLOAT64} in float64")


@torch.no_grad()
def compared(detector: Any, x: Tensor, n: int) -> tuple[float, float, float]:
    """Images/s of the plain search on the first ``n`` of ``x`` and of ours on all, and the largest
    relative difference of their scores.
    """
    begun = time.perf_counter()
    parts = x.split(SCORING_BATCH[x.device.type])
    scores = torch.cat([detector._scores(part)["anogan"] for part in parts]).tolist()
    quick = len(x) / (time.perf_counter() - begun)
    begun = time.perf_counter()
    expected = [plain(detector, x[i : i + 1]) for i in range(n)]
    slow = n / (time.perf_counter() - begun)
    return slow, quick, max(abs(a / b - 1) for a, b in zip(scores, expected, strict=False))


@torch.enable_grad()
def plain(detector: Any, x: Tensor) -> float:
    """The score of one image ``(1, ...)``."""
    G, D = detector._networks["G"], detector._networks["D"]
    features = D.features(x)
    best = float("inf")
    for start in detector._starts():
        z = start[None].to(x).requires_grad_()
        optimiser = torch.optim.Adam([z], lr=detector.search_lr)
        mark, stale = float("inf"), 0
        for _ in range(detector.search_steps):
            optimiser.zero_grad()
            generated = G(z)
            residual = (x - generated).abs().sum()
            distance = (features - D.features(generated)).abs().sum()
            weight = detector.feature_weight
            loss = (1 - weight) * residual + weight * distance
            loss.backward()
            optimiser.step()
            value = loss.item()
            best = min(best, value)
            stale += 1
            if value < (1 - detector.tolerance) * mark:
                mark, stale = value, 0
            if stale >= detector.patience:
                break
    return best


def in_float64(detector: AnoGAN) -> AnoGAN:
    """A copy that searches in double precision."""
    double = copy.deepcopy(detector)
    for network in double._networks.values():
        network.double()
    return double


def twenty_eight() -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """MNIST where it is found, otherwise smooth random images of its size."""
    try:
        return {"mnist 28x28": split(datasets.load("mnist"))}
    except DataError:
        noise = torch.rand(3000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.interpolate(noise, size=28, mode="bicubic").clamp(0, 1)
        images = (255 * smooth).byte().numpy()
        return {"smooth 28x28": (images[:2000], images[2000:])}


def split(data: datasets.Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """Training images of all classes but ``ANOMALOUS``, and all test images."""
    return data.train.X[data.train.classes != ANOMALOUS], data.test.X


if __name__ == "__main__":
    main()
