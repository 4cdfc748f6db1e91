"""The page of a study: its tables and figures, and how certain they are."""

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
from omasgan.experiments.sensitivity.axes import Axis
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.experiments.sensitivity.training import SensitivitySpec
from omasgan.report.meanings import meanings
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Figure, Page, Section, Table, slug
from omasgan.report.results.tables import STAGE_PREFIX, stage_columns
from omasgan.report.sensitivity import captions, effects, tables
from omasgan.report.sensitivity.effects import Cube
from omasgan.report.sensitivity.tables import AxisCubes

BASE = "base.toml"
"""The base point beside the page, where it is not the detector's defaults."""


def page(spec: SensitivitySpec, rows: Sequence[Mapping[str, Any]]) -> Page:
    """The page of a study whose result rows are ``rows``."""
    plan = spec.plan
    runs = effects.frame(rows, plan)
    cubes = [(axis, effects.cube(runs, plan, axis)) for axis in plan.axes]
    complete = [(axis, cube) for axis, cube in cubes if cube is not None]
    section = Section(
        id="study",
        title="Study",
        prose=(_about(plan), *_doubts(plan, runs, cubes)),
        blocks=tuple(_blocks(spec.detector, plan, runs, complete)),
        commands=(_command(spec),),
    )
    title = f"Sensitivity of {spec.detector} on {spec.benchmark.id}"
    return Page(title, (captions.WARNING,), (section,))


def _command(spec: SensitivitySpec) -> Command:
    """The command that makes the page again; a base point of its own is a file beside the page."""
    plan, caps = spec.plan, ("max_train", "max_test")
    base = _own_params(detectors.declared(spec.detector), plan.base)
    flags = {
        "params": ",".join(axis.name for axis in plan.axes),
        "around": BASE if base else None,
        "space": spec.space,
        "design": plan.design,
        "points": plan.points,
        "folds": ",".join(map(str, plan.folds)),
        "seeds": ",".join(map(str, plan.seeds)),
        **{cap.replace("_", "-"): getattr(spec.benchmark, cap) for cap in caps},
    }
    words = ["omasgan", "sensitivity", spec.source, spec.detector]
    for flag, value in flags.items():
        words += [] if value is None else [f"--{flag}", str(value)]
    toml = "".join(f"{name} = {json.dumps(value)}\n" for name, value in base.items())
    return Command(shlex.join(words), files={BASE: toml} if base else {})


