"""The tables of results and of studies; their means are computed in ``averages``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from omasgan.checks.geometry import Card
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.results.averages import fold_means, spread
from omasgan.report.results.defaults import defaults
from omasgan.report.results.inputs import Benchmark, StoredStudy
from omasgan.report.results.runs import METRICS, current, fold_names, ok

OUTCOMES = ("ok", "pruned", "diverged", "out-of-memory", "failed")
STAGE_PREFIX = "auroc."
STAGE_ORDER = (
    "task1", "task3", "j", "neighbours", "local", "density", "input_density", "combined", "unlike",
)  # fmt: skip
"""The order in which OMASGAN's stages build on each other; other names follow in their own."""
MAX_VERSIONS = 2
"""More code versions than this are counted in a cell instead of listed."""


def comparison(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """One row for each entry, which is its index, best mean AUROC first.

    ``params`` are what sets the entry apart, the first digits of their ids, or the number of
    winners. ``interval`` is that of the mean AUROC (``statistics.interval``). ``folds``, ``seeds``
    and ``runs`` read "stored/in the benchmark"; ``failed`` counts the runs without a metric;
    ``seconds`` is the mean time of a run. ``device`` is there
    only if the runs used several classes of device, ``code`` only if an entry's runs were made by
    several code versions.
    """
    shown = current(frame)
    good = ok(shown)
    aurocs = statistics.aurocs(good)
    rows = {}
    for entry, group in shown.groupby("entry", sort=False):
        interval = statistics.interval(aurocs.get(str(entry), {}))
        rows[entry] = _entry_row(group, formats.interval(interval), benchmark)
    table = pd.DataFrame(rows.values(), index=list(rows))
    idle = [] if good["device_class"].nunique() > 1 else ["device"]
    idle += [] if good.groupby("entry")["code_version"].nunique().max() > 1 else ["code"]
    return table.drop(columns=idle).sort_values("auroc", ascending=False, kind="stable")


def by_fold(frame: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """One row for each entry, one column for each fold (mean over its seeds); best mean first."""
    rows = []
    names = fold_names(frame)
    for entry, group in current(frame).groupby("entry", sort=False):
        means = fold_means(ok(group), metric)
        rows.append({"entry": entry, metric: means.mean(), **_fold_cells(means, names)})
    table = _fold_columns_last(pd.DataFrame(rows), names)
    if table.empty:
        return table
    return table.sort_values(metric, ascending=False, ignore_index=True, kind="stable")


def costs(frame: pd.DataFrame) -> list[tuple[str, float, float]]:
    """By entry, the mean seconds of a run and the mean AUROC; entries without either left out."""
    rows = []
    for entry, group in ok(current(frame)).groupby("entry", sort=False):
        seconds = float(group["seconds"].mean())
        if seconds > 0:
            rows.append((str(entry), seconds, float(fold_means(group, "auroc").mean())))
    return rows


def stages(frame: pd.DataFrame) -> pd.DataFrame:
    """The AUROC of each stage's score that one training gives: a row for each entry and stage."""
    rows = []
    names = fold_names(frame)
    for entry, group in current(frame).groupby("entry", sort=False):
        good = ok(group)
        for column in stage_columns(frame):
            means = fold_means(good, column)
            if not means.empty:
                stage = column.removeprefix(STAGE_PREFIX)
                cells = {"entry": entry, "stage": stage, **_spread(means, names)}
                rows.append({**cells, **_fold_cells(means, names)})
    return _fold_columns_last(pd.DataFrame(rows), names)


def stage_columns(frame: pd.DataFrame) -> list[str]:
    """The columns ``auroc.<stage>`` of a frame of runs, in the order of the stages."""
    ranks = {f"{STAGE_PREFIX}{stage}": rank for rank, stage in enumerate(STAGE_ORDER)}
    columns = (column for column in frame.columns if column.startswith(STAGE_PREFIX))
    return sorted(columns, key=lambda column: ranks.get(column, len(ranks)))


def settings(frame: pd.DataFrame) -> pd.DataFrame:
    """What the numbers depend on: one row for each params of each entry.

    ``not at their defaults`` are the params that differ from the detector's defaults.
    """
    return pd.DataFrame(
        {
            "entry": entry,
            "params": params_id,
            "not at their defaults": _differing(group),
            "folds": formats.distinct(group["fold"]),
            "seeds": formats.distinct(group["seed"]),
            "code": _texts(group["code_version"]),
            "torch": _texts(group["torch_version"]),
            "device": _texts(group["device"]),
            "hours": group["seconds"].sum() / 3600,
            "peak MB": _peak(group),
        }
        for (entry, params_id), group in current(frame).groupby(["entry", "params_id"], sort=False)
    )


def geometry(cards: Sequence[Card], names: Mapping[int, str]) -> pd.DataFrame:
    """One row for each fold, by its name: where its anomalies are, and whether that makes it
    ill-posed.
    """
    return pd.DataFrame(
        {
            "fold": names[card.fold],
            "nearer": card.nearer,
            "knn": card.knn,
            "gmm": float("nan") if card.gmm is None else card.gmm,
            "verdict": "ill-posed" if card.inverted else "",
        }
        for card in cards
    )


def studies(stored: Sequence[StoredStudy]) -> pd.DataFrame:
    """One row for each study: its trials by outcome, the best objective and the winner.

    ``note`` is there only if a study was lengthened after its winner met the test set.
    """
    rows = [
        {
            "study": study.label,
            "note": _lengthened(study),
            "status": study.status,
            "trials": len(study.trials),
            **{name: sum(t["outcome"] == name for t in study.trials) for name in OUTCOMES},
            "best objective": max(
                (t["objective"] for t in study.trials if t["outcome"] == "ok"),
                default=float("nan"),
            ),
            "winner": study.won or "none yet",
        }
        for study in stored
    ]
    table = pd.DataFrame(rows)
    return table if any(row["note"] for row in rows) else table.drop(columns="note")


def winners(stored: Sequence[StoredStudy]) -> pd.DataFrame:
    """The winners' params: one row for each param that is not at its default for all of them, one
    column for each study with a winner.
    """
    won = [study for study in stored if study.winner]
    columns = {study.label: study.winner["params"] for study in won if study.winner}
    names = list(
        dict.fromkeys(
            name
            for study in won
            if study.winner
            for name in not_defaults(study.detector, study.winner["params"])
        )
    )
    return pd.DataFrame(
        {
            "parameter": name,
            **{label: formats.param(params.get(name)) for label, params in columns.items()},
        }
        for name in names
    )


def not_defaults(detector: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The params that are not the detector's defaults; all of them if it cannot be loaded."""
    known = defaults(detector)
    return {k: v for k, v in params.items() if k not in known or known[k] != v}


def _differing(group: pd.DataFrame) -> str:
    params = json.loads(group["params"].iloc[0])
    own = not_defaults(str(group["detector"].iloc[0]), params)
    return ", ".join(f"{name}={formats.param(value)}" for name, value in own.items()) or "none"


def _entry_row(group: pd.DataFrame, interval: str, benchmark: Benchmark) -> dict[str, Any]:
    good = ok(group)
    numbers = _spread(fold_means(good, "auroc"), fold_names(group))
    return {
        "detector": group["detector"].iloc[0],
        "selection": group["selection"].iloc[0],
        "auroc": numbers.pop("auroc"),
        "interval": interval,
        "worst": numbers.pop("worst"),
        "worst fold": numbers.pop("worst fold"),
        "sd": numbers.pop("sd"),
        **{n.replace("_", " "): fold_means(good, n).mean() for n in METRICS[1:]},
        **benchmark.counts(good["fold"].nunique(), good["seed"].nunique(), len(good)),
        "failed": len(group) - len(good),
        "seconds": good["seconds"].mean(),
        "params": group["variant"].iloc[0] or _short_ids(group["params_id"]),
        "device": formats.distinct(good["device_class"], "+") or "-",
        "code": _versions(good),
    }


def _lengthened(study: StoredStudy) -> str:
    """That earlier winners of the study were tested before it was lengthened; "" if none was."""
    counts = (study.winner or {}).get("lengthened_from") or []
    trials = ", ".join(map(str, counts))
    return f"lengthened after a test at {trials} trials" if trials else ""


def _peak(frame: pd.DataFrame) -> float:
    return float(pd.to_numeric(frame["peak_memory_mb"], errors="coerce").max())


def _spread(means: pd.Series[float], names: Mapping[int, str]) -> dict[str, Any]:
    """``spread``, whose worst fold has its name."""
    numbers = spread(means)
    worst = numbers["worst fold"]
    return {**numbers, "worst fold": formats.NONE if pd.isna(worst) else names[int(worst)]}


def _fold_cells(means: pd.Series[float], names: Mapping[int, str]) -> Mapping[str, float]:
    return {names[int(str(fold))]: float(value) for fold, value in means.items()}


def _fold_columns_last(frame: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    folds = [name for name in names.values() if name in frame.columns]
    return frame[[name for name in frame.columns if name not in folds] + folds]


def _short_ids(ids: pd.Series[str]) -> str:
    short = sorted({i[:6] for i in ids})
    return " ".join(short) if len(short) < 3 else f"{len(short)} winners"


def _versions(good: pd.DataFrame) -> str:
    count = good["code_version"].nunique()
    return _texts(good["code_version"]) or "-" if count <= MAX_VERSIONS else f"{count} versions"


def _texts(values: pd.Series[Any]) -> str:
    return formats.distinct(values.astype(str), ", ")
