"""Training throughput of our VAE against PyOD's, on flat vectors and one CPU thread.

Both have the same hidden sizes, latents, batch size and Adam, and see the same number of samples.
What remains different: ours has a linear skip from the latents and the likelihood's constant.
PyOD's dropout, preprocessing and weight decay are off, and its KL term, which ``capacity`` 0 (its
default) clamps to 0, is on. Its time is that of its training loop alone; ours is all of ``fit``.
The AUROC shows that both learn: ours of ``reconstruction``, PyOD's of its own score.

    python -m pip install pyod
    OMASGAN_DATA=... python benchmarks/speed/vae_training.py [--benchmark mnist-loo] [--fold 0]
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from omasgan import config
from omasgan.data import metrics, protocols
from omasgan.detectors.vae import VAE
from omasgan.detectors.yardstick import flat

DEPTH = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="mnist-loo")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2, help="passes over the training samples")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    parser.add_argument("--width", type=int, default=128, help="units of each hidden layer")
    parser.add_argument("--latents", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    try:
        import pyod.models.vae  # noqa: F401
    except ImportError as error:
        print(f"{error}; install PyOD with: python -m pip install pyod", file=sys.stderr)
        raise SystemExit(2) from error
    torch.set_num_threads(1)
    spec = config.load_benchmark(arguments.benchmark)
    dataset = protocols.load_data(spec, root=None, download=False)
    (fold,) = protocols.choose(protocols.folds(spec, dataset), [arguments.fold])
    X, test = flat(dataset.train.X[fold.train]), flat(dataset.test.X[fold.test])
    labels = protocols.labels(fold, dataset.test.classes[fold.test])
    images = len(X) // arguments.batch * arguments.batch * arguments.epochs

    rates: dict[str, list[float]] = {"PyOD": [], "ours": []}
    # In turn, so that a busy spell of the machine meets both.
    for seed in range(arguments.repeats):
        for kind, train in (("PyOD", train_pyod), ("ours", train_ours)):
            seconds, parameters, scores = train(X, test, seed, images, arguments)
            rates[kind].append(images / seconds)
            auroc = metrics.auroc(labels, scores)
            print(
                f"{kind:5} {rates[kind][-1]:9.0f} images/s, {parameters} parameters, "
                f"AUROC {auroc:.3f}"
            )
    pyod_rate, our_rate = (float(np.median(rates[kind])) for kind in rates)
    print(f"median: PyOD {pyod_rate:.0f}, ours {our_rate:.0f} images/s")
    print(f"ratio  {our_rate / pyod_rate:.2f}")


def train_ours(
    X: NDArray[np.float32],
    test: NDArray[np.float32],
    seed: int,
    images: int,
    arguments: argparse.Namespace,
) -> tuple[float, int, NDArray[Any]]:
    """Seconds, parameters, and scores of ``test``."""
    detector = VAE(
        latent_dim=arguments.latents,
        width=arguments.width,
        depth=DEPTH,
        batch_size=arguments.batch,
        train_steps=images // arguments.batch,
        lr=1e-3,
        precision="float32",
        seed=seed,
        device="cpu",
    )
    begun = time.perf_counter()
    detector.fit(X)
    seconds = time.perf_counter() - begun
    networks = detector.state_dict()["networks"].values()
    parameters = sum(weights.numel() for network in networks for weights in network.values())
    return seconds, parameters, detector.stage_scores(test)["reconstruction"]


def train_pyod(
    X: NDArray[np.float32],
    test: NDArray[np.float32],
    seed: int,
    images: int,
    arguments: argparse.Namespace,
) -> tuple[float, int, NDArray[Any]]:
    """Seconds, parameters, and scores of ``test``."""
    from pyod.models import vae

    class Timed(vae.VAE):  # type: ignore[misc]
        seconds = 0.0

        def train(self, train_loader: Any) -> None:
            begun = time.perf_counter()
            super().train(train_loader)
            self.seconds = time.perf_counter() - begun

    hidden = [arguments.width] * DEPTH
    detector = Timed(
        encoder_neuron_list=hidden,
        decoder_neuron_list=hidden,
        latent_dim=arguments.latents,
        batch_size=arguments.batch,
        epoch_num=arguments.epochs,
        lr=1e-3,
        preprocessing=False,
        dropout_rate=0.0,
        optimizer_params={},
        capacity=float("inf"),
        random_state=seed,
        device="cpu",
        verbose=0,
    )
    detector.fit(X)
    parameters = sum(p.numel() for p in detector.model.parameters())
    return detector.seconds, parameters, detector.decision_function(test)


if __name__ == "__main__":
    main()
