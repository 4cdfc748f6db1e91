"""Copies of studies in a database that goes away and comes back."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from omasgan.errors import BackendError, StoreError
from omasgan.study.guide import Guide
from omasgan.study.storage_copy import StorageCopies
from omasgan.training.trials import Ending
from tests.study.closed_form import advance, end, make


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omasgan.study.storage_copy.RETRY_SECONDS", 0.01)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'copy.db'}"


def copied(folder: Path, name: str = "mine") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=url(folder)).trials


def alike(folder: Path, guide: Guide) -> bool:
    """Whether the copy holds the same trials as the record."""

    def facts(trial: optuna.trial.FrozenTrial) -> tuple[object, ...]:
        return (
            trial.number, trial.state, trial.values, trial.params, trial.distributions,
            trial.user_attrs, trial.system_attrs, trial.intermediate_values,
        )  # fmt: skip

    return list(map(facts, copied(folder))) == list(map(facts, guide.stored()))


class Outages:
    """A server's outages: its calls fail while it is ``away``, half of them once they are done."""

    def __init__(self, patch: pytest.MonkeyPatch, seed: int = 0) -> None:
        self.away = 0.0
        self.failures = 0
        self._random = random.Random(seed)
        for name in ("add_trial", "get_trials"):
            self._interrupt(patch, name)

    def _interrupt(self, patch: pytest.MonkeyPatch, name: str) -> None:
        act = getattr(optuna.Study, name)

        def call(study: optuna.Study, *args: object, **kwargs: object) -> object:
            # The record's study is none of the server's.
            away = self.away if type(study) is optuna.Study else 0.0
            fate = self._random.random()
            self.failures += fate < away
            if fate < away / 2:
                raise StorageInternalError("the server is away")
            done = act(study, *args, **kwargs)
            if fate < away:
                raise StorageInternalError("the connection was lost")
            return done

        patch.setattr(optuna.Study, name, call)


def test_ended_trials_are_copied_as_they_are(tmp_path: Path) -> None:
    guide = make(tmp_path / "study")
    with StorageCopies() as copies:
        copies.add(url(tmp_path), "mine", guide)
        for outcome in ("ok", "pruned", "diverged", "failed"):
            guide.ask()
            guide.report(guide.n_asked - 1, 0, {"score": 0.5})
            guide.tell(guide.n_asked - 1, Ending(outcome, 0.5, error="none"))
            copies.update()
        copies.finish()
    assert alike(tmp_path, guide)


def test_a_trial_that_runs_holds_back_those_after_it_and_their_numbers_stay(
    tmp_path: Path,
) -> None:
    guide = make(tmp_path / "study")
    with StorageCopies() as copies:
        copies.add(url(tmp_path), "mine", guide)
        trials = [guide.ask() for _ in range(3)]
        for number in (2, 0):
            end(guide, trials[number])
        copies.finish()
        assert [trial.number for trial in copied(tmp_path)] == [0]
    with StorageCopies() as copies:
        copies.add(url(tmp_path), "mine", guide)
        end(guide, trials[1])
        copies.finish()
    assert alike(tmp_path, guide)


@pytest.mark.parametrize("seed", range(3))
def test_a_server_that_goes_away_anywhere_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    guide = make(tmp_path / "study")
    with monkeypatch.context() as patch, StorageCopies() as copies:
        copies.add(url(tmp_path), "mine", guide)
        outages = Outages(patch, seed)
        outages.away = 0.4
        for _ in range(12):
            advance(guide, 1)
            copies.update()
            time.sleep(0.01)
        copies.finish()
    assert outages.failures > 3
    assert alike(tmp_path, guide)


