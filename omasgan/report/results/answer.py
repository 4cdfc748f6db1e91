"""The answer at first sight: which entry is best and by how much, where it fails, what is open.

Each function writes one sentence, in words that need no look at a table. They compare the entries
of one group, which have the same folds, and name folds by their classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from omasgan.experiments.study_folder import WINNER_PARAMS
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.results import ranking, tables
from omasgan.report.results.averages import fold_means
from omasgan.report.results.inputs import Benchmark, StoredStudy
from omasgan.report.results.ranking import METHOD, ORACLE
from omasgan.report.results.runs import current, ok, short_names
from omasgan.report.statistics import LEVEL, MIN_FOLDS, Folds

FEW = 6
"""So many names are listed one by one; more are counted."""
NOTHING = 0.0005
"""Differences of AUROC below this do not show in three decimals."""


@dataclass(frozen=True)
class Standing:
    """The entries that are compared, on the ``folds`` (names by number) that all of them have."""

    benchmark: Benchmark
    frame: pd.DataFrame
    folds: Mapping[int, str]
    aurocs: Mapping[str, Folds]

    @cached_property
    def means(self) -> pd.DataFrame:
        """One row for each fold, one column for each entry, the best mean first."""
        means = statistics.fold_means(self.aurocs)
        return means[means.mean().sort_values(ascending=False, kind="stable").index]

    @property
    def best(self) -> str:
        return str(self.means.columns[0])

    @cached_property
    def names(self) -> dict[str, str]:
        return short_names(self.frame)

    @property
    def method(self) -> str | None:
        """The method's best entry."""
        is_method = set(self.frame[self.frame["detector"] == METHOD]["entry"])
        return next((str(entry) for entry in self.means.columns if entry in is_method), None)


def sentences(
    frame: pd.DataFrame, benchmark: Benchmark, studies: Sequence[StoredStudy] = ()
) -> list[str]:
    """What a reader wants to know first of the runs in ``frame`` (``runs``)."""
    standing = None if frame.empty else _standing(frame, benchmark)
    if standing is None:
        return ["No run has given a test score yet.", *_searches(studies)]
    return [
        _compared(standing),
        _best(standing),
        *_place(standing),
        *_failure(standing),
        *_stages(standing),
        *_open_questions(standing),
        *_searches(studies),
    ]


def _standing(frame: pd.DataFrame, benchmark: Benchmark) -> Standing | None:
    """What can be compared: the entries with folds in common that have the most runs there."""
    shown = ok(current(frame))
    shown = shown[shown["selection"] != ORACLE]
    if shown.empty:
        return None
    groups = ranking.groups(frame)
    if groups:
        aurocs = max(groups, key=lambda group: len(group.aurocs) * len(group.folds)).aurocs
    else:
        every = statistics.aurocs(shown)
        aurocs = dict([max(every.items(), key=lambda item: len(item[1]))])
    folds = sorted(next(iter(aurocs.values())))
    names = dict(zip(shown["fold"], shown["fold_name"], strict=True))
    return Standing(benchmark, shown, {fold: names[fold] for fold in folds}, aurocs)


def _compared(of: Standing) -> str:
    """How many entries were compared, and on what."""
    n = len(of.folds)
    named = f" ({_listed(list(of.folds.values()))})" if n <= FEW else ""
    left_out = set(of.frame["entry"]) - set(of.aurocs)
    names = _listed(sorted(of.names[entry] for entry in left_out))
    others = f" Of other folds, and not compared here: {names}."
    what = _counted(len(of.aurocs), "entry", "entries")
    if len(of.aurocs) == of.frame[of.frame["entry"].isin(of.aurocs)]["detector"].nunique():
        what = _counted(len(of.aurocs), "detector")
    verb = "was tested" if len(of.aurocs) == 1 else "were compared"
    seeds = _counted(max(len(v) for folds in of.aurocs.values() for v in folds.values()), "seed")
    where = f"{_which(n, of.benchmark.n_folds)} of {of.benchmark.id}{named}, with {seeds}"
    return f"{what} {verb} on {where}.{others if left_out else ''}"


def _which(n: int, n_all: int | None) -> str:
    """Return how many folds of a benchmark these are.

    >>> _which(3, 10), _which(10, 10), _which(1, 1), _which(1, None)
    ('3 of the 10 folds', 'all 10 folds', 'the only fold', 'one fold')
    """
    if n_all is None:
        return "one fold" if n == 1 else f"{n} folds"
    if n < n_all:
        return f"{n} of the {n_all} folds"
    return "the only fold" if n == 1 else f"all {n} folds"


def _best(of: Standing) -> str:
    """The best entry, and how far ahead it is of the second."""
    name, mean = of.names[of.best], of.means[of.best].mean()
    said = f"mean AUROC {mean:.3f}{_interval(of.aurocs[of.best])}"
    if len(of.aurocs) == 1:
        return f"{name} has a {said}."
    second = str(of.means.columns[1])
    ahead = mean - of.means[second].mean()
    if ahead < NOTHING:
        return f"{name} and {of.names[second]} are the best, with the same {said}."
    ends = statistics.difference_interval(of.aurocs[of.best], of.aurocs[second])
    by = f"{ahead:.3f} above {of.names[second]}"
    by += "" if pd.isna(ends.low) else f" (95 % interval {formats.signed_interval(ends)})"
    wins = int((of.means[of.best] > of.means[second]).sum())
    by += f", and above it on {wins} of {len(of.folds)} folds" if len(of.folds) > 1 else ""
    return f"{name} is the best: {said}, {by}. {_certainty(of, ends)}".strip()


