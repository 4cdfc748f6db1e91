"""Ray Tune as the executor of a driver's trials."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray import tune
from ray.air._internal import usage
from ray.tune.execution import class_cache
from ray.tune.trainable import wrap_function

from omasgan.backends.ray import worker
from omasgan.backends.ray.attempts import cause_of_death
from omasgan.backends.ray.cluster import environment, replaced
from omasgan.backends.ray.driver import Driver
from omasgan.backends.ray.worker import TrialPayload

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C is to stop the driver, not to end all trials as if they were finished.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Tune's own state is never read again: a sweep goes on from its studies' records.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_THRESHOLD_S": "10",
    # Left to itself, Tune starts one process after the other, seconds apart.
    # How many trials there are at once is up to the driver, which suggests no more.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",
    # The newer output prints a header however quiet it is told to be.
    "RAY_AIR_NEW_OUTPUT": "0",
}

WORKERS = "TrialWorker"
"""What Ray's dashboard calls the class of the processes that train, one trial after the other."""


def carry_out(driver: Driver, payloads: Sequence[TrialPayload]) -> None:
    """Execute what ``driver`` suggests until it is finished; workers receive each search's payload
    once.

    Raises:
        Exception: what the driver's decisions have raised.
    """
    parts = [ray.put(payload) for payload in payloads]
    train = tune.with_parameters(worker.train_trial, parts=parts)
    trainable = wrap_function(tune.with_resources(train, worker.resources))
    trainable.__name__ = trainable.__qualname__ = WORKERS
    while True:
        try:
            _fit(trainable, driver)
            break
        except RuntimeError as error:
            if not isinstance(error.__cause__, ray.exceptions.OutOfMemoryError):
                raise
            # Tune gives up as a whole where a node's memory ran out.
            first, *_ = str(error.__cause__).strip().splitlines()
            driver.lose_all(f"OutOfMemoryError: {first}")
    if driver.error is not None:
        raise driver.error


def _fit(trainable: Any, driver: Driver) -> None:
    with tempfile.TemporaryDirectory() as folder, _quiet(), _plain_processes(), _uncounted():
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=Searcher(driver), num_samples=-1, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=folder,
                stop=Stopper(driver),
                callbacks=[Callback(driver)],
                verbose=0,
            ),
        ).fit()


class Searcher(tune.search.Searcher):  # type: ignore[misc]
    """Tune asks, the driver answers."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._driver.is_finished:
            return str(tune.search.Searcher.FINISHED)
        config = self._driver.suggest(trial_id)
        if config is None and self._driver.is_finished:
            return str(tune.search.Searcher.FINISHED)
        return config

    def set_search_properties(self, *args: Any, **spec: Any) -> bool:
        return True

    def on_trial_complete(self, trial_id: str, *args: Any, **kwargs: Any) -> None:
        """Nothing: the callback tells the driver, since it also learns of the error."""

    def save_to_dir(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the studies keep their own records."""


class Stopper(tune.Stopper):  # type: ignore[misc]
    """Tune tells every result, the driver says whether the trial goes on."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._driver.enter(trial_id, result)

    def stop_all(self) -> bool:
        return self._driver.error is not None


class Callback(tune.Callback):  # type: ignore[misc]
    """Tune tells that a trial has ended, and of what."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        actor = trial.temporary_state.ray_actor
        actor.train = NamedMethod(actor, "train", self._driver.name(trial.trial_id))

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self._driver.watch(trials)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._driver.end(trial.trial_id)
        # Tune keeps figures of its own with every trial that nobody reads, 15 KB each.
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._driver.end(trial.trial_id, cause_of_death(trial.get_error()))


class NamedMethod:
    """An actor's method whose calls have a name, which Ray's dashboard and the title of the
    process show while they last.

    It is made to stand in the actor's handle, where Tune finds it in the place of the method.
    """

    def __init__(self, actor: Any, method: str, name: str) -> None:
        # A handle that held itself would end its process late.
        self._actor, self._method, self._name = weakref.ref(actor), method, name

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        actor: Any = self._actor()
        # Past the handle's own attributes, of which this is one.
        method = type(actor).__getattr__(actor, self._method)
        return method.options(name=self._name).remote(*args, **kwargs)


@contextlib.contextmanager
def _plain_processes() -> Iterator[None]:
    """Let Tune ask for processes without an environment of their own, such as Ray starts ahead:
    all that it would set there is a variable for PyTorch Lightning.
    """
    variables = class_cache.DEFAULT_ENV_VARS
    before = dict(variables)
    variables.clear()
    try:
        yield
    finally:
        variables.update(before)


@contextlib.contextmanager
def _uncounted() -> Iterator[None]:
    """Keep Tune from counting kinds of callbacks for Ray's statistics of usage: it would import
    MLflow for that, two seconds before the first trial.
    """
    with replaced(usage, tag_callbacks=lambda callbacks: False):
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Apply ``_SETTINGS``, which Tune reads from the environment, and let it log nothing."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with environment(_SETTINGS):
            yield
    finally:
        logger.setLevel(level)
