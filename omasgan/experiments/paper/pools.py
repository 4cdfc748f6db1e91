"""The configurations of a pool: what rules choose from, all with the params that they train with.

The n-th configuration depends on the space and on n alone, so that a larger pool holds a smaller
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omasgan import config, detectors
from omasgan.experiments.paper.suites import Budget, Pool
from omasgan.study.space import STAGE, Params, Space

SAMPLER = "RandomSampler"


def tasks_of_fold(pool: Pool) -> int:
    """Return how many trainings judge a configuration in one fold."""
    return sum(pool.inner if rule == "nested" else 1 for rule in pool.rules)


def space_of(pool: Pool, budget: Budget) -> Space:
    """Return where the configurations are drawn: the detector's shipped space with what suite and
    budget replace in it.

    Raises:
        ConfigError: no space is shipped, or it does not fit the detector.
    """
    shipped = config.load_toml(config.resource("search_spaces", pool.detector))
    stages = {STAGE: {"choices": list(pool.stages)}} if pool.stages else {}
    tables = {**shipped, **pool.space, **budget.space, **stages}
    space = Space.from_dict({**budget.params.get(pool.detector, {}), **tables})
    space.check(detectors.declared(pool.detector))
    return space


def configurations(pool: Pool, budget: Budget, n: int) -> Iterator[tuple[Params, Params]]:
    """Yield all params of ``n`` configurations, and those of them that the space searches. The
    first are the defaults, with what budget and space fix.

    Raises:
        ConfigError: the space does not hold the defaults.
    """
    from omasgan.study.guide import Guide  # loads Optuna

    space, detector = space_of(pool, budget), detectors.declared(pool.detector)
    base: dict[str, Any] = {STAGE: pool.stages[0]} if pool.stages else {}
    base |= budget.params.get(pool.detector, {})
    defaults = space.within(detectors.check_params(detector, base))
    guide = Guide(space, None, sampler=SAMPLER, replay=[defaults])
    for _ in range(n):
        drawn = guide.ask().params
        yield detectors.check_params(detector, {**base, **drawn}), space.within(drawn)
