"""Result rows as one frame of runs, each of which counts for an entry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from omasgan.data.fold_names import stored_name
from omasgan.data.selection import ENSEMBLE
from omasgan.report.page import formats
from omasgan.report.results.inputs import StoredStudy

METRICS = ("auroc", "average_precision", "fpr95")
CONTROL = ("negatives", "boundary")
"""The param of OMASGAN in which its controls differ, and the method's own value of it."""
MAX_DIFFERING = 2
"""Params that differ in more than this are named by the first digits of their id."""
RUN_KEY = ["benchmark", "detector", "selection", "params_id", "seed", "fold"]
SEPARATOR = " · "


def runs(rows: Iterable[Mapping[str, Any]], studies: Sequence[StoredStudy] = ()) -> pd.DataFrame:
    """One row for each run, sorted, with these columns besides those of the result rows.

    ``entry`` names what the run counts for: a detector under a selection rule. Under ``fixed``
    each params are an entry of their own, whose ``variant`` says what sets them apart. An entry
    whose runs used several classes of device names them. ``current`` is False for the runs of a
    winner that a longer search has replaced. ``device_class`` is ``cpu``, ``cuda`` or ``mps``.
    ``fold_name`` is what a reader calls the fold.
    """
    stored = [dict(row) for row in rows]
    frame = pd.DataFrame(stored)
    if frame.empty:
        return frame
    for metric in METRICS:
        frame[metric] = pd.to_numeric(frame[metric]) if metric in frame else float("nan")
    frame["fold_name"] = [stored_name(row) for row in stored]
    frame["params"] = [json.dumps(row["params"], sort_keys=True) for row in stored]
    frame["device_class"] = [device_class(row.get("device")) for row in stored]
    frame["variant"] = _variants(frame)
    frame["current"] = _current(frame, studies)
    frame["entry"] = _entries(frame)
    return frame.sort_values(["benchmark", "entry", *RUN_KEY[3:]], ignore_index=True)


def current(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that a report shows, mostly all: then ``frame`` itself, whose copy takes time."""
    return frame if frame["current"].all() else frame[frame["current"]]


def fold_names(frame: pd.DataFrame) -> dict[int, str]:
    """What a reader calls each fold, by its number, in order."""
    names = dict(zip(frame["fold"], frame["fold_name"], strict=True))
    return {int(fold): str(names[fold]) for fold in sorted(names)}


def short_names(frame: pd.DataFrame) -> dict[str, str]:
    """By entry the shortest name that sets it apart: its detector, or its whole name."""
    unique = current(frame).drop_duplicates("entry")
    is_alone = ~unique["detector"].duplicated(keep=False)
    parts = zip(unique["entry"], unique["detector"], is_alone, strict=True)
    return {str(entry): str(detector if alone else entry) for entry, detector, alone in parts}


def ok(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that ended with a score."""
    return frame[frame["outcome"] == "ok"]


def is_fixed(frame: pd.DataFrame) -> pd.Series[bool]:
    """Whether the params of each run were given, and not chosen by a sweep."""
    return (frame["selection"] == "fixed") | frame["selection"].str.startswith(ENSEMBLE)


def device_class(device: object) -> str:
    """The kind of a device: numbers of one kind can be repeated on another device of it.

    >>> device_class("cuda:1"), device_class("cpu"), device_class(None)
    ('cuda', 'cpu', 'unknown')
    """
    return device.partition(":")[0] if isinstance(device, str) else "unknown"


def entry(detector: str, selection: str, variant: str = "") -> str:
    """The name of what a run counts for, without its devices.

    >>> entry("knn", "fixed", "k=5")
    'knn · fixed · k=5'
    """
    return SEPARATOR.join(filter(None, (detector, selection, variant)))


def _entries(frame: pd.DataFrame) -> list[str]:
    """Each run's entry, with the classes of device if the runs that give its numbers used several.

    The rows of other runs may not even know their device: their process can have died.
    """
    parts = _rows(frame, "detector", "selection", "variant")
    benchmarks = _rows(frame, "benchmark")
    keys = [(b, entry(*of_run)) for (b,), of_run in zip(benchmarks, parts, strict=True)]
    classes: dict[tuple[str, str], set[str]] = {key: set() for key in keys}
    counts = frame["current"] & (frame["outcome"] == "ok")
    for key, (device,), run_counts in zip(keys, _rows(frame, "device_class"), counts, strict=True):
        if run_counts:
            classes[key].add(device)
    devices = {key: formats.distinct(of_entry, "+") for key, of_entry in classes.items()}
    return [
        SEPARATOR.join((key[1], devices[key])) if len(classes[key]) > 1 else key[1] for key in keys
    ]


def _variants(frame: pd.DataFrame) -> list[str]:
    """What sets the params of each row apart, where a detector has several under ``fixed``."""
    fixed = frame[is_fixed(frame)]
    names: dict[tuple[str, str, str], str] = {}
    for (benchmark, detector), group in fixed.groupby(["benchmark", "detector"]):
        unique = group.drop_duplicates("params_id")
        params = {
            i: json.loads(p) for i, p in zip(unique["params_id"], unique["params"], strict=True)
        }
        differing = _differing(list(params.values()))
        for params_id, values in params.items():
            short = _variant(params_id, values, differing)
            names[str(benchmark), str(detector), params_id] = short if len(params) > 1 else ""
    keys = _rows(frame, "benchmark", "detector", "params_id")
    return [
        names.get(key, "") if fixed else ""
        for key, fixed in zip(keys, is_fixed(frame), strict=True)
    ]


def _variant(params_id: str, values: Mapping[str, Any], differing: Sequence[str]) -> str:
    """The params that differ if they are few, else the first digits of the id."""
    few = 0 < len(differing) <= MAX_DIFFERING
    # a reader must recognise a control and the method itself, whatever else they differ in
    names = differing if few else [name for name in differing if name == CONTROL[0]]
    texts = [f"{name}={formats.param(values.get(name))}" for name in names]
    return ", ".join(texts if few else [params_id[:6], *texts])


def _differing(params: Sequence[Mapping[str, Any]]) -> list[str]:
    names = sorted({name for values in params for name in values})
    return [n for n in names if len({json.dumps(values.get(n)) for values in params}) > 1]


def _current(frame: pd.DataFrame, studies: Sequence[StoredStudy]) -> list[bool]:
    winners: dict[tuple[str, str, str], set[str]] = {}
    for study in studies:
        if study.winner:
            key = (study.benchmark, study.detector, study.selection)
            winners.setdefault(key, set()).add(study.winner["params_id"])
    return [
        params_id in winners.get((benchmark, detector, selection), {params_id})
        for benchmark, detector, selection, params_id in _rows(
            frame, "benchmark", "detector", "selection", "params_id"
        )
    ]


def _rows(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """These values of each run; pandas would take a second for the texts of 10,000."""
    return zip(*(frame[column].to_numpy(object) for column in columns), strict=True)
