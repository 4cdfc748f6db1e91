"""The training step of the 28x28 networks: a plain float32 loop against ours.

Ours keeps convolution weights in channels_last and, where the chip computes in it, trains in
bfloat16. Both train the whole method on one fold of mnist-loo with the same seed; the AUROC shows
that nothing is lost.

    OMASGAN_DATA=... python benchmarks/speed/training_step.py [--fold 0] [--steps 200]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import numpy as np
import torch
from torch import nn

from omasgan import config
from omasgan.data import metrics, protocols
from omasgan.detectors.omasgan import OMASGAN

BATCHES = {
    "gan": "batch_size",
    "boundary": "boundary_batch",
    "retrain": "batch_size",
    "detector": "detector_batch",
}


class Plain(OMASGAN):
    """The same training with the default layout and float32."""

    def _add(self, name: str, network: nn.Module) -> None:
        super()._add(name, network)
        self._networks[name].to(memory_format=torch.contiguous_format)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200, help="steps of every phase")
    parser.add_argument("--seeds", type=int, default=3, help="how many, for the AUROC")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spec = config.load_benchmark("mnist-loo")
    dataset = protocols.load_data(spec, root=None, download=False)
    (fold,) = protocols.choose(protocols.folds(spec, dataset), [arguments.fold])
    X = dataset.train.X[fold.train]
    test = dataset.test.X[fold.test]
    labels = protocols.labels(fold, dataset.test.classes[fold.test])
    steps = {f"{phase}_steps": arguments.steps for phase in BATCHES}

    rates: dict[str, dict[str, float]] = {}
    kinds = {"plain": (Plain, "float32"), "ours": (OMASGAN, "auto")}
    for kind, (cls, precision) in kinds.items():
        seconds: dict[str, float] = defaultdict(float)
        aurocs = []
        for seed in range(arguments.seeds):
            detector = cls(**steps, precision=precision, seed=seed, device="cpu")
            before = time.perf_counter()
            for epoch in detector.fit_epochs(X):
                now = time.perf_counter()
                seconds[epoch.phase] += now - before
                before = now
            aurocs.append(metrics.auroc(labels, detector.stage_scores(test)["j"]))
        images = arguments.steps * arguments.seeds
        rates[kind] = {
            phase: images * getattr(detector, batch) / seconds[phase]
            for phase, batch in BATCHES.items()
        }
        print(
            f"{kind:6} AUROC of J {np.mean(aurocs):.3f} (sd {np.std(aurocs):.3f}, n={len(aurocs)})"
        )
    print(f"{'phase':10}{'plain':>12}{'ours':>12}  images/s   ratio")
    for phase in BATCHES:
        plain, ours = rates["plain"][phase], rates["ours"][phase]
        print(f"{phase:10}{plain:12.0f}{ours:12.0f}{'':12}{ours / plain:6.2f}")


if __name__ == "__main__":
    main()
