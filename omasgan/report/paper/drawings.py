"""Which function turns a drawing of a suite into blocks, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, get_args

import pandas as pd

from omasgan import detectors
from omasgan.detectors.base import Property
from omasgan.experiments.paper.suites import Kind
from omasgan.report.page.blocks import Block, Table
from omasgan.report.paper import auroc_blocks, regret_blocks, trained_blocks
from omasgan.report.paper.request import Request

Draw: TypeAlias = Callable[[Request], Iterator[Block]]

OF_TABLE_1 = (
    "omasgan", "minlgan", "fencegan", "egbad", "anogan", "tailgan", "bdsg", "ognet", "deep-sad",
    "conad", "vae", "adae", "ganomaly", "aed",
)  # fmt: skip
"""The systems of OMASGAN's Table 1, from left to right."""


def _properties(request: Request) -> Iterator[Block]:
    """What each detector says that it is built on: those of the paper's table, and the others."""
    caption = (
        "From the detectors' own statements (IterativeDetector.properties), most properties "
        "first; nothing is trained, so that no budget and no selection rule plays a part."
    )
    others = [name for name in detectors.names() if name not in OF_TABLE_1]
    yield Table(request.drawing.title, caption, _properties_of(OF_TABLE_1))
    title = f"{request.drawing.title} of what the paper's table doesn't have"
    yield Table(title, f"{caption} Yardsticks may have none.", _properties_of(others))


def _properties_of(names: Sequence[str]) -> pd.DataFrame:
    columns: tuple[Property, ...] = get_args(Property)
    by_detector = {name: detectors.declared(name).properties for name in names}
    return pd.DataFrame(
        {
            "detector": name,
            **{p: "yes" if p in by_detector[name] else "" for p in columns},
            "properties": str(len(by_detector[name])),
        }
        for name in sorted(by_detector, key=lambda name: (-len(by_detector[name]), name))
    )


KINDS: Mapping[Kind, Draw] = {
    "folds": auroc_blocks.folds,
    "stages": auroc_blocks.stages,
    "divergences": auroc_blocks.divergences,
    "seeds": auroc_blocks.seeds,
    "benchmarks": auroc_blocks.benchmarks,
    "properties": _properties,
    "plane": trained_blocks.plane,
    "boundaries": trained_blocks.boundaries,
    "evolution": trained_blocks.evolution,
    "losses": trained_blocks.losses,
    "grid": trained_blocks.grid,
    "thresholds": trained_blocks.thresholds,
    "regret": regret_blocks.regrets,
}