def _own_params(detector: type[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The params that are not at their defaults, and that TOML can hold."""
    defaults = detectors.check_params(detector, {})
    return {k: v for k, v in params.items() if v is not None and v != defaults[k]}


def _about(plan: SensitivityPlan) -> str:
    ranges = "; ".join(
        f"{axis.name} in {', '.join(map(formats.param, axis.values))} "
        f"(base {formats.param(axis.base)}; range: {axis.source})"
        for axis in plan.axes
    )
    return f"{plan}. {ranges}."


def _doubts(
    plan: SensitivityPlan, runs: pd.DataFrame, cubes: Sequence[tuple[Axis, Cube | None]]
) -> Iterator[str]:
    """What makes these numbers less certain than they look."""
    units = len(plan.folds) * len(plan.seeds)
    if units == 1:
        yield "One fold with one seed: no number here has an interval, and none is significant."
    elif units < effects.FEW_UNITS:
        yield (
            f"Only {units} pairs of fold and seed: intervals are too narrow (of 4 pairs they "
            "contain the truth in about 3 of 4 cases). They are nearly right from "
            f"{effects.FEW_UNITS} pairs on, see --folds and --seeds."
        )
    failed = int((runs["outcome"] != "ok").sum())
    if failed:
        yield f"{failed} of {len(runs)} trainings gave no score; see the values that are left out."
    for axis, cube in cubes:
        if cube is None:
            yield f"{axis.name} is left out: runs of the base or of all its other values failed."
        elif cube.missing:
            values = (f"{formats.param(v)} ({n} runs)" for v, n in cube.missing.items())
            yield f"{axis.name} is shown without values whose runs failed: {', '.join(values)}."


def _blocks(
    detector: str, plan: SensitivityPlan, runs: pd.DataFrame, cubes: AxisCubes
) -> Iterator[Block]:
    from omasgan.report.sensitivity import figures as draw

    scope = _scope(plan)
    if cubes:
        by_param = {axis.name: effects.effect(cube) for axis, cube in cubes}
        yield Table(
            "Effects", f"{captions.EFFECT} {scope}", tables.by_effect(by_param, meanings(detector))
        )
        sizes = "; ".join(f"{name} {e.size:.3f}" for name, e in by_param.items())
        yield Figure(
            "effects", "Effects beside chance", f"{captions.EFFECT} {scope}",
            "Effect of each parameter on AUROC with its interval, beside what chance reaches: "
            f"{sizes}",
            partial(draw.effects, by_param),
        )  # fmt: skip
        yield Figure(
            "curves", "Curves",
            f"Mean AUROC; band: the interval of the difference to the base (dashed); grey: the "
            f"folds, moved to the base's mean. {captions.DIFFERENCE} {scope}",
            f"How AUROC moves along the values of {', '.join(a.name for a, _ in cubes)}.",
            partial(draw.curves, cubes),
        )  # fmt: skip
    yield from _stages(plan, runs, [axis for axis, _ in cubes])
    if plan.design == "grid":
        yield from _heat_maps(plan, runs)
    values = Table("Values", f"{captions.DIFFERENCE} {scope}", tables.by_value(cubes))
    yield Details("Every value", (values,))
    yield Table("Cost", captions.COST, tables.cost(runs))


def _scope(plan: SensitivityPlan) -> str:
    others = "the others at the base" if plan.design == "one-at-a-time" else "mean over the others"
    return (
        f"Rule sensitivity (the test set is looked at); {plan.trainings} trainings, folds "
        f"{','.join(map(str, plan.folds))}, seeds {','.join(map(str, plan.seeds))}; "
        f"one param varies at a time, {others}."
    )


def _stages(plan: SensitivityPlan, runs: pd.DataFrame, axes: Sequence[Axis]) -> Iterator[Block]:
    """The same for the score of every stage that one training gives."""
    from omasgan.report.sensitivity import figures as draw

    cubes = [(axis, _stage_cubes(plan, runs, axis)) for axis in axes]
    cubes = [(axis, of_axis) for axis, of_axis in cubes if of_axis]
    if not cubes:
        return
    about = (
        "As the table Effects, for the score of each stage that the same trainings give; p is not "
        f"corrected. {_scope(plan)}"
    )
    yield Table("Effects by stage", about, tables.by_stage(cubes))
    yield Figure(
        "stages", "Curves by stage",
        f"Mean AUROC of each stage's score; the band is the interval of its difference to its own "
        f"at the base. {captions.DIFFERENCE} "
        f"{_scope(plan)}",
        f"How each stage's AUROC moves along the values of {', '.join(a.name for a in axes)}.",
        partial(draw.stages, cubes),
    )  # fmt: skip


def _stage_cubes(plan: SensitivityPlan, runs: pd.DataFrame, axis: Axis) -> dict[str, Cube]:
    cubes = {column: effects.cube(runs, plan, axis, column) for column in stage_columns(runs)}
    return {c.removeprefix(STAGE_PREFIX): cube for c, cube in cubes.items() if cube is not None}


def _heat_maps(plan: SensitivityPlan, runs: pd.DataFrame) -> Iterator[Block]:
    """One for each pair of params; the others are averaged over."""
    from omasgan.report.page.plots import heat_map

    for x, y in itertools.combinations(plan.axes, 2):
        mean, half = effects.surface(runs, plan, x, y)
        if np.isnan(mean).all():
            continue
        yield Figure(
            slug("grid", x.name, y.name), f"{x.name} and {y.name}",
            "Mean AUROC; ±: half the 95 % interval of the difference to the base's cell, over "
            f"folds and the seeds within each. {_scope(plan)}",
            f"Heat map of AUROC over {x.name} and {y.name}.",
            partial(heat_map, (x.name, x.values), (y.name, y.values), mean, half),
        )  # fmt: skip
