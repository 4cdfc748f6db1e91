"""The guide: one Optuna study that hands out params, learns from outcomes and decides on pruning.

Both backends use it the same way, so a sweep is guided alike wherever it runs.
"""

from __future__ import annotations

import ast
import logging
import math
import sqlite3
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from omasgan.errors import BackendError, ConfigError, StoreError, unknown, without_secrets
from omasgan.store.journal import append_rows, keep_rows, read_rows
from omasgan.study.space import Params, Space

if TYPE_CHECKING:
    from pathlib import Path

    import optuna

    from omasgan.store.files import AnyPath

T = TypeVar("T")
logger = logging.getLogger(__name__)

OUTAGE_SECONDS = 600.0
"""How long a database server that is away is waited for."""

FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 5.0
"""The time between two tries to reach it, at first and at most."""

OUTCOMES = ("ok", "pruned", "diverged", "out-of-memory", "failed")

INFEASIBLE = frozenset({"diverged", "out-of-memory"})
"""Outcomes that say something about the params, and that the sampler is to stay away from."""

WORST = 0.0
"""The objective an infeasible trial is told with: bounded, and no AUROC is below it."""


@dataclass(frozen=True)
class Trial:
    """One point of a study; ``outcome`` is None while it runs.

    ``values`` are the objective's parts by step, ``objective`` is None unless the outcome is ok.
    """

    number: int
    params: Params
    outcome: str | None = None
    objective: float | None = None
    error: str | None = None
    values: Mapping[int, float] = field(default_factory=dict)


