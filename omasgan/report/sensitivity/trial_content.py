"""What the page on finished sweeps says: how much each param matters, and how sure that is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pandas as pd

from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Figure, Page, Section, Table, slug
from omasgan.report.sensitivity import trials
from omasgan.report.sensitivity.trials import Dependence, Importance, Pool
from omasgan.report.statistics import NONE, Interval
from omasgan.study.space import Choice

MEASURES = (
    "fanova: share of the objective's variance over the whole space (log ranges count as plain "
    "ones, so that what acts at their low end alone counts little; params under a condition have "
    "no number). ped-anova: how much the best tenth of the trials differs from all. share: of all "
    "importance, a random param's included. chance: what a random param stays below in 95 of 100 "
    f"resamples; interval: 95 % over {trials.RESAMPLES} resamples of the trials."
)
DEPENDENCE = (
    "What a random forest fitted to the trials predicts in the mean when this param alone is set, "
    "for trials that have it, less the mean of the trial's study. Band: 95 % over "
    f"{trials.RESAMPLES} resamples of the trials. A sampler that gathers its trials near the best "
    "ones leaves little to see elsewhere."
)
LENGTH = (
    "change: of the objective from the shortest to the longest phase, by the partial dependence; "
    "seconds: what 100 steps more cost a trial, by least squares; intervals: 95 % over resamples "
    "of the trials."
)
PAIRS = 3
SHOWN = 8
"""Params in the parallel coordinates."""


def page(pools: Sequence[Pool], command: str) -> Page:
    """One section a pool."""
    title = "What finished sweeps tell of the params"
    notes = ("Nothing was trained for this page: every number is made from the sweeps' trials.",)
    return Page(title, notes, tuple(_section(pool, command) for pool in pools))


def _section(pool: Pool, command: str) -> Section:
    name = f"{pool.detector} on {pool.benchmark}, rule {pool.rule}"
    return Section(
        id=slug(pool.benchmark, pool.detector, pool.rule, *_same_place(pool)),
        title=name,
        prose=(_about(pool), *_doubts(pool)),
        blocks=tuple(_blocks(pool)),
        commands=(Command(command),),
    )


def _same_place(pool: Pool) -> tuple[str, ...]:
    """What tells pools apart that differ in their space alone."""
    return (pool.studies[0].name,)


def _about(pool: Pool) -> str:
    studies = ", ".join(study.name for study in pool.studies)
    told = f"{len(pool)} ok trials of the studies {studies}; {pool.lost} others gave no objective."
    rule = f"The objective is that of the rule {pool.rule}: no test sample has touched it."
    if pool.rule == "oracle":
        rule = "The rule oracle looks at the test anomalies: no result."
    return f"{told} {len(pool.searched)} params were searched. {rule}"


def _doubts(pool: Pool) -> Iterator[str]:
    held = f"{len(pool)} for {len(pool.searched)} params"
    if not pool.can_be_modelled:
        yield (
            f"TOO FEW TRIALS: {held}. With fewer than {trials.HINTS_FROM} a param nothing is "
            f"modelled here, and with fewer than {trials.SURE_FROM} ({pool.needed}) all is a hint."
        )
    elif not pool.is_sure:
        yield (
            f"FEW TRIALS: {held}, fewer than {trials.SURE_FROM} a param ({pool.needed}). Take "
            "every number and picture below as a hint at most."
        )


def _hint(pool: Pool) -> str:
    """What begins the caption of a number that too few trials have made."""
    few = f"A hint at most: {len(pool)} trials for {len(pool.searched)} params. "
    return "" if pool.is_sure else few


def _scope(pool: Pool) -> str:
    return f"{len(pool)} trials, {len(pool.studies)} studies, rule {pool.rule}."


def _blocks(pool: Pool) -> Iterator[Block]:
    from omasgan.report.sensitivity import trial_figures as draw

    ranked = [param.name for param in pool.searched]
    if pool.can_be_modelled:
        importances = trials.importances(pool)
        dependences = trials.dependences(pool)
        ped = [one.param for one in importances if one.evaluator == "ped-anova"]
        ranked = [*ped, *(name for name in ranked if name not in ped)]
        caption = f"{_hint(pool)}{MEASURES} {_scope(pool)}"
        yield Table("Importance", caption, importance_table(pool, importances))
        yield Figure(
            slug(pool.benchmark, pool.detector, pool.rule, pool.studies[0].name, "importance"),
            "Importance beside chance", caption,
            "Importance of each parameter by fANOVA and PED-ANOVA with intervals, beside that of "
            "a random one.",
            partial(draw.importance, importances),
        )  # fmt: skip
        yield from _dependences(
            pool, sorted(dependences, key=lambda d: ranked.index(d.param.name))
        )
        apart = {one.param for one in importances if one.is_significant}
        yield from _contours(pool, sorted(ranked, key=lambda name: name not in apart))
    shown = ranked[:SHOWN]
    yield Figure(
        slug(pool.benchmark, pool.detector, pool.rule, pool.studies[0].name, "parallel"),
        "Trials in parallel coordinates",
        f"One line a trial, brighter is better; the first {len(shown)} params"
        f"{' by PED-ANOVA' if pool.can_be_modelled else ''}. A line breaks where a trial does not "
        f"have the param. These are the trials themselves, without an interval. {_scope(pool)}",
        f"Each trial as a line through its values of {', '.join(shown)}.",
        partial(draw.parallel_coordinates, pool, shown),
    )  # fmt: skip


def importance_table(pool: Pool, found: Sequence[Importance]) -> pd.DataFrame:
    """One line a measure and param, with a verdict."""
    return pd.DataFrame(
        {
            "measure": one.evaluator,
            "parameter": one.param,
            "share": float(one.share),
            "interval": formats.interval(one.interval),
            "chance": one.chance,
            "verdict": _verdict(pool, one),
        }
        for one in found
    )


def _verdict(pool: Pool, one: Importance) -> str:
    if not one.is_significant:
        return "not told from a random param"
    return "matters" if pool.is_sure else "a hint that it matters"


def _dependences(pool: Pool, found: Sequence[Dependence]) -> Iterator[Block]:
    from omasgan.report.sensitivity import trial_figures as draw

    caption = f"{_hint(pool)}{DEPENDENCE} {_scope(pool)}"
    name = partial(slug, pool.benchmark, pool.detector, pool.rule, pool.studies[0].name)
    yield Figure(
        name("dependence"), "Partial dependence", caption,
        "Partial dependence of the objective on each parameter, with intervals.",
        partial(draw.dependence, found),
    )  # fmt: skip
    yield Details(
        "Partial dependence in numbers",
        (Table("Partial dependence by value", caption, _dependence_table(found)),),
    )
    lengths = [one for one in found if trials.is_length(one.param)]
    if lengths:
        told = f"{_hint(pool)}{LENGTH} {_scope(pool)}"
        yield Table("Length of each phase", told, _length_table(pool, lengths))
        yield Figure(
            name("lengths"), "Objective by length of phase", caption,
            "Partial dependence of the objective on the length of each phase.",
            partial(draw.dependence, lengths),
        )  # fmt: skip


def _dependence_table(found: Sequence[Dependence]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "parameter": one.param.name,
            "value": formats.param(trials.value_at(one.param, float(at))),
            "objective": f"{mean:+.3f}",
            "interval": f"{interval.low:+.3f} to {interval.high:+.3f}",
        }
        for one in found
        for at, mean, interval in zip(one.at, one.mean, one.intervals, strict=True)
    )


def _length_table(pool: Pool, found: Sequence[Dependence]) -> pd.DataFrame:
    cost: Mapping[str, tuple[float, Interval]] = trials.seconds_per_100_steps(pool)
    lines = []
    for one in found:
        change, interval = one.change
        seconds, about = cost.get(one.param.name, (float("nan"), NONE))
        lines.append(
            {
                "phase's length": one.param.name,
                "from": formats.param(trials.value_at(one.param, 0.0)),
                "to": formats.param(trials.value_at(one.param, 1.0)),
                "change": f"{change:+.3f}",
                "interval": f"{interval.low:+.3f} to {interval.high:+.3f}",
                "seconds": seconds,
                "their interval": "-"
                if seconds != seconds
                else f"{about.low:.2f}-{about.high:.2f}",
            }
        )
    return pd.DataFrame(lines)


def _contours(pool: Pool, ranked: Sequence[str]) -> Iterator[Block]:
    """The pairs of the most important numbers that every trial has."""
    from omasgan.report.sensitivity import trial_figures as draw

    numbers = {p.name for p in pool.searched if not p.when and not isinstance(p.domain, Choice)}
    chosen = [name for name in ranked if name in numbers][:PAIRS]
    for x, y in itertools.combinations(chosen, 2):
        found = trials.surface(pool, x, y)
        yield Figure(
            slug(pool.benchmark, pool.detector, pool.rule, pool.studies[0].name, x, y),
            f"{x} and {y}",
            f"{_hint(pool)}Left: partial dependence on both; right: half its 95 % interval over "
            f"{trials.RESAMPLES // 2} resamples; dots: trials. Differences smaller than the right "
            f"side tells mean nothing. {_scope(pool)}",
            f"Contours of the objective over {x} and {y}, beside their uncertainty.",
            partial(draw.contour, found, pool),
        )  # fmt: skip
