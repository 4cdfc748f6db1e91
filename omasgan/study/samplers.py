"""Optuna's samplers and pruners by name, checked before a study is touched."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from omasgan.errors import ConfigError, unknown

if TYPE_CHECKING:
    from omasgan.study.space import Params, Space

KEEP_THEIR_SEED = frozenset({"GridSampler", "BruteForceSampler", "QMCSampler", "CmaEsSampler"})
"""Samplers that keep their state in the study and go on from it: a grid or a sequence is one only
under one seed.
"""

EXTRAS = {"CmaEsSampler": "cmaes"}
"""Packages that a sampler needs and that are not installed with this one."""

REHEARSED = 3
"""How many trials of a study in memory a sampler and a pruner must survive."""


class AskTellStudy(optuna.Study):
    """A study that is asked and told from outside; its sampler may say that nothing is left."""

    has_stopped = False

    def stop(self) -> None:
        """Note that the sampler has handed out all there is."""
        self.has_stopped = True


def open_study(
    storage: optuna.storages.BaseStorage, name: str, pruner: optuna.pruners.BasePruner
) -> AskTellStudy:
    """Return the study called ``name``, which maximises its objective; begin it if need be."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )
    return AskTellStudy(name, storage, pruner=pruner)


def make_sampler(text: str, seed: int, *, conditional: bool) -> optuna.samplers.BaseSampler:
    """Return the Optuna sampler that ``text`` names (``Name`` or ``Name(key=literal, ...)``), with
    ``seed`` where it takes one.

    Raises:
        ConfigError: there is none of this name, or it does not take these arguments.
    """
    from optuna import samplers

    # Without groups, TPE samples params under a condition one by one and blind to each other.
    defaults = {"seed": seed, "group": conditional}
    sampler: samplers.BaseSampler = _make("sampler", text, samplers, defaults)
    return sampler


def make_pruner(text: str) -> optuna.pruners.BasePruner:
    """Return the Optuna pruner that ``text`` names.

    Raises:
        ConfigError: there is none of this name, or it does not take these arguments.
    """
    from optuna import pruners

    pruner: pruners.BasePruner = _make("pruner", text, pruners, {})
    return pruner


def seed_of_trial(sampler: str, seed: int, number: int) -> int:
    """Return the seed that ``sampler`` draws the trial ``number`` with: its own for each trial,
    since a sampler's random state would not survive a restart.
    """
    if _parse("sampler", sampler)[0] in KEEP_THEIR_SEED:
        return seed
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def rehearse(space: Space, sampler: str, pruner: str, seed: int) -> None:
    """Try sampler and pruner on a short study in memory, before a study on disk is begun.

    Raises:
        ConfigError: they cannot work on this space.
    """
    study = open_study(optuna.storages.InMemoryStorage(), "rehearsal", make_pruner(pruner))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number in range(REHEARSED):
                study.sampler = make_sampler(
                    sampler,
                    seed_of_trial(sampler, seed, number),
                    conditional=space.is_conditional,
                )
                trial = study.ask()
                space.suggest(trial)
                trial.report(0.5, 0)
                trial.should_prune()
                study.tell(trial, 0.5)
                if study.has_stopped:
                    break
    except ConfigError:
        raise
    except Exception as error:  # whatever arguments from anywhere can lead to
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"sampler '{sampler}' with pruner '{pruner}' cannot search this space: {line}; "
            "see Optuna's documentation of their arguments, or leave them out"
        ) from error


def replaying(params: Params) -> optuna.samplers.BaseSampler:
    """Return a sampler that hands out ``params``."""

    class Replaying(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: Any
        ) -> Any:
            return params[param_name]

    return Replaying()


def _make(kind: str, text: str, module: Any, defaults: Mapping[str, Any]) -> Any:
    """Return an object of ``module``."""
    name, arguments = _parse(kind, text)
    suffix = kind.capitalize()
    names = [n for n in module.__all__ if n.endswith(suffix) and not n.startswith("Base")]
    if name not in names:
        raise unknown(kind, name, names)
    factory = getattr(module, name)
    parameters = inspect.signature(factory).parameters
    arguments = {key: v for key, v in defaults.items() if key in parameters} | arguments
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return factory(**arguments)
    except ImportError as error:
        package = EXTRAS.get(name, str(error.name))
        raise ConfigError(
            f"{kind} '{name}' needs a package that is missing: pip install {package}"
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        line = str(error).splitlines()[0]
        raise ConfigError(
            f"{kind} '{text}' cannot be made: {line} (arguments: {name}(key=value))"
        ) from error


def _parse(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of ``Name`` or ``Name(key=literal, ...)``."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        pass
    raise ConfigError(f"{kind} must be written Name or Name(key=value, ...), got '{text}'")
