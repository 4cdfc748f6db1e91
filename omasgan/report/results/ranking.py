"""Entries ranked and tested on the folds that they have in common."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.results.defaults import defaults
from omasgan.report.results.runs import CONTROL, current, ok

FIXED, ORACLE = "fixed", "oracle"
METHOD = "omasgan"
"""The detector that the others are compared with."""


@dataclass(frozen=True)
class Group:
    """Entries that have the same folds: their AUROCs there, and what each is compared with.

    ``references`` has every entry: the method under the entry's own rule is its reference, or
    else the entry with the best mean, whose own reference is the next best.
    """

    folds: tuple[int, ...]
    rules: tuple[str, ...]
    aurocs: Mapping[str, statistics.Folds]
    references: Mapping[str, str]

    @property
    def means(self) -> pd.DataFrame:
        """One row for each fold, one column for each entry."""
        return statistics.fold_means(self.aurocs)

    @property
    def n_tests(self) -> int:
        """Pairs of an entry and its reference, each counted once."""
        return len({frozenset(pair) for pair in self.references.items()})

    @property
    def tested(self) -> bool:
        """Whether there are enough folds for a test."""
        return len(self.folds) >= statistics.MIN_FOLDS


def groups(frame: pd.DataFrame) -> list[Group]:
    """The entries that can be compared, most folds first; never those that saw the test.

    There is a group for every set of folds that two entries share exactly, and one for the folds
    that all entries have; an entry with more folds takes part with those of the group.
    """
    shown = ok(current(frame))
    shown = shown[shown["selection"] != ORACLE]
    aurocs = statistics.aurocs(shown)
    folds_of = {entry: frozenset(folds) for entry, folds in aurocs.items()}
    shared = {folds for folds, n in Counter(folds_of.values()).items() if n > 1}
    if len(folds_of) > 1:
        shared.add(frozenset.intersection(*folds_of.values()))
    return [
        _group(shown, tuple(sorted(folds)), {e: aurocs[e] for e in aurocs if folds_of[e] >= folds})
        for folds in sorted(shared, key=lambda folds: (-len(folds), sorted(folds)))
        if folds
    ]


def table(group: Group) -> pd.DataFrame:
    """One row for each entry, best average rank first, with its comparison with its reference.

    ``difference`` is that of the mean AUROCs, ``P(better)`` the probability of improvement with
    its ``interval``. ``p Holm`` is left out where there are too few folds for a test.
    """
    means = group.means
    ranks = statistics.average_ranks(means).sort_values(kind="stable")
    p = statistics.against(means, group.references)
    rows = []
    for entry, rank in ranks.items():
        other = group.references[str(entry)]
        pair = group.aurocs[str(entry)], group.aurocs[other]
        rows.append(
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
    ranked = pd.DataFrame(rows)
    return ranked if group.tested else ranked.drop(columns="p Holm")


def representative(frame: pd.DataFrame, detector: str, rule: str | None) -> str | None:
    """The entry that represents a detector under a rule: the only one, not counting the method's
    controls, or else the one at the detector's defaults.
    """
    same = frame[(frame["detector"] == detector) & (frame["selection"] == rule)]
    same = same.drop_duplicates("entry")
    if len(same) > 1 and detector == METHOD:
        same = same[[json.loads(p).get(*CONTROL) == CONTROL[1] for p in same["params"]]]
    if len(same) > 1:
        known = defaults(detector).items()
        same = same[[json.loads(p).items() <= known for p in same["params"]]]
    return str(same["entry"].iloc[0]) if len(same) == 1 else None


def _group(
    shown: pd.DataFrame, folds: tuple[int, ...], aurocs: Mapping[str, statistics.Folds]
) -> Group:
    aurocs = {entry: {fold: of[fold] for fold in folds} for entry, of in aurocs.items()}
    rules = shown.drop_duplicates("entry").set_index("entry")["selection"].loc[list(aurocs)]
    best = list(statistics.fold_means(aurocs).mean().sort_values(ascending=False).index)
    methods = {rule: representative(shown, METHOD, rule) for rule in set(rules)}
    return Group(
        folds,
        tuple(sorted(set(rules))),
        aurocs,
        {
            entry: next(e for e in (methods[rules[entry]], *best) if e in aurocs and e != entry)
            for entry in aurocs
        },
    )
