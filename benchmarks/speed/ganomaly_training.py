"""GANomaly's training step: anomalib's network in a plain loop against ours, in images/s.

Compared is what a training consists of: drawing a batch from uint8 images in memory, forward
passes, losses, backward passes and Adam's updates of generator and discriminator; 32x32 images of
one channel, equal batch size, one CPU thread. Of anomalib run its own generator, discriminator
and losses, in the order of its training step; its trainer, data loaders and logging, which cost
more, are left out. Ours runs as a user runs it, ``fit_epochs`` of the detector ``ganomaly``.

The layers are as alike as parameters make them: equal width, as many halvings, an equal latent.
What stays unequal: ours has no padding of 4 in the first convolution, which makes anomalib's
feature maps larger (19 and 9 instead of 16 and 8), and has one more layer and no batch
normalisation in the discriminator; ours has the more parameters, and both counts are printed.
Ours does not take gradients that it throws away (the generator's loss by the discriminator's
weights), and where the chip computes in bfloat16 it does by default. Both rates are printed: at
float32 the arithmetic is the same, at ``auto`` it is not.

Rounds alternate, and the median of the rounds' ratios is printed, so that another process slows
both.

    python benchmarks/speed/ganomaly_training.py [--batch 64] [--width 64] [--rounds 5]

It needs anomalib (Apache-2.0), of which it imports two files and nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from omasgan.detectors.ganomaly import GANomaly

SIDE = 32
LR, BETAS = 2e-4, (0.5, 0.999)
INSTALL = "anomalib is missing: python -m pip install --no-deps anomalib"


class InferenceBatch(NamedTuple):
    """What anomalib's network gives back in eval mode, which is not used here."""

    pred_score: Any


def anomalib_part(root: Path, name: str) -> ModuleType:
    """One file of anomalib's GANomaly, without its package, which imports all of its models.

    Two names that the network imports are given here; images whose side is a power of 2 need no
    padding.
    """
    stand_ins = {
        "anomalib": ModuleType("anomalib"),
        "anomalib.data": ModuleType("anomalib.data"),
        "anomalib.data.utils": ModuleType("anomalib.data.utils"),
        "anomalib.data.utils.image": ModuleType("anomalib.data.utils.image"),
    }
    vars(stand_ins["anomalib.data"])["InferenceBatch"] = InferenceBatch
    vars(stand_ins["anomalib.data.utils.image"])["pad_nextpow2"] = lambda batch: batch
    path = root / "models" / "image" / "ganomaly" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"anomalib_ganomaly_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.update(stand_ins)
    try:
        spec.loader.exec_module(module)
    finally:
        for stand_in in stand_ins:
            del sys.modules[stand_in]
    return module


class Theirs:
    """anomalib's network and losses; a step is its training step without the trainer."""

    def __init__(self, root: Path, X: np.ndarray, arguments: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.model = anomalib_part(root, "torch_model").GanomalyModel(
            input_size=(SIDE, SIDE),
            num_input_channels=1,
            n_features=arguments.width,
            latent_vec_size=arguments.latent,
        )
        losses = anomalib_part(root, "loss")
        self.loss_g, self.loss_d = losses.GeneratorLoss(), losses.DiscriminatorLoss()
        G, D = self.model.generator, self.model.discriminator
        self.adam_g = torch.optim.Adam(G.parameters(), lr=LR, betas=BETAS)
        self.adam_d = torch.optim.Adam(D.parameters(), lr=LR, betas=BETAS)
        self.X, self.batch = torch.from_numpy(X), arguments.batch
        self.model.train()

    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def train(self, steps: int) -> None:
        D = self.model.discriminator
        for _ in range(steps):
            chosen = torch.randint(len(self.X), (self.batch,))
            x, fake, z, again = self.model(self.X[chosen].float() / 127.5 - 1)
            on_x, _ = D(x)
            loss_g = self.loss_g(z, again, x, fake, on_x, D(fake)[0])
            self.adam_g.zero_grad()
            loss_g.backward(retain_graph=True)
            self.adam_g.step()
            loss_d = self.loss_d(on_x, D(fake.detach())[0])
            self.adam_d.zero_grad()
            loss_d.backward()
            self.adam_d.step()


class Ours:
    """The detector, trained epoch by epoch."""

    def __init__(self, precision: Any, X: np.ndarray, arguments: argparse.Namespace) -> None:
        self.detector = GANomaly(
            latent_dim=arguments.latent,
            width=arguments.width,
            depth=3,
            batch_size=arguments.batch,
            train_steps=10**6,
            lr=LR,
            epoch_steps=arguments.steps,
            precision=precision,
            device="cpu",
        )
        self.epochs = self.detector.fit_epochs(X)

    def parameters(self) -> int:
        networks = self.detector._networks.values()
        return sum(p.numel() for network in networks for p in network.parameters())

    def train(self, steps: int) -> None:
        next(self.epochs)


def rate(train: Callable[[int], None], steps: int, batch: int) -> float:
    """Images per second of one round."""
    start = time.perf_counter()
    train(steps)
    return steps * batch / (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64, help="channels of the first layer")
    parser.add_argument("--latent", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    found = importlib.util.find_spec("anomalib")
    if found is None or not found.submodule_search_locations:
        print(INSTALL, file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    X = np.random.default_rng(0).integers(0, 256, (2048, 1, SIDE, SIDE), dtype=np.uint8)
    runs: dict[str, Theirs | Ours] = {
        "anomalib": Theirs(Path(found.submodule_search_locations[0]), X, arguments),
        "ours, float32": Ours("float32", X, arguments),
        "ours, auto": Ours("auto", X, arguments),
    }
    for run in runs.values():
        run.train(arguments.steps)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            rates[name].append(rate(run.train, arguments.steps, arguments.batch))
    print(f"{'':16}{'parameters':>12}{'images/s':>10}{'ratio':>8}")
    for name, run in runs.items():
        ratio = statistics.median(
            a / b for a, b in zip(rates[name], rates["anomalib"], strict=True)
        )
        median = statistics.median(rates[name])
        print(f"{name:16}{run.parameters():12,}{median:10.0f}{ratio:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
