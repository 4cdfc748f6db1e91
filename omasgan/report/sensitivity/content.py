"""What the page of a study says: tables, figures, and how sure they are."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from omasgan import detectors
from omasgan.experiments.sensitivity.design import Axis, SensitivityPlan
from omasgan.experiments.sensitivity.training import SensitivitySpec
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Figure, Page, Section, Table, slug
from omasgan.report.results import tables
from omasgan.report.sensitivity import effects
from omasgan.report.sensitivity.effects import Cube, Effect

WARNING = (
    "No result, sensitivity only: these trainings were tested on the benchmark's own anomalies. "
    "The curves describe and choose nothing; params picked from them are chosen on the test set."
)
EFFECT = (
    "effect: mean AUROC at the best value less that at the worst. interval: 95 %, folds and the "
    "seeds within each drawn anew, the best and the worst value chosen anew each time (so rather "
    "too large). chance: what the effect stays below in 95 of 100 cases if the values made no "
    "difference (values permuted within each fold and seed). p Holm: the share of such cases that "
    "reach it, corrected for the params of this table. "
)
DIFFERENCE = (
    "difference: to the base, on the same folds with the same seeds; interval: 95 %, folds and "
    "the seeds within each drawn anew."
)
COST = (
    "seconds: what the trainings and tests took, all together; spared: training seconds that the "
    "stage cache saved, which they would have taken besides."
)
STAGE = "auroc."
BASE = "base.toml"


def page(spec: SensitivitySpec, rows: Sequence[Mapping[str, Any]]) -> Page:
    """The page of a study whose rows are ``rows``."""
    plan = spec.plan
    frame = effects.frame(rows, plan)
    cubes = [(axis, effects.cube(frame, plan, axis)) for axis in plan.axes]
    held = [(axis, cube) for axis, cube in cubes if cube is not None]
    section = Section(
        id="study",
        title="Study",
        prose=(_about(spec), *_doubts(plan, frame, cubes)),
        blocks=tuple(_blocks(plan, frame, held)),
        commands=(_command(spec),),
    )
    title = f"Sensitivity of {spec.detector} on {spec.benchmark.id}"
    return Page(title, (WARNING,), (section,))


def _command(spec: SensitivitySpec) -> Command:
    """What makes the page again; a base point of its own lies beside the page."""
    plan, caps = spec.plan, ("max_train", "max_test")
    base = own_params(detectors.load(spec.detector), plan.base)
    flags = {
        "params": ",".join(axis.name for axis in plan.axes),
        "around": BASE if base else None,
        "space": spec.ranges,
        "design": plan.design,
        "points": plan.points,
        "folds": ",".join(map(str, plan.folds)),
        "seeds": ",".join(map(str, plan.seeds)),
        **{cap.replace("_", "-"): getattr(spec.benchmark, cap) for cap in caps},
    }
    words = ["omasgan", "sensitivity", spec.place, spec.detector]
    for flag, value in flags.items():
        words += [] if value is None else [f"--{flag}", str(value)]
    toml = "".join(f"{name} = {json.dumps(value)}\n" for name, value in base.items())
    return Command(shlex.join(words), files={BASE: toml} if base else {})


def own_params(detector: type[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not at their defaults, and that a TOML can hold."""
    defaults = detectors.check_params(detector, {})
    return {k: v for k, v in params.items() if v is not None and v != defaults[k]}


def _about(spec: SensitivitySpec) -> str:
    plan = spec.plan
    ranges = "; ".join(
        f"{axis.name} in {', '.join(map(formats.param, axis.values))} "
        f"(base {formats.param(axis.base)}; range: {axis.source})"
        for axis in plan.axes
    )
    return f"{plan}. {ranges}."


def _doubts(
    plan: SensitivityPlan, frame: pd.DataFrame, cubes: Sequence[tuple[Axis, Cube | None]]
) -> Iterator[str]:
    """What makes these numbers less sure than they look."""
    units = len(plan.folds) * len(plan.seeds)
    if units == 1:
        yield "One fold with one seed: no number here has an interval, and none tells from chance."
    elif units < effects.FEW_UNITS:
        yield (
            f"Only {units} pairs of fold and seed: intervals are too narrow (of 4 pairs they hold "
            f"the truth in about 3 of 4 cases); from {effects.FEW_UNITS} pairs on they are nearly "
            "right, see --folds and --seeds."
        )
    bad = int((frame["outcome"] != "ok").sum())
    if bad:
        yield f"{bad} of {len(frame)} trainings gave no score; see the values that are left out."
    for axis, cube in cubes:
        if cube is None:
            yield f"{axis.name} is left out: the base, or all its other values, lack runs."
        elif cube.lost:
            lost = ", ".join(f"{formats.param(v)} ({n} runs)" for v, n in cube.lost.items())
            yield f"{axis.name} is shown without the values whose runs gave no score: {lost}."


def _blocks(
    plan: SensitivityPlan, frame: pd.DataFrame, held: Sequence[tuple[Axis, Cube]]
) -> Iterator[Block]:
    from omasgan.report.sensitivity import figures as draw

    if held:
        found = {axis.name: effects.effect(cube) for axis, cube in held}
        yield Table("Effects", EFFECT + _scope(plan), effects_table(found))
        yield Figure(
            "effects", "Effects beside chance", EFFECT + _scope(plan),
            "Effect of each parameter on AUROC with its interval, beside what chance reaches: "
            + "; ".join(f"{name} {e.size:.3f}" for name, e in found.items()),
            partial(draw.effects, found),
        )  # fmt: skip
        yield Figure(
            "curves", "Curves",
            f"Mean difference to the base (dashed) with its interval as a band; grey: folds. "
            f"{DIFFERENCE} {_scope(plan)}",
            f"How AUROC moves along the values of {', '.join(a.name for a, _ in held)}.",
            partial(draw.curves, held),
        )  # fmt: skip
    yield from _stages(plan, frame, [axis for axis, _ in held])
    if plan.design == "grid":
        yield from _heat_maps(plan, frame)
    values = values_table(held)
    yield Details("Every value", (Table("Values", f"{DIFFERENCE} {_scope(plan)}", values),))
    yield Table("Cost", COST, _cost(frame))