class Guide:
    """Ask, report, should_prune, tell: around one Optuna study.

    Suggestions depend on ``seed``, the trial's number and the history only, so that a resumed
    study goes on as if it had never stopped. Trials that a dead driver left running are handed out
    again, with the same number and params, before new ones.
    """

    def __init__(
        self,
        space: Space,
        *,
        storage: str | None,
        study_name: str,
        sampler: str = "TPESampler",
        pruner: str = "NopPruner",
        seed: int = 0,
        log_path: AnyPath | None = None,
        replay: Path | None = None,
    ) -> None:
        """Open the study, or make it.

        Args:
            space: where params come from.
            storage: an Optuna URL; None keeps the study in memory, made anew from ``log_path``
                if a log is there.
            study_name: its name in ``storage``.
            sampler: an Optuna sampler, ``TPESampler`` or ``TPESampler(n_startup_trials=4)``.
            pruner: an Optuna pruner, written alike.
            seed: of the suggestions, at least 0.
            log_path: JSON lines of what was asked, reported and told.
            replay: such a log; its params are handed out in its order before anything new.

        Raises:
            ConfigError: an unknown sampler or pruner, arguments it does not take, or a replay
                whose params are not in ``space``.
            BackendError: the storage cannot be used.
            StoreError: there is no storage, and the log is damaged.
        """
        self._space, self._seed, self._log_path = space, seed, log_path
        self._sampler, self._storage = sampler, storage
        self._is_served = _is_served(storage)
        self._recorded = read_replay(replay, space) if replay else []
        make_sampler(sampler, seed, conditional=space.is_conditional)
        self._study = _open_study(storage, study_name, make_pruner(pruner))
        self._live: dict[int, optuna.Trial] = {}
        if storage is None:
            self._restore()
        else:
            self._write_up()

    def ask(self) -> Trial:
        """The next trial to run.

        Raises:
            BackendError: the storage is away for too long; so do all that use it.
        """
        number, params = self._outlasting(self._ask)
        self._log(event="ask", number=number, params=params)
        return Trial(number, params, values=_values(self._stored()[number]))

    def _ask(self) -> tuple[int, Params]:
        """An abandoned trial, such as one that the storage broke off here, or else a new one."""
        import optuna
        from optuna.trial import TrialState

        running = [t for t in self._stored() if t.state == TrialState.RUNNING]
        abandoned = [t for t in running if t.number not in self._live]
        if abandoned:
            number = abandoned[0].number
            self._study.sampler = self._sampler_for(number, abandoned[0].params)
            trial = optuna.Trial(self._study, abandoned[0]._trial_id)
            if not self._is_complete(abandoned[0].params):
                # Drawn anew as a whole: a part alone would leave the others to other draws.
                trial._cached_frozen_trial.params = {}
                trial._cached_frozen_trial.distributions = {}
        else:
            number = len(self._stored())
            self._study.sampler = self._sampler_for(number, {})
            trial = self._study.ask()
        params = self._space.suggest(trial)
        self._live[number] = trial
        return number, params

    def report(self, number: int, step: int, value: float) -> None:
        """Note a part of a running trial's objective; a step that was reported stays as it is."""
        trial = self._live[number]
        if step not in self._stored()[number].intermediate_values:
            self._outlasting(lambda: trial.report(value, step))
            self._log(event="report", number=number, step=step, value=value)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner would end this trial after what was reported."""
        return self._outlasting(self._live[number].should_prune)

    def tell(
        self, number: int, outcome: str, objective: float | None = None, error: str | None = None
    ) -> None:
        """End a trial as what it is.

        Args:
            number: of a trial that ``ask`` gave.
            outcome: one of ``OUTCOMES``. Diverged and out-of-memory trials become infeasible
                points that the sampler learns from; pruned ones are told as pruned; failed ones
                are left out of what the sampler sees.
            objective: finite, for the outcome ok only.
            error: what went wrong.

        Raises:
            ConfigError: an unknown outcome.
        """
        if outcome not in OUTCOMES:
            raise unknown("outcome", outcome, OUTCOMES)
        if outcome == "ok" and (objective is None or not math.isfinite(objective)):
            outcome, error = "failed", f"the objective is not finite, got {objective}"
        trial = self._live[number]
        self._outlasting(lambda: self._tell(trial, outcome, objective, error))
        del self._live[number]
        told = objective if outcome == "ok" else None
        self._log(event="tell", number=number, outcome=outcome, objective=told, error=error)

    def _tell(
        self, trial: optuna.Trial, outcome: str, objective: float | None, error: str | None
    ) -> None:
        """May be broken off anywhere, and done again from its beginning."""
        from optuna.trial import TrialState

        if self._stored()[trial.number].state.is_finished():
            return
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("error", error)
        with warnings.catch_warnings():
            # It warns where it was set before this was broken off.
            warnings.simplefilter("ignore")
            # Every feasible trial says so too: TPE compares the constraints of all trials.
            trial.set_constraint("trains", 1.0 if outcome in INFEASIBLE else 0.0)
        if outcome == "ok":
            self._study.tell(trial, objective)
        elif outcome in INFEASIBLE:
            self._study.tell(trial, WORST)
        else:
            state = TrialState.PRUNED if outcome == "pruned" else TrialState.FAIL
            self._study.tell(trial, state=state)

    @property
    def space(self) -> Space:
        """Where params come from."""
        return self._space

    @property
    def asked(self) -> int:
        """How many trials were ever handed out."""
        return len(self._stored())

    def finished(self) -> list[Trial]:
        """All trials that have ended, by number."""
        return [self._read(t) for t in self._stored() if t.state.is_finished()]

    def best(self) -> Trial | None:
        """The ok trial with the highest objective, the first of equals; None if there is none."""
        ok = [trial for trial in self.finished() if trial.outcome == "ok"]
        return max(ok, key=lambda trial: trial.objective or WORST, default=None)

    def _stored(self) -> list[optuna.trial.FrozenTrial]:
        return self._outlasting(lambda: self._study.get_trials(deepcopy=False))

    def _outlasting(self, act: Callable[[], T]) -> T:
        """What ``act`` gives, once a database server that is away has come back.

        Raises:
            BackendError: it stays away, or the study's own file cannot be used.
        """
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        started, pause = time.monotonic(), FIRST_PAUSE_SECONDS
        while True:
            try:
                return act()
            except (StorageInternalError, SQLAlchemyError) as error:
                waited = time.monotonic() - started
                if not self._is_served or waited > OUTAGE_SECONDS:
                    raise _unusable(self._storage, error.__cause__ or error) from error
                if pause < LAST_PAUSE_SECONDS <= 2 * pause:
                    place = without_secrets(self._storage or "")
                    logger.warning("the study's storage '%s' is away; waiting for it", place)
                time.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE_SECONDS)

    def _restore(self) -> None:
        """Make the study in memory what its log says."""
        rows = [] if self._log_path is None else read_rows(self._log_path)
        log, self._log_path = self._log_path, None
        for row in rows:
            number = row["number"]
            if number > self.asked:
                raise StoreError(
                    f"'{log}' is damaged: trial {number} stands in it and trial {self.asked} does "
                    "not; give another --out"
                )
            if row["event"] == "ask" and number == self.asked:
                self._study.sampler = _recorded_sampler(row["params"])
                self._live[number] = self._study.ask()
                self._space.suggest(self._live[number])
            elif row["event"] == "report":
                self.report(number, row["step"], row["value"])
            elif row["event"] == "tell" and number in self._live:
                self.tell(number, row["outcome"], row["objective"], row["error"])
        self._live.clear()
        self._log_path = log

    def _write_up(self) -> None:
        """Log what the storage knows, and a driver that died did not come to log or a damaged
        log has lost.
        """
        if self._log_path is None:
            return
        rows = read_rows(self._log_path)
        # Without the lines that a driver that was killed has torn.
        keep_rows(self._log_path, lambda row: True)
        asked, told = ({r["number"] for r in rows if r["event"] == e} for e in ("ask", "tell"))
        # Without any log these trials were another folder's.
        for trial in self.finished() if rows else []:
            if trial.number not in asked:
                self._log(event="ask", number=trial.number, params=trial.params)
            if trial.number not in told:
                ending = {"outcome": trial.outcome, "objective": trial.objective}
                self._log(event="tell", number=trial.number, **ending, error=trial.error)

    def _sampler_for(self, number: int, stored: Params) -> optuna.samplers.BaseSampler:
        """A new one for each trial: a sampler's own random state would not survive a restart."""
        import numpy as np

        if number < len(self._recorded):
            return _recorded_sampler(self._recorded[number])
        if stored and self._is_complete(stored):
            return _recorded_sampler(stored)
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        return make_sampler(self._sampler, seed, conditional=self._space.is_conditional)

    def _is_complete(self, stored: Params) -> bool:
        import optuna

        try:
            self._space.suggest(optuna.trial.FixedTrial(stored))
        except ValueError:
            return False
        return True

    def _read(self, stored: optuna.trial.FrozenTrial) -> Trial:
        import optuna

        outcome = stored.user_attrs.get("outcome", "failed")
        return Trial(
            number=stored.number,
            params=self._space.suggest(optuna.trial.FixedTrial(stored.params)),
            outcome=outcome,
            objective=stored.value if outcome == "ok" else None,
            error=stored.user_attrs.get("error"),
            values=_values(stored),
        )

    def _log(self, **row: Any) -> None:
        if self._log_path is not None:
            append_rows(self._log_path, [row])


