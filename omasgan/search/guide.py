"""The guide: one Optuna study that hands out params, learns from outcomes and decides on pruning.

Both backends use it the same way, so a sweep is guided alike wherever it runs.
"""

from __future__ import annotations

import ast
import math
import sqlite3
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omasgan.errors import BackendError, ConfigError, unknown
from omasgan.search.space import Params, Space
from omasgan.store import append_rows, read_rows

if TYPE_CHECKING:
    import optuna

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
        log_path: Path | None = None,
        replay: Path | None = None,
    ) -> None:
        """Open the study, or make it.

        Args:
            space: where params come from.
            storage: an Optuna URL; None keeps the study in memory.
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
        """
        from optuna.trial import TrialState

        self._space, self._seed, self._log_path = space, seed, log_path
        self._sampler = sampler
        self._recorded = read_replay(replay, space) if replay else []
        make_sampler(sampler, seed, conditional=space.is_conditional)
        self._study = _open_study(storage, study_name, make_pruner(pruner))
        self._live: dict[int, optuna.Trial] = {}
        self._abandoned = [t.number for t in self._stored() if t.state == TrialState.RUNNING]

    def ask(self) -> Trial:
        """The next trial to run."""
        import optuna

        if self._abandoned:
            number = self._abandoned.pop(0)
            stored = self._stored()[number]
            self._study.sampler = self._sampler_for(number, stored.params)
            trial = optuna.Trial(self._study, stored._trial_id)
        else:
            number = len(self._stored())
            self._study.sampler = self._sampler_for(number, {})
            trial = self._study.ask()
        params = self._space.suggest(trial)
        self._live[number] = trial
        self._log(event="ask", number=number, params=params)
        return Trial(number, params, values=_values(self._stored()[number]))

    def report(self, number: int, step: int, value: float) -> None:
        """Note a part of a running trial's objective; a step that was reported stays as it is."""
        trial = self._live[number]
        if step not in self._stored()[number].intermediate_values:
            trial.report(value, step)
            self._log(event="report", number=number, step=step, value=value)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner would end this trial after what was reported."""
        return self._live[number].should_prune()

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
        from optuna.trial import TrialState

        if outcome not in OUTCOMES:
            raise unknown("outcome", outcome, OUTCOMES)
        if outcome == "ok" and (objective is None or not math.isfinite(objective)):
            outcome, error = "failed", f"the objective is not finite, got {objective}"
        trial = self._live.pop(number)
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("error", error)
        # Every feasible trial says so too: TPE compares the constraints of all trials.
        trial.set_constraint("trains", 1.0 if outcome in INFEASIBLE else 0.0)
        if outcome == "ok":
            self._study.tell(trial, objective)
        elif outcome in INFEASIBLE:
            self._study.tell(trial, WORST)
        else:
            state = TrialState.PRUNED if outcome == "pruned" else TrialState.FAIL
            self._study.tell(trial, state=state)
        told = objective if outcome == "ok" else None
        self._log(event="tell", number=number, outcome=outcome, objective=told, error=error)

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
        return self._study.get_trials(deepcopy=False)

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
    opened: Any = storage
    try:
        if storage is not None and storage.startswith("sqlite:"):
            quick = {"connect_args": {"factory": _QuickConnection}}
            opened = optuna.storages.RDBStorage(storage, engine_kwargs=quick)
        return optuna.create_study(
            storage=opened,
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
        line = str(error).splitlines()[0]
        raise BackendError(f"cannot open the study in storage '{storage}': {line}") from error
