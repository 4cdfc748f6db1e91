"""The page on finished sweeps: how much each param matters, and how certain that is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from omasgan.report.meanings import meanings
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Figure, Page, Section, Table, slug
from omasgan.report.sensitivity.sweeps.dependence import (
    Dependence,
    dependences,
    seconds_per_100_steps,
    surface,
)
from omasgan.report.sensitivity.sweeps.importance import Importance, importances
from omasgan.report.sensitivity.sweeps.pool import (
    HINTS_FROM,
    RESAMPLES,
    SURE_FROM,
    Pool,
    is_length,
    value_at,
)
from omasgan.report.statistics import NONE
from omasgan.study.space import Choice

MEASURES = (
    "fanova: share of the objective's variance over the whole space (log ranges count as plain "
    "ones, so that a param that acts only at its low end counts little; params under a condition "
    "have no number). ped-anova: how much the best tenth of the trials differs from all trials. "
    "share: of all importance, that of a random param included. chance: what a random param stays "
    f"below in 95 of 100 resamples; interval: 95 % over {RESAMPLES} resamples of the trials."
)
DEPENDENCE = (
    "What a random forest, fitted to the trials, predicts on average if only this param is set, "
    "for trials that have it, less the mean of the trial's study. Band: 95 % over "
    f"{RESAMPLES} resamples of the trials. A sampler that gathers its trials near the best ones "
    "leaves little to see elsewhere."
)
LENGTH = (
    "change: of the objective from the shortest to the longest phase, by the partial dependence; "
    "seconds: what 100 more steps cost a trial, by least squares; intervals: 95 % over resamples "
    "of the trials."
)
MAX_PAIRS_OF = 3
"""Pairs of so many params have contours."""
MAX_PARALLEL = 8
"""Params in the parallel coordinates."""


def page(pools: Sequence[Pool], command: str) -> Page:
    """One section for each pool."""
    title = "What finished sweeps tell about the params"
    note = "Nothing was trained for this page: every number comes from the sweeps' trials."
    return Page(title, (note,), tuple(_section(pool, command) for pool in pools))


def _section(pool: Pool, command: str) -> Section:
    return Section(
        id=_name(pool),
        title=f"{pool.detector} on {pool.benchmark}, rule {pool.rule}",
        prose=(_about(pool), *_doubts(pool)),
        blocks=tuple(_blocks(pool)),
        commands=(Command(command),),
    )


def _name(pool: Pool, *parts: str) -> str:
    """A name of the section and its figures; pools may differ only in their space."""
    return slug(pool.benchmark, pool.detector, pool.rule, pool.studies[0].name, *parts)


def _about(pool: Pool) -> str:
    studies = ", ".join(study.name for study in pool.studies)
    trials = f"{len(pool)} ok trials of the studies {studies}; {pool.failed} others failed."
    rule = f"The objective is that of the rule {pool.rule}: no test sample has touched it."
    if pool.rule == "oracle":
        rule = "The rule oracle looks at the test anomalies: no result."
    return f"{trials} {len(pool.searched)} params were searched. {rule}"


def _doubts(pool: Pool) -> Iterator[str]:
    counts = f"{len(pool)} for {len(pool.searched)} params"
    if not pool.can_be_modelled:
        yield (
            f"TOO FEW TRIALS: {counts}. With fewer than {HINTS_FROM} for each param nothing is "
            f"modelled here, and with fewer than {SURE_FROM} ({pool.needed}) all is a hint."
        )
    elif not pool.is_sure:
        yield (
            f"FEW TRIALS: {counts}, fewer than {SURE_FROM} for each param ({pool.needed}). Take "
            "every number and picture below as a hint at most."
        )


def _hint(pool: Pool) -> str:
    """The beginning of the caption of a number that rests on too few trials."""
    few = f"A hint at most: {len(pool)} trials for {len(pool.searched)} params. "
    return "" if pool.is_sure else few


def _scope(pool: Pool) -> str:
    return f"{len(pool)} trials, {len(pool.studies)} studies, rule {pool.rule}."


def _blocks(pool: Pool) -> Iterator[Block]:
    ranked = [param.name for param in pool.searched]
    if pool.can_be_modelled:
        shares = importances(pool)
        by_ped_anova = [one.param for one in shares if one.evaluator == "ped-anova"]
        ranked = [*by_ped_anova, *(name for name in ranked if name not in by_ped_anova)]
        yield from _importance(pool, shares)
        by_rank = sorted(dependences(pool), key=lambda one: ranked.index(one.param.name))
        yield from _dependences(pool, by_rank)
        significant = {one.param for one in shares if one.is_significant}
        yield from _contours(pool, sorted(ranked, key=lambda name: name not in significant))
    yield _parallel(pool, ranked[:MAX_PARALLEL])


def _importance(pool: Pool, shares: Sequence[Importance]) -> Iterator[Block]:
    from omasgan.report.sensitivity.sweeps import figures as draw

    caption = f"{_hint(pool)}{MEASURES} {_scope(pool)}"
    yield Table("Importance", caption, _importance_table(pool, shares))
    yield Figure(
        _name(pool, "importance"), "Importance beside chance", caption,
        "Importance of each parameter by fANOVA and PED-ANOVA with intervals, beside that of a "
        "random one.",
        partial(draw.importance, shares),
    )  # fmt: skip


def _parallel(pool: Pool, shown: Sequence[str]) -> Figure:
    from omasgan.report.sensitivity.sweeps import figures as draw

    order = " by PED-ANOVA" if pool.can_be_modelled else ""
    return Figure(
        _name(pool, "parallel"),
        "Trials in parallel coordinates",
        f"One line for each trial, brighter is better; the first {len(shown)} params{order}. A "
        "line breaks where a trial does not have the param. These are the trials themselves, "
        f"without an interval. {_scope(pool)}",
        f"Each trial as a line through its values of {', '.join(shown)}.",
        partial(draw.parallel_coordinates, pool, shown),
        is_broad=True,
    )


def _importance_table(pool: Pool, shares: Sequence[Importance]) -> pd.DataFrame:
    """One row for each measure and param, with a verdict."""
    said = meanings(pool.detector)
    return pd.DataFrame(
        {
            "measure": one.evaluator,
            "parameter": one.param,
            "share": float(one.share),
            "interval": formats.interval(one.interval),
            "chance": one.chance,
            "verdict": _verdict(pool, one),
            "what it is": said.get(one.param, formats.NONE),
        }
        for one in shares
    )


def _verdict(pool: Pool, one: Importance) -> str:
    if not one.is_significant:
        return "not significant"
    return "matters" if pool.is_sure else "a hint that it matters"


def _dependences(pool: Pool, by_param: Sequence[Dependence]) -> Iterator[Block]:
    from omasgan.report.sensitivity.sweeps import figures as draw

    caption = f"{_hint(pool)}{DEPENDENCE} {_scope(pool)}"
    yield Figure(
        _name(pool, "dependence"), "Partial dependence", caption,
        "Partial dependence of the objective on each parameter, with intervals.",
        partial(draw.dependence, by_param),
    )  # fmt: skip
    table = Table("Partial dependence by value", caption, _dependence_table(by_param))
    yield Details("Partial dependence in numbers", (table,))
    lengths = [one for one in by_param if is_length(one.param)]
    if lengths:
        about = f"{_hint(pool)}{LENGTH} {_scope(pool)}"
        yield Table("Length of each phase", about, _length_table(pool, lengths))
        yield Figure(
            _name(pool, "lengths"), "Objective by length of phase", caption,
            "Partial dependence of the objective on the length of each phase.",
            partial(draw.dependence, lengths),
        )  # fmt: skip


def _dependence_table(by_param: Sequence[Dependence]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "parameter": one.param.name,
            "value": formats.param(value_at(one.param, float(position))),
            "objective": f"{mean:+.3f}",
            "interval": formats.signed_interval(interval),
        }
        for one in by_param
        for position, mean, interval in zip(one.positions, one.mean, one.intervals, strict=True)
    )


def _length_table(pool: Pool, lengths: Sequence[Dependence]) -> pd.DataFrame:
    cost = seconds_per_100_steps(pool)
    rows = []
    for one in lengths:
        change, interval = one.change
        seconds, of_seconds = cost.get(one.param.name, (float("nan"), NONE))
        is_unknown = pd.isna(of_seconds.low)
        rows.append(
            {
                "phase's length": one.param.name,
                "from": formats.param(value_at(one.param, 0.0)),
                "to": formats.param(value_at(one.param, 1.0)),
                "change": f"{change:+.3f}",
                "interval": formats.signed_interval(interval),
                "seconds": seconds,
                "their interval": "-"
                if is_unknown
                else f"{of_seconds.low:.2f}-{of_seconds.high:.2f}",
            }
        )
    return pd.DataFrame(rows)


def _contours(pool: Pool, ranked: Sequence[str]) -> Iterator[Block]:
    """The pairs of the most important numbers that every trial has."""
    from omasgan.report.sensitivity.sweeps import figures as draw

    numbers = {p.name for p in pool.searched if not p.when and not isinstance(p.domain, Choice)}
    chosen = [name for name in ranked if name in numbers][:MAX_PAIRS_OF]
    for x, y in itertools.combinations(chosen, 2):
        yield Figure(
            _name(pool, x, y),
            f"{x} and {y}",
            f"{_hint(pool)}Left: partial dependence on both; right: half its 95 % interval over "
            f"{RESAMPLES // 2} resamples; dots: trials. Differences smaller than the right side "
            f"shows mean nothing. {_scope(pool)}",
            f"Contours of the objective over {x} and {y}, beside their uncertainty.",
            partial(draw.contour, surface(pool, x, y), pool),
        )  # fmt: skip