def _values(stored: optuna.trial.FrozenTrial) -> dict[int, float]:
    return dict(sorted(stored.intermediate_values.items()))


def read_replay(path: Path, space: Space) -> list[Params]:
    """The params in a log, in the order in which they were first asked for.

    Raises:
        ConfigError: no such log, or params that ``space`` does not hold.
    """
    asked: dict[int, Params] = {}
    for row in read_rows(path):
        if row.get("event") == "ask":
            asked.setdefault(row["number"], row["params"])
    if not asked:
        raise ConfigError(f"'{path}' holds no trials to replay; give a study's log.jsonl")
    for number, params in asked.items():
        if not space.contains(params):
            raise ConfigError(
                f"'{path}' cannot be replayed: trial {number} has {params}, which is not in the "
                "search space; give the space that the log was made with"
            )
    if sorted(asked) != list(range(len(asked))):
        raise ConfigError(f"'{path}' cannot be replayed: it is damaged, some trials are missing")
    return [asked[number] for number in sorted(asked)]


def make_sampler(text: str, seed: int, *, conditional: bool) -> optuna.samplers.BaseSampler:
    """The Optuna sampler that ``text`` names, with ``seed`` where it takes one.

    Raises:
        ConfigError: there is none of this name, or it does not take these arguments.
    """
    from optuna import samplers

    # Without groups, TPE samples params under a condition one by one and blind to each other.
    defaults = {"seed": seed, "group": conditional}
    sampler: samplers.BaseSampler = _make("sampler", text, samplers, defaults)
    return sampler


