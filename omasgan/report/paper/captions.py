"""What every caption of a suite has to say: budget, rule, and what the settings have seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from omasgan import detectors
from omasgan.data.selection import SENSITIVITY
from omasgan.experiments.paper.planning import RULE, SuitePlan, Variant
from omasgan.experiments.paper.suites import DEFAULTS
from omasgan.experiments.paper.training import Part
from omasgan.report.page.formats import distinct

AUROC = "auroc: mean over a fold's seeds, then over folds; sd: over folds; worst: the lowest fold."
INTERVAL = (
    "Intervals: 95 %, for other seeds on the same folds and test samples; none with one seed."
)
PRINTED = (
    "Printed numbers have the same protocol and the same data, but come from others' runs with "
    "settings and selection of their own; trust says how far each can be believed. A printed mean "
    "is over all folds, ours over those that were trained."
)
PARAMS = (
    "All params of an arm that are not at the detector's defaults: those of printed settings, of "
    "the budget and of the suite."
)


def scope(plan: SuitePlan, parts: Sequence[Part], variants: Iterable[Variant]) -> str:
    """Budget, folds, seeds, caps, rule, and what the settings of ``variants`` have seen.

    A capped budget says that it gives no result.
    """
    return f"{budget(plan, parts)} {rule(variants)}"


def budget(plan: SuitePlan, parts: Sequence[Part]) -> str:
    """How much is trained."""
    settings = plan.settings
    counts = sorted({f"{len(settings.folds)} of {part.n_folds}" for part in parts})
    caps = {"training and validation": settings.max_train, "test": settings.max_test}
    texts = [
        f"folds {distinct(settings.folds)} ({', '.join(counts)})",
        f"seeds {distinct(settings.seeds)}",
        *(f"at most {cap} {of} samples of a fold" for of, cap in caps.items() if cap is not None),
    ]
    if settings.params:
        texts.append("lengths of training as in the table Params")
    name = f"Capped: {plan.budget}, no result" if settings.is_capped else f"Budget {plan.budget}"
    return f"{name}: {'; '.join(texts)}."


def rule(variants: Iterable[Variant]) -> str:
    """The selection rule, and what it does not say."""
    variants = list(variants)
    texts = [f"Rule {RULE}: params are given, none was selected here."]
    if any(variant.of_pool for variant in variants):
        texts = [f"Tested under {SENSITIVITY}: how good a choice is, which no choice has seen."]
    at_defaults = dict.fromkeys(v.detector for v in variants if v.settings == DEFAULTS)
    for name in at_defaults:
        if seen := detectors.declared(name).defaults_saw:
            texts.append(f"The defaults of {name} were found in sight of {seen}.")
    if any(variant.settings != DEFAULTS for variant in variants):
        texts.append("How the authors of printed settings selected them is not always stated.")
    return " ".join(texts)
