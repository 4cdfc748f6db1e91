"""Saved views of MLflow's table of runs: the page that says which is best, and where.

MLflow 3 keeps a view that somebody shares in a tag of the experiment and shows it where the
address has its key. The tag is no part of MLflow's API: ``tests/tracking/test_views.py`` looks at
the page in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TAG = "mlflow.sharedViewState."
"""Before the key of a view, in the name of the tag that holds it."""

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""The tag without which MLflow first asks what an experiment is for."""


@dataclass(frozen=True)
class View:
    """A table of runs: those that have the metric ``sorted_by``, the highest first, with these
    ``columns``, metrics all of them.
    """

    key: str
    sorted_by: str
    columns: tuple[str, ...]

    def state(self) -> dict[str, Any]:
        """Return what MLflow keeps of a view."""
        return {
            "searchFilter": f"metrics.`{self.sorted_by}` > -1e300",
            "orderByKey": f"metrics.`{self.sorted_by}`",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": [f"metrics.`{name}`" for name in self.columns],
            "runListHidden": False,
        }


def results(folds: Iterable[int]) -> View:
    """Return the view of results, best mean AUROC first, with the worst fold and all ``folds``."""
    means = (f"auroc/fold-{fold}" for fold in sorted(folds))
    return View("results", "auroc", ("auroc", "auroc_worst_fold", *means, "seconds"))


TRIALS = View("trials", "objective", ("objective", "seconds", "peak_memory_mb"))
"""The view of a sweep's trials, best objective first."""


def tags(view: View) -> Mapping[str, str]:
    """Return the tags of an experiment that make ``view`` reachable."""
    return {**KIND, f"{TAG}{view.key}": json.dumps(view.state())}


def address(server: str, experiment: str, view: View) -> str:
    """Return where a server shows the view of an experiment, given by its id."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={view.key}"
