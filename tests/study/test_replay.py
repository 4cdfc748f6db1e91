from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omasgan.errors import ConfigError, DamagedError
from omasgan.store.journal import write_json
from omasgan.study.record import FILE
from omasgan.study.replay import digest_of, read_replay
from omasgan.study.space import Space
from omasgan.training.trials import Ending
from tests.study.closed_form import SPACE, advance, make


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The folder of two studies."""
    for seed, name in enumerate(("fold-0", "fold-1")):
        write_json(tmp_path / name / "study.json", {"space": SPACE.to_dict()})
        advance(make(tmp_path / name, seed=seed), 6)
    return tmp_path


def params(folder: Path) -> list[dict[str, Any]]:
    return [dict(trial.params) for trial in make(folder).finished()]


def test_a_replay_hands_out_the_recorded_params_then_goes_on(folders: Path) -> None:
    recorded = read_replay(folders / "fold-1", "any", SPACE, alone=True)
    assert recorded == params(folders / "fold-1")
    replayed = advance(make(seed=99, replay=recorded), 8)
    assert replayed[:6] == recorded
    assert replayed[6:] != advance(make(seed=1), 8)[6:]


def test_a_study_or_a_folder_of_studies_may_be_named(folders: Path) -> None:
    for path, study, alone in (
        (folders, "fold-1", False),
        (folders / "fold-1", "any", True),
        (folders / "fold-1" / FILE, "any", True),
    ):
        assert read_replay(path, study, SPACE, alone=alone) == params(folders / "fold-1")
    for path in (folders / "fold-1", folders / "fold-1" / FILE):
        with pytest.raises(ConfigError, match="is one study, but the sweep has several; give"):
            read_replay(path, "fold-1x", SPACE, alone=False)


def test_a_trial_that_had_not_ended_is_repeated_too(folders: Path) -> None:
    running = make(folders / "fold-0").ask()
    assert read_replay(folders, "fold-0", SPACE, alone=False)[-1] == running.params


def test_what_cannot_be_repeated_is_refused(folders: Path) -> None:
    other = Space.from_dict({"lr": {"low": 5.0, "high": 6.0}})
    with pytest.raises(ConfigError, match=r"trial 0 has .* not in the search space; give the"):
        read_replay(folders, "fold-0", other, alone=False)
    with pytest.raises(ConfigError, match="holds no trials to replay; give a study's folder"):
        read_replay(folders, "fold-2", SPACE, alone=False)
    write_json(folders / "fold-2" / "study.json", {"space": SPACE.to_dict()})
    make(folders / "fold-2")
    with pytest.raises(ConfigError, match="holds no trials to replay"):
        read_replay(folders, "fold-2", SPACE, alone=False)
    lines = (folders / "fold-0" / FILE).read_bytes().splitlines(keepends=True)
    (folders / "fold-0" / FILE).write_bytes(b"".join([lines[0], b"torn\n", *lines[2:]]))
    with pytest.raises(DamagedError, match="is damaged: line 2"):
        read_replay(folders, "fold-0", SPACE, alone=False)


def test_the_digest_is_of_the_params_alone(folders: Path, tmp_path: Path) -> None:
    one = folders / "fold-0"
    again = tmp_path / "again" / "fold-0"
    write_json(again / "study.json", {"space": SPACE.to_dict()})
    guide = make(again, replay=params(one))
    for _ in range(6):
        guide.tell(guide.ask().number, Ending("failed", error="another ending"))
    assert digest_of(again) == digest_of(one) == digest_of(one / FILE) == digest_of(again.parent)
    assert digest_of(folders) != digest_of(one) != digest_of(folders / "fold-1")
