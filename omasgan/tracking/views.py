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

from omasgan.tracking import names
from omasgan.tracking.client import KIND, legal

TAG = "mlflow.sharedViewState."
"""Before the key of a view, in the name of the tag that holds it."""

EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
"""The tag without which MLflow first asks what an experiment is for."""

MAX_PARAMS = 12
"""Params that the view of trials shows."""


@dataclass(frozen=True)
class View:
    """A table of the MLflow runs of one ``kind``: the highest of the metric ``sorted_by`` first.

    ``title`` says what it shows; ``columns`` are metrics, and params where they begin so.
    """

    key: str
    title: str
    kind: str
    sorted_by: str
    columns: tuple[str, ...]

    def state(self) -> dict[str, Any]:
        """Return what MLflow keeps of a view."""
        kind = f"tags.`omasgan.{KIND}` = '{self.kind}'"
        return {
            "searchFilter": f"metrics.`{self.sorted_by}` > -1e300 and {kind}",
            "orderByKey": f"metrics.`{self.sorted_by}`",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(self.columns),
            "runListHidden": False,
        }


def results(folds: Iterable[str]) -> View:
    """Return the view of results, best mean AUROC first, with the worst fold and all ``folds``."""
    shown = (names.AUROC, names.WORST, *map(names.of_fold, folds), names.SECONDS)
    return View("results", "the best first", "result", names.AUROC, tuple(map(_metric, shown)))


def trials(params: Iterable[str], *, share_stages: bool) -> View:
    """Return the view of a sweep's trials, best objective first, with what was searched and, where
    trials share stages, with their groups.
    """
    shown = (_param(name) for name in list(params)[:MAX_PARAMS])
    shared = (_metric(names.SPARED), "tags.`omasgan.group`") if share_stages else ()
    columns = (_metric(names.OBJECTIVE), *shown, _metric(names.SECONDS), *shared)
    return View("trials", "trials by objective", "trial", names.OBJECTIVE, columns)


def settings(params: Iterable[str]) -> View:
    """Return the view of what a sensitivity study has trained, with the params that vary."""
    shown = (_param(name) for name in list(params)[:MAX_PARAMS])
    columns = (_metric(names.AUROC), _metric(names.WORST), *shown)
    return View("sensitivity", "settings by AUROC", "sensitivity", names.AUROC, columns)


def tags(view: View) -> Mapping[str, str]:
    """Return the tags of an experiment that make ``view`` reachable."""
    return {**EXPERIMENT, f"{TAG}{view.key}": json.dumps(view.state())}


def address(server: str, experiment: str, view: View) -> str:
    """Return where a server shows the view of an experiment, given by its id."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={view.key}"


def _metric(name: str) -> str:
    return f"metrics.`{legal(name)}`"


def _param(name: str) -> str:
    return f"params.`{legal(name)}`"