def _scope(plan: SensitivityPlan) -> str:
    others = "the others at the base" if plan.design == "one-at-a-time" else "mean over the others"
    return (
        f"Rule sensitivity (the test set is looked at); {plan.trainings} trainings, folds "
        f"{','.join(map(str, plan.folds))}, seeds {','.join(map(str, plan.seeds))}; "
        f"one param at a time moves, {others}."
    )


def effects_table(found: Mapping[str, Effect]) -> pd.DataFrame:
    """One line a param, largest effect first."""
    p = effects.corrected(found)
    lines = [
        {
            "parameter": name,
            "effect": e.size,
            "interval": formats.interval(e.interval),
            "chance": e.chance,
            "p Holm": p[name],
            "verdict": _verdict(e, p[name], len(found)),
            "best value": formats.param(e.best),
            "worst value": formats.param(e.worst),
        }
        for name, e in sorted(found.items(), key=lambda item: -item[1].size)
    ]
    return pd.DataFrame(lines)


def _verdict(e: Effect, p: float, tests: int) -> str:
    if tests * e.least > statistics.LEVEL:
        return "too few folds and seeds to tell"
    return "beyond chance" if p <= statistics.LEVEL else "not told from chance"


def values_table(held: Sequence[tuple[Axis, Cube]]) -> pd.DataFrame:
    """One line a param and value: mean AUROC, and its difference to the base."""
    lines = []
    for axis, cube in held:
        change, intervals = effects.differences(cube)
        for i, value in enumerate(cube.values):
            base = i == cube.base
            told = "-" if base else _signed(intervals[i])
            lines.append(
                {
                    "parameter": axis.name,
                    "value": formats.param(value) + (" (base)" if base else ""),
                    "auroc": float(cube.metric[i].mean()),
                    "difference": float("nan") if base else float(change[i]),
                    "interval": told,
                    "runs": str(cube.units),
                }
            )
    return pd.DataFrame(lines)


def _signed(interval: statistics.Interval) -> str:
    return "-" if np.isnan(interval.low) else f"{interval.low:+.3f} to {interval.high:+.3f}"


def _stages(plan: SensitivityPlan, frame: pd.DataFrame, axes: Sequence[Axis]) -> Iterator[Block]:
    """The same for the score of every stage that one training gives."""
    from omasgan.report.sensitivity import figures as draw

    told = [column for column in frame.columns if column.startswith(STAGE)]
    first = [f"{STAGE}{stage}" for stage in tables.STAGE_ORDER]
    columns = [*(c for c in first if c in told), *(c for c in told if c not in first)]
    cubes = {
        axis.name: {
            column.removeprefix(STAGE): cube
            for column in columns
            if (cube := effects.cube(frame, plan, axis, column)) is not None
        }
        for axis in axes
    }
    drawn = [(axis, cubes[axis.name]) for axis in axes if cubes[axis.name]]
    if not drawn:
        return
    lines = []
    for axis, of_axis in drawn:
        for stage, cube in of_axis.items():
            e = effects.effect(cube)
            interval = formats.interval(e.interval)
            lines.append(
                {
                    "parameter": axis.name,
                    "stage": stage,
                    "auroc at base": float(cube.metric[cube.base].mean()),
                    "effect": e.size,
                    "interval": interval,
                    "chance": e.chance,
                    "p": e.p,
                    "best value": formats.param(e.best),
                }
            )
    about = "As the table Effects, for the score of each stage that the same trainings give; p is "
    yield Table("Effects by stage", f"{about}not corrected. {_scope(plan)}", pd.DataFrame(lines))
    yield Figure(
        "stages", "Curves by stage",
        f"Mean difference of each stage's AUROC to its own at the base. {DIFFERENCE} "
        f"{_scope(plan)}",
        f"How each stage's AUROC moves along the values of {', '.join(cubes)}.",
        partial(draw.stages, drawn),
    )  # fmt: skip


def _heat_maps(plan: SensitivityPlan, frame: pd.DataFrame) -> Iterator[Block]:
    """One a pair of params; the others are averaged over."""
    from omasgan.report.sensitivity import figures as draw

    for x, y in itertools.combinations(plan.axes, 2):
        mean, half = effects.surface(frame, plan, x, y)
        if np.isnan(mean).all():
            continue
        yield Figure(
            slug("grid", x.name, y.name), f"{x.name} and {y.name}",
            "Mean AUROC; ±: half the 95 % interval of the difference to the base's cell, folds "
            f"and the seeds within each drawn anew. {_scope(plan)}",
            f"Heat map of AUROC over {x.name} and {y.name}.",
            partial(draw.heat_map, (x.name, x.values), (y.name, y.values), mean, half),
        )  # fmt: skip


def _cost(frame: pd.DataFrame) -> pd.DataFrame:
    spent = float(frame["seconds"].sum())
    spared = float(frame["cached_seconds"].fillna(0).sum()) if "cached_seconds" in frame else 0.0
    return pd.DataFrame(
        [
            {
                "trainings": str(len(frame)),
                "seconds": spent,
                "spared": f"{spared:.1f}",
                "without / with the cache": f"{(spent + spared) / spent:.2f}" if spent else "-",
            }
        ]
    )
