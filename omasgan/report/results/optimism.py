"""The optimism ledger: what a look at the test anomalies is worth."""

from __future__ import annotations

import pandas as pd

from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.results.ranking import FIXED, ORACLE, representative
from omasgan.report.results.runs import current, ok


def ledger(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each detector and rule, on the folds that its entries have in common.

    The index names the entries of a row. Rows that would show only one number are left out.
    """
    shown = ok(current(frame))
    aurocs = statistics.aurocs(shown)
    rows, entries_of_rows = [], []
    for detector, rules in shown.groupby("detector")["selection"].unique().items():
        if len(rules) < 2:
            continue
        for rule in sorted(set(rules) - {FIXED, ORACLE}) or [None]:
            columns = {"default": FIXED, "selected": rule, "oracle": ORACLE}
            entries = {
                column: entry
                for column, of in columns.items()
                if (entry := representative(shown, str(detector), of)) in aurocs
            }
            if len(entries) < 2:
                continue
            means = statistics.fold_means({c: aurocs[str(e)] for c, e in entries.items()})
            if not means.empty:
                rows.append({"detector": detector, **_row(means, rule)})
                entries_of_rows.append(tuple(map(str, entries.values())))
    return pd.DataFrame(rows, index=pd.Index(entries_of_rows, tupleize_cols=False))


def _row(means: pd.DataFrame, rule: str | None) -> dict[str, object]:
    """The means over folds, of which ``means`` has a row each and a column for each entry."""
    value = {
        name: means.mean().get(name, float("nan")) for name in ("default", "selected", "oracle")
    }
    return {
        "default": value["default"],
        "rule": rule,
        "selected": value["selected"],
        "oracle": value["oracle"],
        "gap": value["oracle"] - value["selected"],
        "folds": formats.distinct(means.index),
    }
