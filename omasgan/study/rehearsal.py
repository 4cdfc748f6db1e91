"""A short study in memory, before one on disk is begun: whether sampler and pruner work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omasgan.errors import ConfigError, OmasganError
from omasgan.study.guide import Guide
from omasgan.study.samplers import hurried, make_pruner, make_sampler
from omasgan.training.trials import Ending

if TYPE_CHECKING:
    from omasgan.study.groups import Sharing
    from omasgan.study.space import Space

TRIALS, STEPS = 4, 2
"""How many trials there are and how often each is judged: the last ones are no longer random, and
one of them keeps params of another where trials share stages.
"""


def rehearse(space: Space, sampler: str, pruner: str, sharing: Sharing | None = None) -> None:
    """Try a sampler and a pruner on ``space``, with trials in groups if they are to share stages.

    Raises:
        ConfigError: there is none of this name, it does not take these arguments, a package is
            missing, or they cannot work on this space.
    """
    make_sampler(sampler, 0, 0, space)
    make_pruner(pruner)
    try:
        guide = Guide(
            space,
            None,
            sampler=hurried("sampler", sampler),
            pruner=hurried("pruner", pruner),
        )
        if sharing is not None:
            guide.share(sharing)
        for number in range(int(min(TRIALS, guide.limit))):
            guide.ask()
            for step in range(STEPS):
                guide.report(number, step, {"score": 0.5 + 0.1 * step})
                guide.should_prune(number)
            guide.tell(number, Ending("ok", 0.5 + 0.1 * (number % 2)))
    except OmasganError:
        raise
    except ImportError as error:
        raise ConfigError(
            f"sampler '{sampler}' with pruner '{pruner}' needs the package '{error.name}', which "
            f"is missing: pip install {error.name}"
        ) from error
    except Exception as error:  # whatever arguments from anywhere can lead to
        line = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"sampler '{sampler}' with pruner '{pruner}' cannot search this space: {line}; "
            "see Optuna's documentation of their arguments, or leave them out"
        ) from error
