"""Result rows as tables: every number is computed here; pages and terminals only show it.

A mean is taken over a fold's seeds first and then over the folds; ``sd`` is the sample standard
deviation of the folds' means, ``worst`` the least of them (for fpr95 too it is the AUROC's). Runs
that did not end ``ok`` have no metrics: they are counted, never averaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from omasgan.checks.geometry import Card
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.results.inputs import Benchmark, StoredStudy

OUTCOMES = ("ok", "pruned", "diverged", "out-of-memory", "failed")
METRICS = ("auroc", "average_precision", "fpr95")
STAGE_PREFIX = "auroc."
STAGE_ORDER = ("task1", "task3", "j", "neighbours", "combined")
"""The order in which OMASGAN's stages build on each other; other names follow in their own."""
MOST_DIFFERING = 2
"""Params that differ in more than this are told by their id."""
CONTROL = ("negatives", "boundary")
"""The param of OMASGAN that its controls differ in, and what the method itself has there."""
RUN_KEY = ["benchmark", "detector", "selection", "params_id", "seed", "fold"]


def runs(rows: Iterable[Mapping[str, Any]], studies: Sequence[StoredStudy] = ()) -> pd.DataFrame:
    """One line a run, sorted; ``entry`` names what the run counts for.

    An entry is a detector under a selection rule. Under ``fixed`` each params are an entry of
    their own; under the other rules each fold may have its own winner, and ``current`` is False
    for the runs of a winner that a longer search has replaced.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    if frame.empty:
        return frame
    for metric in METRICS:
        frame[metric] = pd.to_numeric(frame[metric]) if metric in frame else float("nan")
    frame["params"] = [json.dumps(params, sort_keys=True) for params in frame["params"]]
    frame["variant"] = _variants(frame)
    frame["entry"] = [
        entry(*parts)
        for parts in zip(frame["detector"], frame["selection"], frame["variant"], strict=True)
    ]
    frame["current"] = _current(frame, studies)
    return frame.sort_values(["benchmark", "entry", *RUN_KEY[3:]], ignore_index=True)


def entry(detector: str, selection: str, variant: str = "") -> str:
    """The name of what a run counts for.

    >>> entry("knn", "fixed", "k=5")
    'knn · fixed · k=5'
    """
    return " · ".join(filter(None, (detector, selection, variant)))


def comparison(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """One line an entry, which is its index, best mean AUROC first, with how much of the benchmark
    it holds.

    ``params`` are what sets them apart, the first digits of their ids, or how many winners there
    are. ``interval`` is that of the mean AUROC (``statistics.interval``). ``folds``, ``seeds`` and
    ``runs`` read "held/in the benchmark"; ``failed`` counts the runs without a metric; ``seconds``
    is the mean time of a run, ``peak MB`` the most memory that one took.
    """
    lines = {}
    aurocs = statistics.aurocs(_ok(_shown(frame)))
    for entry, all_runs in _shown(frame).groupby("entry", sort=False):
        good = _ok(all_runs)
        spread = _spread(_fold_means(good, "auroc"), "auroc")
        lines[entry] = {
            "detector": all_runs["detector"].iloc[0],
            "selection": all_runs["selection"].iloc[0],
            "params": all_runs["variant"].iloc[0] or _short_ids(all_runs["params_id"]),
            "auroc": spread.pop("auroc"),
            "interval": formats.interval(statistics.interval(aurocs.get(str(entry), {}))),
            **spread,
            **{name: _fold_means(good, name).mean() for name in METRICS[1:]},
            **benchmark.held(good["fold"].nunique(), good["seed"].nunique(), len(good)),
            "failed": len(all_runs) - len(good),
            "seconds": good["seconds"].mean(),
            "peak MB": _peak(good),
        }
    found = pd.DataFrame(lines.values(), index=list(lines))
    return found.sort_values("auroc", ascending=False, kind="stable")


def by_fold(frame: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """One line an entry, one column a fold (mean over its seeds); best mean first."""
    lines = [
        {
            "entry": entry,
            metric: (means := _fold_means(_ok(group), metric)).mean(),
            **_cells(means),
        }
        for entry, group in _shown(frame).groupby("entry", sort=False)
    ]
    return _best_first(_fold_columns_last(pd.DataFrame(lines)), metric)


def stages(frame: pd.DataFrame) -> pd.DataFrame:
    """AUROC of every stage's score that one training gives: one line an entry and stage."""
    columns = sorted((c for c in frame.columns if c.startswith(STAGE_PREFIX)), key=_stage_place)
    lines = []
    for entry, group in _shown(frame).groupby("entry", sort=False):
        good = _ok(group)
        for column in columns:
            means = _fold_means(good, column)
            if means.empty:
                continue
            stage = column.removeprefix(STAGE_PREFIX)
            lines.append({"entry": entry, "stage": stage, **_spread(means), **_cells(means)})
    return _fold_columns_last(pd.DataFrame(lines))


