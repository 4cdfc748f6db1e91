"""Which function turns a drawing of a suite into blocks, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, get_args

import pandas as pd

from omasgan import detectors
from omasgan.detectors.base import Property
from omasgan.experiments.paper.suites import Kind
from omasgan.report.page.blocks import Block, Table
from omasgan.report.paper import auroc_blocks, trained_blocks
from omasgan.report.paper.request import Request

Draw: TypeAlias = Callable[[Request], Iterator[Block]]


def _properties(request: Request) -> Iterator[Block]:
    """What each detector says that it is built on, most properties first."""
    names: tuple[Property, ...] = get_args(Property)
    by_detector = {name: detectors.load(name).properties for name in detectors.names()}
    frame = pd.DataFrame(
        {
            "detector": name,
            **{p: "yes" if p in by_detector[name] else "" for p in names},
            "properties": str(len(by_detector[name])),
        }
        for name in sorted(by_detector, key=lambda name: (-len(by_detector[name]), name))
    )
    caption = (
        "From the detectors' own statements (IterativeDetector.properties); nothing is trained, "
        "so that no budget and no selection rule plays a part. Yardsticks and Deep SVDD may have "
        "none of the nine."
    )
    yield Table(request.drawing.title, caption, frame)


KINDS: Mapping[Kind, Draw] = {
    "folds": auroc_blocks.folds,
    "stages": auroc_blocks.stages,
    "divergences": auroc_blocks.divergences,
    "seeds": auroc_blocks.seeds,
    "benchmarks": auroc_blocks.benchmarks,
    "properties": _properties,
    "plane": trained_blocks.plane,
    "evolution": trained_blocks.evolution,
    "losses": trained_blocks.losses,
    "grid": trained_blocks.grid,
    "thresholds": trained_blocks.thresholds,
}
