"""What every caption of a suite has to say: budget, rule, and what the settings have seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from omasgan import detectors
from omasgan.experiments.paper.planning import RULE, Line, SuitePlan
from omasgan.experiments.paper.suites import DEFAULTS
from omasgan.experiments.paper.training import Part

INTERVAL = (
    "Intervals: 95 %, for other seeds on the same folds and test samples; none with one seed."
)
PRINTED = (
    "Printed numbers are of the same protocol on the same data, in others' runs with settings and "
    "selection of their own; trust says how far each can be believed. A printed mean is over all "
    "folds, ours over those that were trained."
)


def scope(made: SuitePlan, parts: Sequence[Part], lines: Iterable[Line]) -> str:
    """Budget, folds, seeds, caps, rule, and what the settings of ``lines`` have seen.

    A capped budget says that it brings no result.
    """
    return " ".join([budget(made, parts), rule(lines)])


def budget(made: SuitePlan, parts: Sequence[Part]) -> str:
    """How much is trained."""
    chosen = made.settings
    held = sorted({f"{len(chosen.folds)} of {part.n_folds}" for part in parts})
    caps = {"training and validation": chosen.max_train, "test": chosen.max_test}
    told = [
        f"folds {_numbers(chosen.folds)} ({', '.join(held)})",
        f"seeds {_numbers(chosen.seeds)}",
        *(f"at most {cap} {of} samples of a fold" for of, cap in caps.items() if cap is not None),
    ]
    if chosen.params:
        told.append("lengths of training as the table Params says")
    begin = f"Budget {made.budget}"
    if chosen.is_capped:
        begin = f"Capped: {made.budget}, no result"
    return f"{begin}: {'; '.join(told)}."


def rule(lines: Iterable[Line]) -> str:
    """The selection rule, and what it does not say."""
    shown = list(lines)
    told = [f"Rule {RULE}: params are given, none was chosen here."]
    saw: dict[str, str] = {}
    for line in shown:
        seen = detectors.load(line.detector).defaults_saw
        if seen and line.settings == DEFAULTS:
            saw[line.detector] = seen
    told += [
        f"The defaults of {name} were found in sight of {seen}." for name, seen in saw.items()
    ]
    if any(line.settings != DEFAULTS for line in shown):
        told.append("How the authors of printed settings chose them is not always stated.")
    return " ".join(told)


def _numbers(values: Iterable[int]) -> str:
    return ",".join(map(str, values))