def studies(found: Sequence[StoredStudy]) -> pd.DataFrame:
    """One line a study: its trials by outcome, the best objective and the winner."""
    return pd.DataFrame(
        {
            "study": study.label,
            "status": study.status,
            "trials": len(study.trials),
            **{name: sum(t["outcome"] == name for t in study.trials) for name in OUTCOMES},
            "best objective": max(
                (t["objective"] for t in study.trials if t["outcome"] == "ok"),
                default=float("nan"),
            ),
            "winner": f"trial {study.winner['number']}" if study.winner else "none yet",
        }
        for study in found
    )


def winners(found: Sequence[StoredStudy]) -> pd.DataFrame:
    """The winners' params: one line a parameter, one column a study that has a winner."""
    columns = {s.label: s.winner["params"] for s in found if s.winner}
    names = list(dict.fromkeys(name for params in columns.values() for name in params))
    return pd.DataFrame(
        {
            "parameter": name,
            **{label: formats.param(params.get(name)) for label, params in columns.items()},
        }
        for name in names
    )


def settings(frame: pd.DataFrame) -> pd.DataFrame:
    """What the numbers depend on: one line for each params of each entry."""
    lines = []
    for (entry, params_id), group in _shown(frame).groupby(["entry", "params_id"], sort=False):
        lines.append(
            {
                "entry": entry,
                "params": params_id,
                "folds": formats.distinct(group["fold"]),
                "seeds": formats.distinct(group["seed"]),
                "code": _list(group["code_version"]),
                "torch": _list(group["torch_version"]),
                "device": _list(group["device"]),
                "hours": group["seconds"].sum() / 3600,
                "peak MB": _peak(group),
            }
        )
    return pd.DataFrame(lines)


def geometry(cards: Sequence[Card]) -> pd.DataFrame:
    """One line a fold: where its anomalies lie, and whether that makes it ill-posed."""
    return pd.DataFrame(
        {
            "fold": card.fold,
            "nearer": card.nearer,
            "knn": card.knn,
            "gmm": float("nan") if card.gmm is None else card.gmm,
            "verdict": "ill-posed" if card.inverted else "",
        }
        for card in cards
    )