def make_pruner(text: str) -> optuna.pruners.BasePruner:
    """The Optuna pruner that ``text`` names.

    Raises:
        ConfigError: there is none of this name, or it does not take these arguments.
    """
    from optuna import pruners

    pruner: pruners.BasePruner = _make("pruner", text, pruners, {})
    return pruner


def _make(kind: str, text: str, module: Any, defaults: Mapping[str, Any]) -> Any:
    """An object of ``module`` from ``Name`` or ``Name(key=literal, ...)``."""
    import inspect

    name, arguments = _parse(kind, text)
    suffix = kind.capitalize()
    names = [n for n in module.__all__ if n.endswith(suffix) and not n.startswith("Base")]
    if name not in names:
        raise unknown(kind, name, names)
    factory = getattr(module, name)
    takes = inspect.signature(factory).parameters
    given = {key: value for key, value in defaults.items() if key in takes} | arguments
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return factory(**given)
    except (TypeError, ValueError, ImportError) as error:
        line = str(error).splitlines()[0]
        raise ConfigError(
            f"{kind} '{text}' cannot be made: {line} (arguments: {name}(key=value))"
        ) from error


def _parse(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of ``Name`` or ``Name(key=literal, ...)``."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        pass
    raise ConfigError(f"{kind} must be written Name or Name(key=value, ...), got '{text}'")


def _recorded_sampler(params: Params) -> optuna.samplers.BaseSampler:
    import optuna

    class Recorded(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: Any
        ) -> Any:
            return params[param_name]

    return Recorded()


class _QuickConnection(sqlite3.Connection):
    """Optuna commits for every param; without this each commit waits for the disk."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def _open_study(storage: str | None, name: str, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=_storage(storage),
            study_name=name,
            pruner=pruner,
            direction="maximize",
            load_if_exists=True,
        )
    except (
        SQLAlchemyError,
        ImportError,
        ValueError,
        optuna.exceptions.StorageInternalError,
    ) as error:
        raise _unusable(storage, error) from error


def _storage(storage: str | None) -> optuna.storages.BaseStorage | None:
    import optuna

    from omasgan.study.sole import SoleStorage

    if storage is None:
        return None
    # Connections that a server has lost are noticed before they are used.
    options: dict[str, Any] = {"pool_pre_ping": True}
    if not _is_served(storage):
        options = {"connect_args": {"factory": _QuickConnection}}
    return SoleStorage(optuna.storages.RDBStorage(storage, engine_kwargs=options))


def _is_served(storage: str | None) -> bool:
    """Whether a study lies with a server, not in memory or in a file of its own."""
    return storage is not None and not storage.startswith("sqlite:")


def _unusable(storage: str | None, error: BaseException) -> BackendError:
    line = str(error).splitlines()[0]
    text = f"cannot use the study in storage '{storage}': {line}"
    if _is_served(storage):
        text += "; start its server, or name another with --storage"
    return BackendError(without_secrets(text))
