"""The commands that produce a store's numbers, and the params and spaces that they read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from omasgan.config import as_toml, digest
from omasgan.data.selection import ENSEMBLE
from omasgan.detectors import folder_name
from omasgan.report.page import formats
from omasgan.report.page.blocks import Command
from omasgan.report.results.inputs import Benchmark, StoredStudy
from omasgan.report.results.runs import entry, is_fixed

SWEEP_FLAGS = ("selection", "inner", "sampler", "pruner", "seed", "winner")


def of_benchmark(
    benchmark: Benchmark, frame: pd.DataFrame, studies: Sequence[StoredStudy]
) -> tuple[Command, ...]:
    """One command for each fixed params, then one for all studies that differ only in their
    folds.
    """
    return (*_runs(benchmark, frame), *_sweeps(benchmark, frame, studies))


def producing(commands: Sequence[Command], rows: Iterable[Iterable[str]]) -> list[tuple[int, ...]]:
    """For each row of a table, given as the entries or studies that it shows, the numbers of the
    commands that produce one of them.
    """
    return [
        tuple(i for i, c in enumerate(commands) if shown.intersection(c.produces))
        for shown in map(set, rows)
    ]


def _runs(benchmark: Benchmark, frame: pd.DataFrame) -> Iterator[Command]:
    fixed = frame if frame.empty else frame[is_fixed(frame)]
    if fixed.empty:
        return
    by = ["detector", "selection", "params_id"]
    for (detector, selection, params_id), group in fixed.groupby(by, sort=False):
        _, _, members = str(selection).partition(ENSEMBLE)
        file = f"params/{params_id}.toml"
        yield Command(
            f"omasgan run {_with_caps(benchmark)} {detector} "
            f"--folds {formats.distinct(group['fold'])} "
            f"--seeds {formats.distinct(group['seed'])} --params report/{file}"
            + (f" --ensemble {members}" if members else ""),
            tuple(group["entry"].unique()),
            {file: as_toml(json.loads(group["params"].iloc[0]))},
        )


def _sweeps(
    benchmark: Benchmark, frame: pd.DataFrame, studies: Sequence[StoredStudy]
) -> Iterator[Command]:
    sweeps: dict[str, list[StoredStudy]] = {}
    for study in studies:
        same = {k: v for k, v in study.about.items() if k not in ("folds", "n_trials", "status")}
        sweeps.setdefault(json.dumps(same, sort_keys=True), []).append(study)
    for members in sweeps.values():
        first, about = members[0], members[0].about
        winners = _winners(frame, first)
        files = {f"params/{i}.toml": text for i, text in _params(winners).items()}
        if about.get("space"):
            files = {f"spaces/{_space_id(first)}.toml": as_toml(about["space"]), **files}
        yield Command(
            f"omasgan sweep {_with_caps(benchmark)} {first.detector} "
            f"--trials {max(len(study.trials) for study in members)}{_sweep_flags(members)}"
            + (" --prune-collapsed" if about.get("prune_collapsed") else ""),
            (*_entries(winners, first), *(study.label for study in members)),
            files,
        )


def _sweep_flags(members: Sequence[StoredStudy]) -> str:
    about = members[0].about
    folds = sorted({fold for study in members for fold in study.about.get("folds", ())})
    values = {"folds": ",".join(map(str, folds)), **{k: about.get(k) for k in SWEEP_FLAGS}}
    if about.get("source"):
        values["transfer-from"] = about["source"]["name"]
    if about.get("space"):
        values["space"] = f"report/spaces/{_space_id(members[0])}.toml"
    flags = "".join(f" --{k} {v}" for k, v in values.items() if v not in (None, ""))
    if about.get("selection") in ("proxy", "oracle"):
        flags = re.sub(r" --inner \d+", "", flags)
    return flags


def _winners(frame: pd.DataFrame, study: StoredStudy) -> pd.DataFrame:
    """The runs of params that sweeps of the study's detector under its rule have selected."""
    if frame.empty:
        return frame
    is_of = (frame["detector"] == study.detector) & (frame["selection"] == study.selection)
    return frame[is_of]


def _params(winners: pd.DataFrame) -> dict[str, str]:
    """By id, the winners' params as TOML."""
    if winners.empty:
        return {}
    unique = winners.drop_duplicates("params_id")
    texts = (as_toml(json.loads(params)) for params in unique["params"])
    return dict(zip(unique["params_id"], texts, strict=True))


def _entries(winners: pd.DataFrame, study: StoredStudy) -> list[str]:
    if winners.empty:
        return [entry(study.detector, study.selection)]
    return list(winners["entry"].unique())


def _space_id(study: StoredStudy) -> str:
    """A name for a study's space that is the same for the same space."""
    return f"{folder_name(study.detector)}-{digest(study.about['space'])[:12]}"


def _with_caps(benchmark: Benchmark) -> str:
    """The benchmark's name, with the flags that cap it."""
    about = benchmark.about
    caps = (
        f" --{k.replace('_', '-')} {about[k]}" for k in about if k.startswith("max_") and about[k]
    )
    return str(about.get("name", benchmark.id)) + "".join(caps)
