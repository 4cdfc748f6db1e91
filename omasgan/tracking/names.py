"""What MLflow calls metrics: names that a person reads, and few of them.

What only a machine reads stays in the files.
"""

from __future__ import annotations

from collections.abc import Mapping

AUROC, WORST, OBJECTIVE = "AUROC", "AUROC worst fold", "objective"
BEST_OBJECTIVE = "best objective"
SECONDS, MEMORY, GPU = "seconds", "peak memory MB", "peak GPU memory MB"
SPARED = "spared seconds"
"""Of a trial that shares stages: what the trainings that it went on from had taken."""
NAMES = {
    "auroc": AUROC,
    "auroc_sd": "AUROC sd",
    "auroc_worst_fold": WORST,
    "average_precision": "average precision",
    "fpr95": "FPR95",
}
"""By name in the store."""
STAGE, FOLD = "auroc.", "auroc/fold-"


def of_fold(fold_name: str) -> str:
    """Return what the AUROC on a fold is called, such as "AUROC digit 8"."""
    return f"{AUROC} {fold_name}"


def readable(means: Mapping[str, float], fold_names: Mapping[int, str]) -> dict[str, float]:
    """Return the means that MLflow shows (of ``report.results.averages.means``).

    They are the means over the folds, the AUROC of each fold and of each stage; other metrics of
    folds and stages would bury these.

    >>> readable({"auroc": 0.9, "auroc/fold-8": 0.8, "auroc.j": 0.7, "fpr95.j": 0}, {8: "digit 8"})
    {'AUROC': 0.9, 'AUROC digit 8': 0.8, 'AUROC stage j': 0.7}
    """
    shown = {}
    for name, value in means.items():
        if name in NAMES:
            shown[NAMES[name]] = value
        elif name.startswith(FOLD):
            shown[of_fold(fold_names[int(name.removeprefix(FOLD))])] = value
        elif name.startswith(STAGE) and "/" not in name:
            shown[f"{AUROC} stage {name.removeprefix(STAGE)}"] = value
    return shown