def fold_means(frame: pd.DataFrame) -> dict[str, list[float]]:
    """By entry, the AUROC of each fold (mean over its seeds), folds in order."""
    means = {
        str(entry): _fold_means(_ok(group), "auroc").tolist()
        for entry, group in _shown(frame).groupby("entry", sort=False)
    }
    return {entry: values for entry, values in means.items() if values}


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The metrics of one entry's rows: each fold's mean over seeds, and the mean over folds.

    Keys are ``auroc``, ``auroc.<stage>``, ..., ``auroc_sd``, ``auroc_worst_fold`` and
    ``auroc/fold-<k>``; empty if no run ended ok.
    """
    good = _ok(pd.DataFrame([dict(row) for row in rows]))
    found: dict[str, float] = {}
    for column in (name for name in good.columns if name.split(".")[0] in METRICS):
        folds = _fold_means(good.assign(**{column: pd.to_numeric(good[column])}), column)
        if folds.empty:
            continue
        found[column] = float(folds.mean())
        found |= {f"{column}/fold-{fold}": float(value) for fold, value in folds.items()}
        if column == "auroc":
            found["auroc_worst_fold"] = float(folds.min())
            if len(folds) > 1:
                found["auroc_sd"] = float(folds.std())
    return found


def _stage_place(column: str) -> int:
    stage = column.removeprefix(STAGE_PREFIX)
    return STAGE_ORDER.index(stage) if stage in STAGE_ORDER else len(STAGE_ORDER)


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["current"]]


def _ok(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["outcome"] == "ok"]


def _fold_means(frame: pd.DataFrame, column: str) -> pd.Series[float]:
    return frame.dropna(subset=[column]).groupby("fold")[column].mean().sort_index()


def _peak(frame: pd.DataFrame) -> float:
    return float(pd.to_numeric(frame["peak_memory_mb"], errors="coerce").max())


def _spread(means: pd.Series[float], name: str = "auroc") -> dict[str, float]:
    empty = means.empty
    return {
        name: means.mean(),
        "sd": means.std(),
        "worst": float("nan") if empty else means.min(),
        "worst fold": float("nan") if empty else float(means.index[int(means.argmin())]),
    }


def _cells(means: pd.Series[float]) -> dict[str, float]:
    return {f"fold {fold}": float(value) for fold, value in means.items()}


def _fold_columns_last(frame: pd.DataFrame) -> pd.DataFrame:
    folds = [name for name in frame.columns if name.startswith("fold ")]
    folds.sort(key=lambda name: int(name.removeprefix("fold ")))
    return frame[[name for name in frame.columns if name not in folds] + folds]


def _best_first(frame: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    if frame.empty:
        return frame
    return frame.sort_values(metric, ascending=False, ignore_index=True, kind="stable")


def _variants(frame: pd.DataFrame) -> list[str]:
    """What sets the params of a row apart where a detector has several under ``fixed``: the
    params that differ if they are few, else the first digits of the id.
    """
    fixed = frame[frame["selection"] == "fixed"]
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
    return [
        names.get((row["benchmark"], row["detector"], row["params_id"]), "")
        if row["selection"] == "fixed"
        else ""
        for row in frame.to_dict("records")
    ]


def _variant(params_id: str, values: Mapping[str, Any], differing: Sequence[str]) -> str:
    few = 0 < len(differing) <= MOST_DIFFERING
    # a control is to be known as one, and the method too, whatever else they differ in
    named = differing if few else [name for name in differing if name == CONTROL[0]]
    told = [f"{name}={formats.param(values.get(name))}" for name in named]
    return ", ".join(told if few else [params_id[:6], *told])


def _differing(params: Sequence[Mapping[str, Any]]) -> list[str]:
    names = sorted({name for values in params for name in values})
    return [n for n in names if len({json.dumps(values.get(n)) for values in params}) > 1]


def _current(frame: pd.DataFrame, found: Sequence[StoredStudy]) -> list[bool]:
    winning: dict[tuple[str, str, str], set[str]] = {}
    for study in found:
        if study.winner:
            key = (study.benchmark, study.detector, study.selection)
            winning.setdefault(key, set()).add(study.winner["params_id"])
    return [
        row["params_id"]
        in winning.get((row["benchmark"], row["detector"], row["selection"]), {row["params_id"]})
        for row in frame.to_dict("records")
    ]


def _short_ids(ids: pd.Series[str]) -> str:
    short = sorted({i[:6] for i in ids})
    return " ".join(short) if len(short) < 3 else f"{len(short)} winners"


def _list(values: pd.Series[Any]) -> str:
    return formats.distinct(values.astype(str), ", ")
