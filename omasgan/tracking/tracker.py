"""``Tracker`` mirrors one store into MLflow: when what is shown, and what if no server answers.

A server that cannot be reached stops nothing: the tracker tries it again from time to time, and
once it is back ``Tracker.catch_up`` or ``Tracker.sync`` sends what it has missed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from omasgan.errors import (
    BackendError,
    ConfigError,
    StoreError,
    without_secrets,
)
from omasgan.report.page.names import PAGE
from omasgan.store.files import AnyPath
from omasgan.store.journal import read_json
from omasgan.store.results import RunKey, Store
from omasgan.study.space import Fixed, Space
from omasgan.tracking import comparison, mirror, sweeps, views
from omasgan.tracking import pages as stored_pages
from omasgan.tracking.client import Mlflow, as_backend_error, locked, prepare
from omasgan.training.trials import Trial

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
ENDINGS = {"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
DATABASE = "mlflow.db"
RETRY_SECONDS = 30.0
"""How long the tracker waits before it tries an unreachable server again."""

logger = logging.getLogger(__name__)


def default_uri(root: AnyPath) -> str:
    """Return the URI of a store's own MLflow database.

    Raises:
        ConfigError: the store is on an object store, where there can be no database.
    """
    if not isinstance(root, Path):
        raise ConfigError(
            f"MLflow's database cannot lie in '{root}'; give --tracking-uri URI or none"
        )
    return f"sqlite:///{root / DATABASE}"


class Tracker:
    """Mirrors one store into MLflow; every method but ``sync`` survives an unreachable server."""

    def __init__(self, uri: str | None, store: Store) -> None:
        """Check the URI; nothing is opened or sent yet.

        Args:
            uri: MLflow's tracking URI; None means ``MLFLOW_TRACKING_URI``, or without that a
                sqlite database in the store's folder.
            store: the store to mirror.

        Raises:
            ConfigError: MLflow takes no URI of this kind, or a store that is not a folder needs
                one.
        """
        self.store = store
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(store.root)
        self._mlflow: Mlflow | None = None
        self._has_missed = False
        self._try_again = -math.inf
        _check_scheme(self.uri)

    @property
    def is_own(self) -> bool:
        """Whether MLflow's database is the store's own, which ``omasgan ui`` serves."""
        return isinstance(self.store.root, Path) and self.uri == default_uri(self.store.root)

    def begin_study(self, study_dir: AnyPath) -> None:
        """Show the study as running, with all its ended trials."""
        self._safely(lambda mlflow: self._show_study(mlflow, study_dir, "RUNNING"))

    def trial(self, study_dir: AnyPath, trial: Trial) -> None:
        """Show an ended trial."""
        self._safely(lambda mlflow: mirror.trial(mlflow, self.store, study_dir, trial))

    def end_study(self, study_dir: AnyPath, status: str) -> None:
        """Show the study, its trials and its winner as stored, and end its MLflow run.

        Raises:
            ValueError: ``status`` is not complete, interrupted or failed.
        """
        shown = _in_mlflow(status, ENDINGS)
        self._safely(lambda mlflow: self._show_study(mlflow, study_dir, shown))

    def comparison(self, benchmark: str, status: str) -> None:
        """Show the comparison on a benchmark with its entries as stored.

        Raises:
            ValueError: ``status`` is not running, complete, interrupted or failed.
        """
        shown = _in_mlflow(status, {"running": "RUNNING", **ENDINGS})
        self._safely(lambda mlflow: self._show_comparison(mlflow, benchmark, shown))

    def run_group(self, benchmark: str, detector: str, selection: str, params_id: str) -> None:
        """Show a detector's runs with one params: in their comparison, as the winner of a study
        and among the winners of the sweep, or alone.
        """
        key = RunKey(benchmark, detector, selection, params_id, 0, 0)
        if comparison.holds(self.store, key):
            ended = comparison.ending(self.store, benchmark)
            self._safely(lambda mlflow: self._show_comparison(mlflow, benchmark, ended))
        else:
            self._safely(lambda mlflow: self._show_group(mlflow, key))

    def sync(self) -> int:
        """Mirror everything in the store; return the number of MLflow runs that show it.

        An incomplete study or comparison is shown as interrupted.

        Raises:
            BackendError: MLflow cannot be reached or refuses.
        """
        with self._connected() as mlflow:
            mlflow.shown.clear()
            for folder in self.store.studies():
                complete = read_json(folder / "study.json").get("status") == "complete"
                ending = "complete" if complete else "interrupted"
                self._show_study(mlflow, folder, ENDINGS[ending])
            for name in comparison.benchmarks(self.store):
                ended = comparison.ending(self.store, name)
                self._show_comparison(mlflow, name, ended)
            keys = {mirror.group_key(RunKey.of(row)) for row in self.store.results()}
            for key in sorted(keys, key=lambda key: key.path):
                if not comparison.holds(self.store, key):
                    self._show_runs(mlflow, key)
            for benchmark in {key.benchmark for key in keys}:
                self._show_results(mlflow, benchmark)
            for folder in stored_pages.folders(self.store):
                stored_pages.page(mlflow, folder)
            shown = len(mlflow.shown)
        self._has_missed = False
        return shown

    def pages(self, server: str) -> dict[str, str]:
        """Return by what they show the pages of a server: for each benchmark its results, best
        first, and the trials of its sweeps.

        Raises:
            BackendError: MLflow cannot be reached or refuses.
        """
        pages = {}
        studied = {folder.parents[3].name for folder in self.store.studies()}
        folds, varied = self.store.folds(), stored_pages.varied(self.store)
        with self._connected() as mlflow:
            for benchmark in sorted(studied | folds.keys() | varied.keys()):
                shown = [views.results(folds[benchmark].values())] if benchmark in folds else []
                shown += [self._trials(benchmark)] if benchmark in studied else []
                shown += [views.settings(varied[benchmark])] if benchmark in varied else []
                for view in shown:
                    mlflow.tag_experiment(benchmark, views.tags(view))
                    address = views.address(server, mlflow.experiment(benchmark), view)
                    pages[f"{benchmark}, {view.title}"] = address
        return pages

    def page(self, folder: AnyPath) -> None:
        """Show the page of a sensitivity study or of a suite of the paper."""
        self._safely(lambda mlflow: stored_pages.page(mlflow, folder))

    def report(self, benchmarks: Iterable[str]) -> None:
        """Attach the report's page to the MLflow runs above the results on these benchmarks."""
        from omasgan.report.results.write import render_page

        def send(mlflow: Mlflow) -> None:
            page = render_page(self.store)
            for benchmark in benchmarks:
                for run in comparison.parents(mlflow, self.store, benchmark):
                    mlflow.send_text(run, PAGE, page, "report")

        self._safely(send)

    def attach(self, folder: AnyPath, of: Mapping[str, Iterable[str]]) -> None:
        """Attach a report's files to the MLflow runs above its results.

        Args:
            folder: the report's.
            of: by benchmark, the files of its part of the report, relative to ``folder``.

        Raises:
            BackendError: MLflow cannot be reached or refuses.
        """
        with self._connected() as mlflow:
            for benchmark, names in of.items():
                for run in comparison.parents(mlflow, self.store, benchmark):
                    for name in names:
                        target = PurePosixPath("report", name).parent.as_posix()
                        mlflow.send_file(run, folder / name, target)

    def catch_up(self) -> None:
        """Send everything that MLflow has missed, if it can be reached now."""
        if self._has_missed:
            # A warning has already said that it is away, and what to do.
            with contextlib.suppress(BackendError, StoreError):
                self.sync()

    def _show_study(self, mlflow: Mlflow, folder: AnyPath, status: str) -> None:
        mirror.study(mlflow, self.store, folder, status)
        sweeps.sweep(mlflow, self.store, folder.parent.parent, status)
        benchmark = folder.parents[3].name
        mlflow.tag_experiment(benchmark, views.tags(self._trials(benchmark)))

    def _trials(self, benchmark: str) -> views.View:
        """The view of all trials on a benchmark, with the params that any of its studies
        searches.
        """
        folders = [f for f in self.store.studies() if f.parents[3].name == benchmark]
        studies = [read_json(folder / "study.json") for folder in folders]
        spaces = [Space.from_dict(study["space"]) for study in studies]
        searched = [
            p.name for space in spaces for p in space.params if not isinstance(p.domain, Fixed)
        ]
        share_stages = any("share_stages" in study for study in studies)
        return views.trials(dict.fromkeys(searched), share_stages=share_stages)

    def _show_runs(self, mlflow: Mlflow, key: RunKey) -> None:
        mirror.group(mlflow, self.store, key)
        studies = self.store.study_dir(key.benchmark, key.detector, key.selection, "any").parent
        sweeps.sweep(mlflow, self.store, studies.parent)

    def _show_group(self, mlflow: Mlflow, key: RunKey) -> None:
        self._show_runs(mlflow, key)
        self._show_results(mlflow, key.benchmark)

    def _show_comparison(self, mlflow: Mlflow, benchmark: str, status: str) -> None:
        comparison.comparison(mlflow, self.store, benchmark, status)
        self._show_results(mlflow, benchmark)

    def _show_results(self, mlflow: Mlflow, benchmark: str) -> None:
        """Make the view of the benchmark's results reachable, with its folds of now."""
        view = views.results(self.store.folds(benchmark).get(benchmark, {}).values())
        mlflow.tag_experiment(benchmark, views.tags(view))

    def _safely(self, send: Callable[[Mlflow], None]) -> None:
        if time.monotonic() < self._try_again:
            return
        try:
            with self._connected() as mlflow:
                send(mlflow)
        except (BackendError, StoreError) as error:
            if not self._has_missed:
                logger.warning(
                    "%s; the results are on disk and can be sent later: "
                    "omasgan report %s --sync-mlflow", error, self.store.root,
                )  # fmt: skip
            self._has_missed = True
            self._mlflow = None
            self._try_again = time.monotonic() + RETRY_SECONDS

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Mlflow]:
        """Open the connection at its first use, and lock the store against other mirrors."""
        prepare(self.uri)
        with as_backend_error(self.uri), locked(self.store.root):
            self._mlflow = self._mlflow or Mlflow.open(self.uri, self.store.root)
            yield self._mlflow


def _in_mlflow(status: str, statuses: Mapping[str, str]) -> str:
    if status not in statuses:
        raise ValueError(f"status must be one of {list(statuses)}, got {status!r}")
    return statuses[status]


def _check_scheme(uri: str) -> None:
    scheme = urlsplit(uri).scheme.split("+")[0]
    if scheme not in SCHEMES:
        raise ConfigError(
            f"tracking URI '{without_secrets(uri)}' must begin with one of {', '.join(SCHEMES)}; "
            "for a local database give sqlite:///FILE"
        )
