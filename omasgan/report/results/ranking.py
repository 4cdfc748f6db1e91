"""Entries ranked and tested on the folds that they share, and what a look at the test is worth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from omasgan.errors import OmasganError
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.results.tables import CONTROL

FIXED, ORACLE = "fixed", "oracle"
METHOD = "omasgan"
"""The detector that the others are compared with."""


@dataclass(frozen=True)
class Group:
    """Entries that hold the same folds: their AUROCs there, and what each is compared with.

    ``references`` lacks no entry: the method under the entry's own rule, or else the entry with
    the best mean, or for that one the next best.
    """

    folds: tuple[int, ...]
    rules: tuple[str, ...]
    aurocs: Mapping[str, statistics.Folds]
    references: Mapping[str, str]

    @property
    def means(self) -> pd.DataFrame:
        """One line a fold, one column an entry."""
        return statistics.fold_means(self.aurocs)

    @property
    def n_tests(self) -> int:
        """Pairs of an entry and its reference, each counted once."""
        return len({frozenset(pair) for pair in self.references.items()})

    @property
    def tested(self) -> bool:
        """Whether there are folds enough for a test."""
        return len(self.folds) >= statistics.MIN_FOLDS


def groups(frame: pd.DataFrame) -> list[Group]:
    """The entries that can be compared, most folds first; never those that saw the test.

    There is a group for every set of folds that two entries hold exactly, and one for the folds
    that all entries hold; an entry that holds more folds takes part with those of the group.
    """
    shown = frame[frame["current"] & (frame["outcome"] == "ok") & (frame["selection"] != ORACLE)]
    aurocs = statistics.aurocs(shown)
    held = {entry: frozenset(folds) for entry, folds in aurocs.items()}
    shared = {folds for folds, n in Counter(held.values()).items() if n > 1}
    if len(held) > 1:
        shared.add(frozenset.intersection(*held.values()))
    return [
        _group(shown, tuple(sorted(folds)), {e: aurocs[e] for e in held if held[e] >= folds})
        for folds in sorted(shared, key=lambda folds: (-len(folds), sorted(folds)))
        if folds
    ]


def table(group: Group) -> pd.DataFrame:
    """One line an entry, best average rank first: its rank, and how it does against its reference.

    ``difference`` is that of the mean AUROCs, ``P(better)`` the probability of improvement with
    its ``interval``. ``p Holm`` is left out where there are too few folds for a test.
    """
    means = group.means
    ranks = statistics.average_ranks(means).sort_values(kind="stable")
    p = statistics.against(means, group.references)
    lines = []
    for entry, rank in ranks.items():
        other = group.references[str(entry)]
        pair = group.aurocs[str(entry)], group.aurocs[other]
        lines.append(
            {
                "entry": entry,
                "average rank": rank,
                "auroc": means[entry].mean(),
                "against": other,
                "difference": means[entry].mean() - means[other].mean(),
                "p Holm": p[str(entry)],
                "P(better)": statistics.improvement(*pair),
                "interval": formats.interval(statistics.improvement_interval(*pair)),
            }
        )
    found = pd.DataFrame(lines)
    return found if group.tested else found.drop(columns="p Holm")


def optimism(frame: pd.DataFrame) -> pd.DataFrame:
    """The optimism ledger: one line a detector and rule, on the folds that all its entries hold.

    The index tells the entries of a line. Lines that would show one number alone are left out.
    """
    shown = frame[frame["current"] & (frame["outcome"] == "ok")]
    aurocs = statistics.aurocs(shown)
    lines, shown_entries = [], []
    for detector, rules in shown.groupby("detector")["selection"].unique().items():
        if len(rules) < 2:
            continue
        for rule in sorted(set(rules) - {FIXED, ORACLE}) or [None]:
            asked = {"default": FIXED, "selected": rule, "oracle": ORACLE}
            entries = {name: _entry(shown, str(detector), of) for name, of in asked.items()}
            held = {name: aurocs[entry] for name, entry in entries.items() if entry in aurocs}
            means = statistics.fold_means(held) if len(held) > 1 else pd.DataFrame()
            if means.empty:
                continue
            shown_entries.append(tuple(str(entries[name]) for name in held))
            value = {name: means.mean().get(name, float("nan")) for name in asked}
            lines.append(
                {
                    "detector": detector,
                    "default": value["default"],
                    "rule": rule,
                    "selected": value["selected"],
                    "oracle": value["oracle"],
                    "gap": value["oracle"] - value["selected"],
                    "folds": formats.distinct(means.index),
                }
            )
    return pd.DataFrame(lines, index=pd.Index(shown_entries, tupleize_cols=False))


def _group(
    shown: pd.DataFrame, folds: tuple[int, ...], aurocs: Mapping[str, statistics.Folds]
) -> Group:
    aurocs = {entry: {fold: of[fold] for fold in folds} for entry, of in aurocs.items()}
    rules = shown.drop_duplicates("entry").set_index("entry")["selection"].loc[list(aurocs)]
    best = list(statistics.fold_means(aurocs).mean().sort_values(ascending=False).index)
    methods = {rule: _entry(shown, METHOD, rule) for rule in set(rules)}
    return Group(
        folds,
        tuple(sorted(set(rules))),
        aurocs,
        {
            entry: next(e for e in (methods[rules[entry]], *best) if e in aurocs and e != entry)
            for entry in aurocs
        },
    )


def _entry(frame: pd.DataFrame, detector: str, rule: str | None) -> str | None:
    """The entry that stands for a detector under a rule: the only one, not counting the method's
    controls, or else the one at the detector's defaults.
    """
    same = frame[(frame["detector"] == detector) & (frame["selection"] == rule)]
    same = same.drop_duplicates("entry")
    if len(same) > 1 and detector == METHOD:
        same = same[[json.loads(p).get(*CONTROL) == CONTROL[1] for p in same["params"]]]
    if len(same) > 1:
        defaults = _defaults(detector)
        same = same[[json.loads(p).items() <= defaults.items() for p in same["params"]]]
    return str(same["entry"].iloc[0]) if len(same) == 1 else None


def _defaults(detector: str) -> dict[str, object]:
    """The params of a detector at its defaults; none if it cannot be loaded here."""
    from omasgan import detectors

    try:
        defaults = detectors.check_params(detectors.load(detector), {})
    except OmasganError:
        return {}
    found: dict[str, object] = json.loads(json.dumps(defaults))
    return found
