"""Optuna's samplers and pruners by name, with literal arguments that are checked."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import inspect
import math
import sys
import typing
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from omasgan.errors import ConfigError, StoreError, unknown
from omasgan.study.pruners import TaskPercentilePruner

if TYPE_CHECKING:
    from omasgan.study.space import Params, Space

KEEP_THEIR_SEED = frozenset({"GridSampler", "QMCSampler"})
"""Samplers whose trials are points of one order or sequence, which the seed decides."""

HOLDS_NOTHING = frozenset({"BruteForceSampler", "CmaEsSampler", "GridSampler", "QMCSampler"})
"""Samplers of whole points: they have an order of their own, or learn from no others."""

NEEDS = {"PartialFixedSampler": "fix the params in the search space instead"}
"""Samplers that need arguments which are no literals, and what to do instead."""

STARTUP = {"n_startup_trials": 2, "population_size": 2}
"""Arguments that put off what a sampler or pruner is for, and values that don't."""


class AskTellStudy(optuna.Study):
    """A study that is asked and told from outside; its sampler may say that nothing is left."""

    has_stopped = False

    def stop(self) -> None:
        """Note that the sampler has handed out all there is."""
        self.has_stopped = True


def open_study(
    storage: optuna.storages.BaseStorage, name: str, pruner: optuna.pruners.BasePruner
) -> AskTellStudy:
    """Return the study called ``name``, which maximises its objective; begin it if need be.

    Raises:
        StoreError: the storage holds another study.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = optuna.get_all_study_names(storage)
    if not names:
        optuna.create_study(storage=storage, study_name=name, direction="maximize")
    elif name not in names:
        raise StoreError(
            f"the record of study '{name}' is that of '{names[0]}'; give another --out"
        )
    return AskTellStudy(name, storage, pruner=pruner)


def make_sampler(text: str, seed: int, number: int, space: Space) -> optuna.samplers.BaseSampler:
    """Return the Optuna sampler that ``text`` names, which draws the trial ``number`` of a study
    with ``seed``.

    The random state of a sampler would not survive a restart, so that each trial has a sampler of
    its own, with a seed of its own. Whatever else samplers know they read from the study.

    Args:
        text: ``Name`` or ``Name(key=literal, ...)``.
        seed: of the study.
        number: of the trial.
        space: where the params come from.

    Raises:
        ConfigError: there is none of this name, or it does not take these arguments.
    """
    name, arguments = _parse("sampler", text)
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    defaults = {
        "seed": seed if name in KEEP_THEIR_SEED else own,
        "independent_sampler": optuna.samplers.RandomSampler(own),
        # Without groups, TPE samples params under a condition one by one and blind to each other.
        "group": space.is_conditional and arguments.get("multivariate") is not False,
    }
    sampler: optuna.samplers.BaseSampler = _make("sampler", name, arguments, defaults)
    if name == "GridSampler":
        _check_grid(arguments["search_space"], space)
    return sampler


def make_pruner(text: str) -> optuna.pruners.BasePruner:
    """Return the Optuna pruner that ``text`` names.

    Raises:
        ConfigError: there is none of this name, or it does not take these arguments.
    """
    pruner: optuna.pruners.BasePruner = _make("pruner", *_parse("pruner", text), {})
    return pruner


def n_different(text: str, space: Space) -> float:
    """Return how many trials the sampler ``text`` has different params for; inf if it draws
    without an end, or says itself when it has come to it.
    """
    name, arguments = _parse("sampler", text)
    if name == "GridSampler":
        return math.prod(len(values) for values in arguments["search_space"].values())
    if name == "BruteForceSampler" and not arguments.get("avoid_premature_stop"):
        return space.size
    return math.inf


def check_holding(text: str) -> None:
    """Check that the sampler ``text`` can draw some params while others are given.

    Raises:
        ConfigError: it cannot.
    """
    name, _ = _parse("sampler", text)
    if name in HOLDS_NOTHING:
        raise ConfigError(
            f"{name} draws all params of a trial or none, but --share-stages holds some of them; "
            "use TPESampler, RandomSampler, GPSampler or NSGAIISampler, or leave it out"
        )


def holding(sampler: optuna.samplers.BaseSampler, params: Params) -> optuna.samplers.BaseSampler:
    """Return a sampler that hands out ``params`` and draws the others as ``sampler`` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.samplers.PartialFixedSampler(params, sampler)