def test_a_server_that_is_away_holds_nothing_up_and_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    guide = make(tmp_path / "study")
    hung, back = threading.Event(), threading.Event()
    add = optuna.Study.add_trial

    def stalled(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        hung.set()
        assert back.wait(60)
        add(study, trial)

    with monkeypatch.context() as patch, StorageCopies() as copies:
        copies.add(url(tmp_path), "mine", guide)
        patch.setattr(optuna.Study, "add_trial", stalled)
        advance(guide, 1)
        copies.update()
        assert hung.wait(60)
        # The connection hangs, and the study goes on.
        advance(guide, 5)
        copies.update()
        assert copied(tmp_path) == []
        back.set()
        copies.finish()
    assert alike(tmp_path, guide)
    with monkeypatch.context() as patch, StorageCopies() as copies:
        copies.add(url(tmp_path), "mine", guide)
        outages = Outages(patch)
        outages.away = 1.0
        advance(guide, 2)
        copies.update()
        waiter = threading.Thread(target=copies.finish)
        waiter.start()
        while outages.failures < 3:
            time.sleep(0.01)
        assert waiter.is_alive()
        outages.away = 0.0
        waiter.join(60)
    assert alike(tmp_path, guide)
    assert [r.levelname for r in caplog.records].count("WARNING") == 1


def test_a_server_that_stays_away_is_told_at_the_end_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("omasgan.study.storage_copy.OUTAGE_SECONDS", 0.05)
    guide = make(tmp_path / "study")
    address = f"sqlite:///file:{tmp_path}/copy.db?uri=true&password=hush"
    with StorageCopies() as copies:
        copies.add(address, "mine", guide)
        with monkeypatch.context() as patch:
            Outages(patch).away = 1.0
            advance(guide, 2)
            message = (
                r"cannot reach the storage 'sqlite:.*password=\*\*\*': the (server|connec).*"
                "; the results are kept, and the same command sends them"
            )
            with pytest.raises(BackendError, match=message):
                copies.finish()
    assert "hush" not in caplog.text
    with StorageCopies() as copies:
        copies.add(address, "mine", guide)
        copies.finish()
    assert alike(tmp_path, guide)


def test_what_goes_wrong_in_the_thread_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> object:
        raise ValueError("a bug")

    with StorageCopies() as copies:
        copies.add(url(tmp_path), "mine", make(tmp_path / "study"))
        guide = make(tmp_path / "other")
        copies.add(url(tmp_path), "theirs", guide)
        monkeypatch.setattr(optuna.Study, "add_trial", broken)
        advance(guide, 1)
        copies.update()
        with pytest.raises(BackendError, match=r"cannot reach the storage .*: a bug"):
            copies.finish()
        copies.update()


def test_another_study_under_the_name_is_refused(tmp_path: Path) -> None:
    with StorageCopies() as copies:
        guide = make(tmp_path / "a", seed=1)
        advance(guide, 2)
        copies.add(url(tmp_path), "mine", guide)
        copies.finish()
    other = make(tmp_path / "b", seed=2)
    for own in (0, 2):
        advance(other, own)
        message = rf"holds another study under the name 'mine' \(2 trials, {own} here\); give"
        with pytest.raises(StoreError, match=message), StorageCopies() as copies:
            copies.add(url(tmp_path), "mine", other)
    assert len(copied(tmp_path)) == 2


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sqlite:////absent/folder/copy.db", "cannot use the storage '.*': .*unable to open"),
        ("nonsense", "cannot use the storage 'nonsense': "),
        ("redis://localhost/0", "cannot use the storage 'redis://localhost/0': "),
        ("mysql+nodriver://ann:pw@db/x", r"cannot use the storage 'mysql\+nodriver://\*\*\*@db/x"),
    ],
)
def test_an_unusable_storage_is_told_in_one_line(address: str, message: str) -> None:
    with StorageCopies() as copies, pytest.raises(BackendError, match=message) as caught:
        copies.open(address)
    assert "\n" not in str(caught.value)


def test_without_a_storage_nothing_is_waited_for() -> None:
    with StorageCopies() as copies:
        copies.update()
        copies.finish()
