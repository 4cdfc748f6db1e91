"""Which stages the trials of a study can share: what its detector and its space say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from omasgan import detectors
from omasgan.detectors.base import Beginning, IterativeDetector
from omasgan.errors import ConfigError, unknown
from omasgan.study.groups import Sharing
from omasgan.study.probed import largest
from omasgan.study.space import Space


def sharing(n_trials: int, detector: str, space: Space, until: str | None = None) -> Sharing:
    """Return how ``n_trials`` trials of a detector at a time share what it trains until the end of
    a phase, by default the last one behind which ``space`` varies something.

    Raises:
        ConfigError: there are fewer than 2 trials, nothing that can be shared, nothing varied
            behind it, or no such phase.
    """
    if n_trials < 2:
        raise ConfigError(f"trials that share stages must be at least 2, got {n_trials}")
    ends = _beginnings(detector, space)
    if not ends:
        raise ConfigError(
            f"trials of {detector} cannot share stages, for its params state no phases; leave out "
            "--share-stages"
        )
    phases = [end.phase for end in ends]
    if until is not None and until not in phases:
        raise unknown("phase to share until", until, phases)
    searched = {param.name for param in space.params if param.domain.size > 1}
    for end in reversed(ends):
        held = _with_parents(end.params, space) & searched
        if until in (None, end.phase) and held != searched:
            return Sharing(n_trials, end.phase, frozenset(held))
    raise ConfigError(
        f"the space varies nothing behind the phase '{until or phases[0]}', so that trials which "
        "share it would be the same; widen the space, or leave out --share-stages"
    )


def can_share(detector: str, space: Space) -> bool:
    """Return whether trials of a detector have stages that they could share."""
    return bool(_beginnings(detector, space))


def _beginnings(detector: str, space: Space) -> Sequence[Beginning]:
    known = detectors.load(detector)
    largest_one: IterativeDetector = known(**detectors.check_params(known, largest(space)))
    return largest_one.beginnings()


def _with_parents(names: Iterable[str], space: Space) -> set[str]:
    """Return ``names`` and the params under whose conditions these stand."""
    held = set(names)
    for param in reversed(space.params):
        if param.name in held:
            held |= param.parents
    return held