def has_first_trial(text: str) -> bool:
    """Return whether the sampler ``text`` allows no first trial but its own."""
    return _parse("sampler", text)[0] == "GridSampler"


def hurried(kind: str, text: str) -> str:
    """Return ``text`` with arguments that make the sampler or pruner do at once what it is for.

    >>> hurried("pruner", "MedianPruner(n_warmup_steps=1)")
    'MedianPruner(n_warmup_steps=1, n_startup_trials=2)'
    """
    name, arguments = _parse(kind, text)
    parameters = inspect.signature(_find(kind, name)).parameters
    arguments |= {key: value for key, value in STARTUP.items() if key in parameters}
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


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


def _make(kind: str, name: str, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Return the sampler or pruner ``name``, with those of ``defaults`` that it takes."""
    factory = _find(kind, name)
    parameters = inspect.signature(factory).parameters
    more = {key: value for key, value in defaults.items() if key in parameters}
    try:
        _check_types(factory, arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return factory(**{**more, **arguments})
    except (TypeError, ValueError, AttributeError) as error:
        line = str(error).splitlines()[0].rstrip(".")
        remedy = NEEDS.get(name, f"arguments are written {name}(key=value)")
        raise ConfigError(f"{kind} '{name}' cannot be made: {line}; {remedy}") from error


def _find(kind: str, name: str) -> Any:
    """Return the class ``name`` of Optuna's samplers or pruners, or our own pruner.

    Raises:
        ConfigError: there is none.
    """
    module = optuna.samplers if kind == "sampler" else optuna.pruners
    suffix = kind.capitalize()
    names = [n for n in module.__all__ if n.endswith(suffix) and not n.startswith("Base")]
    classes = {n: getattr(module, n) for n in names}
    if kind == "pruner":
        classes["TaskPercentilePruner"] = TaskPercentilePruner
    if name not in classes:
        raise unknown(kind, name, classes)
    return classes[name]


def _check_types(factory: Any, arguments: Mapping[str, Any]) -> None:
    """Check arguments against the annotations of ``factory``.

    Raises:
        TypeError: an argument is of another type.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    parameters = inspect.signature(factory).parameters
    for name in arguments.keys() & parameters.keys():
        annotation = _resolve(parameters[name].annotation, factory)
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        try:
            adapter.validate_python(arguments[name], strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise TypeError(f"{name}: {reason}, got {arguments[name]!r}") from error


class _Names(dict[str, Any]):
    """What annotations name; what Optuna imports for type checkers only is a class without
    instances, which no literal is.
    """

    def __missing__(self, name: str) -> type:
        return type(name, (), {})


def _resolve(annotation: Any, factory: Any) -> Any:
    """Return an annotation of ``factory`` as an object."""
    if not isinstance(annotation, str):
        return Any if annotation is inspect.Parameter.empty else annotation
    modules = (builtins, typing, collections.abc, sys.modules[factory.__module__])
    names = _Names({name: value for module in modules for name, value in vars(module).items()})
    return eval(annotation, {}, names)


def _check_grid(grid: Mapping[str, Sequence[Any]], space: Space) -> None:
    """Check that a grid has values of the space for each param that the space leaves open.

    Raises:
        ConfigError: it has not.
    """
    searched = {param.name: param.domain for param in space.params if param.domain.size > 1}
    for name, values in grid.items():
        if name not in searched:
            raise unknown("param of the grid", name, searched)
        for value in values:
            if not searched[name].contains(value):
                raise ConfigError(
                    f"the grid's {name} = {value!r} is not in the search space, which has "
                    f"{searched[name].to_dict()}; widen the space, or leave it out of the grid"
                )
    for name in searched:
        if not grid.get(name):
            raise ConfigError(f"the grid has no value of '{name}', which the space searches")


def _parse(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of ``Name`` or ``Name(key=literal, ...)``.

    Raises:
        ConfigError: it is not written so.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        pass
    raise ConfigError(f"{kind} must be written Name or Name(key=value, ...), got '{text}'")
