"""The folder of one study: what makes it the same study, its record and its winner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from omasgan import detectors
from omasgan.config import as_toml, difference
from omasgan.data.selection import Study
from omasgan.errors import StoreError
from omasgan.store.files import AnyPath, delete, find, write_atomic
from omasgan.store.journal import Row, find_json, write_json
from omasgan.store.results import Store, store_id
from omasgan.study.guide import Guide
from omasgan.study.space import STAGE
from omasgan.training.jobs import id_of
from omasgan.training.trials import Trial

PROGRESS = ("n_trials", "status")
"""The fields of ``study.json`` that may change; all others are what makes it the same study."""


WINNER_PARAMS = "winner.toml"


@dataclass(frozen=True)
class Member:
    """One of the trials that win together, with all params of the detector."""

    number: int
    objective: float
    params: dict[str, Any]


@dataclass(frozen=True)
class Winner:
    """The best trial of a study, with all params of the detector.

    ``members`` are the trials whose ensemble is the study's result, the best first; there are none
    where the best trial alone is. ``enqueued`` says why its params were given and not drawn.
    ``lengthened_from`` are the numbers of trials after which an earlier winner of the study met
    the test set: whoever lengthens a study then may have been led by what they saw.
    """

    study: str
    number: int
    params: dict[str, Any]
    objective: float
    n_trials: int
    enqueued: str | None = None
    lengthened_from: tuple[int, ...] = ()
    members: tuple[Member, ...] = ()

    @property
    def member_params(self) -> tuple[dict[str, Any], ...]:
        """The params of the members, if there are any."""
        return tuple(member.params for member in self.members)

    def to_row(self) -> Row:
        """Return what ``winner.json`` says."""
        row = asdict(self) | {"params_id": id_of(self.params, self.member_params)}
        idle = {"study"} if self.members else {"study", "members"}
        return {name: value for name, value in row.items() if name not in idle}


@dataclass(frozen=True)
class StudyFolder:
    """``<root>/<benchmark>/<detector>/<rule>/studies/<study>/``.

    ``study.json`` says what the study is, ``journal.jsonl`` is its record (``study.record``),
    ``winner.json`` is written before its winner is tested, and with it ``winner.toml``, its params
    for --params. ``trials/<number>/`` hold epochs and checkpoints.
    """

    path: AnyPath
    name: str

    @classmethod
    def of(
        cls, store: Store, benchmark: str, detector: str, rule: str, study: Study
    ) -> StudyFolder:
        """Return the folder of a study, which may not exist yet."""
        name = "/".join((benchmark, detector, rule, study.name))
        return cls(store.study_dir(benchmark, detector, rule, study.name), name)

    def name_in_storage(self, store: Store) -> str:
        """Return the study's name in a storage where other folders' studies may lie as well."""
        return f"{self.name}/{store_id(store.root)}"

    def refuse_another(self, identity: Mapping[str, Any]) -> None:
        """Refuse a folder that holds another study.

        Raises:
            StoreError: it does; the line shows the difference.
        """
        row = find_json(self.path / "study.json")
        if row is None:
            return
        old = {key: value for key, value in row.items() if key not in PROGRESS}
        new = json.loads(json.dumps(identity))
        if old != new:
            raise StoreError(
                f"study '{self.path.name}' in '{self.path}' is another one: "
                f"{difference(old, new)}; give another --out"
            )

    def begin(self, identity: Mapping[str, Any], n_trials: int) -> None:
        """Note that the study is carried on, up to ``n_trials``."""
        before = find_json(self.path / "study.json") or {}
        n_trials = max(n_trials, before.get("n_trials", 0))
        row = {**identity, "n_trials": n_trials, "status": "running"}
        write_json(self.path / "study.json", row)

    def delete_unknown(self, n_asked: int) -> None:
        """Delete what trials have left that the record, which knows ``n_asked``, has lost with its
        end or as a whole: others will have their numbers.
        """
        for path in find(self.path, "trials/*/*"):
            if int(path.parent.name) >= n_asked:
                delete(path)

    def freeze(self, guide: Guide, detector: str, top: int = 1) -> Winner | None:
        """Write down the winner, if there is one, and that the study is complete; with a ``top``
        above 1 so many of the best trials win together.
        """
        n_finished = guide.n_finished
        winner = self._winner(guide, detector, n_finished, top)
        if winner is not None:
            # First: what winner.json names is there.
            write_atomic(self.path / WINNER_PARAMS, as_toml(winner.params).encode())
            write_json(self.path / "winner.json", winner.to_row())
        row = find_json(self.path / "study.json") or {}
        n_trials = max(row.get("n_trials", 0), n_finished)
        write_json(self.path / "study.json", {**row, "n_trials": n_trials, "status": "complete"})
        return winner

    def _winner(self, guide: Guide, detector: str, n_trials: int, top: int) -> Winner | None:
        trials = guide.ranked(top)
        if not trials:
            return None
        members = tuple(_member(trial, guide, detector) for trial in trials)
        best = members[0]
        return Winner(
            study=self.path.name,
            number=best.number,
            params=best.params,
            objective=best.objective,
            n_trials=n_trials,
            enqueued=trials[0].enqueued,
            lengthened_from=self._lengthened_from(n_trials),
            members=members if top > 1 else (),
        )

    def _lengthened_from(self, n_trials: int) -> tuple[int, ...]:
        """Return after how many trials, fewer than now, a winner was frozen before."""
        before = find_json(self.path / "winner.json")
        if before is None:
            return ()
        lengths = {*before.get("lengthened_from", ()), before.get("n_trials", n_trials)}
        return tuple(sorted(length for length in lengths if length < n_trials))


def _member(trial: Trial, guide: Guide, detector: str) -> Member:
    """Return an ok trial with all params, its best stage among them."""
    assert trial.ending is not None and trial.objective is not None
    stage = {STAGE: trial.ending.stage} if guide.space.stages else {}
    params = detectors.check_params(detectors.declared(detector), {**trial.params, **stage})
    return Member(trial.number, trial.objective, params)
