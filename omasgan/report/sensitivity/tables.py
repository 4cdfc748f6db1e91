"""The tables of a study: effects, their stages, every value, and the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pandas as pd

from omasgan.experiments.sensitivity.axes import Axis
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.sensitivity import effects
from omasgan.report.sensitivity.effects import Cube, Effect

AxisCubes: TypeAlias = Sequence[tuple[Axis, Cube]]


def by_effect(by_param: Mapping[str, Effect], meanings: Mapping[str, str]) -> pd.DataFrame:
    """One row for each param, largest effect first; values are named best only if they are."""
    p = effects.corrected(by_param)
    return pd.DataFrame(
        {
            "parameter": name,
            "effect": e.size,
            "interval": formats.interval(e.interval),
            "chance": e.chance,
            "p Holm": p[name],
            "verdict": _verdict(e, p[name], len(by_param)),
            "best value": _if(p[name] <= statistics.LEVEL, e.best),
            "worst value": _if(p[name] <= statistics.LEVEL, e.worst),
            "what it is": meanings.get(name, formats.NONE),
        }
        for name, e in sorted(by_param.items(), key=lambda item: -item[1].size)
    )


def by_stage(cubes: Sequence[tuple[Axis, Mapping[str, Cube]]]) -> pd.DataFrame:
    """One row for each param and stage; p is not corrected."""
    return pd.DataFrame(
        {"parameter": axis.name, "stage": stage, **_stage_row(cube)}
        for axis, of_axis in cubes
        for stage, cube in of_axis.items()
    )


def by_value(cubes: AxisCubes) -> pd.DataFrame:
    """One row for each param and value: mean AUROC, and its difference to the base."""
    rows = []
    for axis, cube in cubes:
        change, intervals = effects.differences(cube)
        for i, value in enumerate(cube.values):
            is_base = i == cube.base
            rows.append(
                {
                    "parameter": axis.name,
                    "value": formats.param(value) + (" (base)" if is_base else ""),
                    "auroc": float(cube.metric[i].mean()),
                    "difference": float("nan") if is_base else float(change[i]),
                    "interval": "-" if is_base else formats.signed_interval(intervals[i]),
                    "runs": str(cube.units),
                }
            )
    return pd.DataFrame(rows)


def cost(runs: pd.DataFrame) -> pd.DataFrame:
    """The seconds that all trainings took, and those that the stage cache saved."""
    spent = float(runs["seconds"].sum())
    spared = float(runs["cached_seconds"].fillna(0).sum()) if "cached_seconds" in runs else 0.0
    return pd.DataFrame(
        [
            {
                "trainings": str(len(runs)),
                "seconds": spent,
                "spared": f"{spared:.1f}",
                "without / with the cache": f"{(spent + spared) / spent:.2f}" if spent else "-",
            }
        ]
    )


def _stage_row(cube: Cube) -> dict[str, object]:
    e = effects.effect(cube)
    return {
        "auroc at base": float(cube.metric[cube.base].mean()),
        "effect": e.size,
        "interval": formats.interval(e.interval),
        "chance": e.chance,
        "p": e.p,
        "best value": _if(e.p <= statistics.LEVEL, e.best),
    }


def _if(has_effect: bool, value: object) -> str:
    return formats.param(value) if has_effect else formats.NONE


def _verdict(e: Effect, p: float, tests: int) -> str:
    if tests * e.least > statistics.LEVEL:
        return "too few folds and seeds for a test"
    return "significant" if p <= statistics.LEVEL else "not significant"
