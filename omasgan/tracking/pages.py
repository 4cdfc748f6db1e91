"""The pages of ``omasgan sensitivity`` and ``omasgan paper``: each one is an MLflow run that has
it as an artifact, in an experiment that is named after the verb.
"""

from __future__ import annotations

from omasgan.detectors import folder_name
from omasgan.report.page.names import PAGE, SUMMARY
from omasgan.store.files import AnyPath, find, read
from omasgan.store.journal import read_json
from omasgan.store.results import Store
from omasgan.tracking.client import Mlflow
from omasgan.tracking.mirror import now

VERBS = ("sensitivity", "paper")
"""The verbs that write pages, and the folders under a store's root in which they lie."""
MAX_DESCRIPTION = 4000
"""Characters of the summary that stand in the description."""


def folders(store: Store) -> list[AnyPath]:
    """Return the folders of all pages."""
    return [path.parent for verb in VERBS for path in find(store.root, f"{verb}/*/{PAGE}")]


def page(mlflow: Mlflow, folder: AnyPath) -> None:
    """Show the page in ``folder``, with the beginning of its summary as the description."""
    verb, name = folder.parts[-2:]
    run = mlflow.run(f"{verb}/{name}", name, now(), kind="page")
    mlflow.send_file(run, folder / PAGE)
    summary = (read(folder / SUMMARY) or b"").decode()
    mlflow.describe(run, summary[:MAX_DESCRIPTION])
    mlflow.set_status(run, "FINISHED")


def varied(store: Store) -> dict[str, list[str]]:
    """Return by benchmark which params its sensitivity studies vary."""
    by_benchmark: dict[str, list[str]] = {}
    for path in find(store.root, "sensitivity/*/study.json"):
        study = read_json(path)
        benchmark = path.parent.name.removesuffix(f"-{folder_name(study['detector'])}")
        names = by_benchmark.setdefault(benchmark, [])
        names += [axis["name"] for axis in study["axes"] if axis["name"] not in names]
    return by_benchmark