def _certainty(of: Standing, ends: statistics.Interval) -> str:
    """From which of the others the best can be told apart."""
    others = [str(entry) for entry in of.means.columns[1:]]
    if len(of.folds) < MIN_FOLDS:
        return "Other seeds could turn that around." if ends.low <= 0 else ""
    p = statistics.holm([statistics.signed_rank(of.means[of.best], of.means[e]) for e in others])
    alike = [of.names[e] for e, value in zip(others, p, strict=True) if value > LEVEL]
    test = f"Signed-rank tests over the {len(of.folds)} folds (Holm, {LEVEL})"
    if not alike:
        return f"{test} tell it from all others."
    return f"{test} can't tell it from {_listed(alike)}."


def _place(of: Standing) -> Iterator[str]:
    """Where the method stands, if it is not the best."""
    if of.method is None or of.method == of.best:
        return
    place = list(of.means.columns).index(of.method) + 1
    mean, best = of.means[of.method].mean(), of.means[of.best].mean()
    yield (
        f"{of.names[of.method]} is number {place} of {len(of.aurocs)}: mean AUROC {mean:.3f}"
        f"{_interval(of.aurocs[of.method])}, {best - mean:.3f} below the best."
    )


def _failure(of: Standing) -> Iterator[str]:
    """The fold on which the best entry, and the method, are weakest."""
    if len(of.folds) < 2:
        return
    for entry in dict.fromkeys(filter(None, (of.best, of.method))):
        at = int(of.means[entry].argmin())
        on_fold = {str(name): float(of.means[name].iloc[at]) for name in of.means.columns}
        value, other = on_fold[entry], max(on_fold, key=lambda name: on_fold[name])
        better = f", where {of.names[other]} has {on_fold[other]:.3f}"
        worse = "" if on_fold[other] < value + NOTHING else better
        below = " (below chance)" if value < 0.5 else ""
        name = list(of.folds.values())[at]
        yield f"{of.names[entry]} is weakest on {name}: {value:.3f}{below}{worse}."


def _stages(of: Standing) -> Iterator[str]:
    """Whether another score of the same trainings would have been better."""
    for entry in dict.fromkeys(filter(None, (of.best, of.method))):
        runs = of.frame[(of.frame["entry"] == entry) & of.frame["fold"].isin(of.folds)]
        means = {c: fold_means(runs, c).mean() for c in tables.stage_columns(runs)}
        means = {c: value for c, value in means.items() if not pd.isna(value)}
        if len(means) < 2:
            continue
        column = max(means, key=lambda c: means[c])
        ahead = means[column] - of.means[entry].mean()
        stage = column.removeprefix(tables.STAGE_PREFIX)
        if ahead < NOTHING:
            yield f"No other stage of {of.names[entry]} would have been better than its score."
        else:
            yield (
                f"The stage {stage} of {of.names[entry]} would have been better: "
                f"{means[column]:.3f}, {ahead:.3f} above its score. That is known from the test "
                "alone, and chooses nothing."
            )


def _open_questions(of: Standing) -> Iterator[str]:
    """What these runs are too few to say."""
    n, n_all = len(of.folds), of.benchmark.n_folds
    doubts = []
    if n_all is not None and n < n_all:
        doubts.append(f"{_counted(n_all - n, 'fold')} of the benchmark {_are(n_all - n)} missing")
    if n < MIN_FOLDS and len(of.aurocs) > 1:
        doubts.append(f"fewer than {MIN_FOLDS} folds allow no test of a difference")
    if min(len(values) for folds in of.aurocs.values() for values in folds.values()) < 2:
        doubts.append("one seed does not show what another would change")
    if doubts:
        yield f"Too small to say more: {'; '.join(doubts)}."


def _searches(studies: Sequence[StoredStudy]) -> Iterator[str]:
    """By sweep, which trials have won, and where their params lie."""
    sweeps: dict[tuple[str, str], list[StoredStudy]] = {}
    for study in studies:
        sweeps.setdefault((study.detector, study.selection), []).append(study)
    for members in sweeps.values():
        won = [
            f"{study.won} on {study.name}, the best of {len(study.trials)} "
            f"(objective {study.winner['objective']:.3f})"
            for study in members
            if study.winner
        ]
        open_ = [study for study in members if not study.winner]
        if open_:
            n = sum(len(study.trials) for study in open_)
            won.append(f"none yet on {_listed([s.name for s in open_])}, {_counted(n, 'trial')}")
        name = members[0].name if len(members) == 1 else "*"
        *_, benchmark, detector, rule, _, _ = members[0].folder.parts
        file = "/".join((benchmark, detector, rule, "studies", name, WINNER_PARAMS))
        where = "" if len(open_) == len(members) else f"; for --params, below --out: {file}"
        yield f"Winner of {members[0].detector} ({rule}): {', '.join(won)}{where}."


def _interval(folds: Folds) -> str:
    ends = statistics.interval(folds)
    return "" if pd.isna(ends.low) else f" (95 % interval {formats.interval(ends)})"


def _counted(n: int, noun: str, plural: str = "") -> str:
    return f"{n} {noun if n == 1 else plural or f'{noun}s'}"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> _listed(["a"]), _listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    if len(names) > FEW:
        return f"{', '.join(names[: FEW - 1])} and {len(names) - FEW + 1} others"
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])
