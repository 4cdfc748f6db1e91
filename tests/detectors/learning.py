"""What training is worth: the AUROC of a detector after its training and before it."""

from __future__ import annotations

from typing import Any

from omasgan import config, detectors
from omasgan.data import metrics, protocols


def trained_and_untrained(
    name: str, benchmark: str, fold: int, untrained: dict[str, Any], **params: Any
) -> tuple[float, float]:
    """Test AUROC of ``name`` on one fold with ``params``, and with ``untrained`` (the fewest
    steps that it accepts) on top of them; seed 0.
    """
    after, before = by_stage(name, benchmark, fold, untrained, **params)
    stage = detectors.load(name)(**params).stage
    return after[stage], before[stage]


def by_stage(
    name: str, benchmark: str, fold: int, untrained: dict[str, Any], **params: Any
) -> tuple[dict[str, float], dict[str, float]]:
    """The same of each stage."""
    spec = config.load_benchmark(benchmark)
    dataset = protocols.load_data(spec)
    (chosen,) = protocols.choose(protocols.folds(spec, dataset), [fold])
    X = dataset.test.X[chosen.test]
    labels = protocols.labels(chosen, dataset.test.classes[chosen.test])
    values = []
    for steps in ({}, untrained):
        detector = detectors.load(name)(**(params | steps), seed=0, device="cpu")
        detector.fit(dataset.train.X[chosen.train])
        scores = detector.stage_scores(X)
        values.append({stage: metrics.auroc(labels, of) for stage, of in scores.items()})
    return values[0], values[1]
