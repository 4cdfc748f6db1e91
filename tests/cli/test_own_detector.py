"""A detector of one's own, from a file, goes through all verbs under one name."""

from __future__ import annotations

from pathlib import Path

import pytest

from omasgan import detectors
from omasgan.store.results import Store
from tests.cli.calls import SMALL, omasgan, run
from tests.detectors.test_foreign import MINE

POWER = "power = {low = 0.5, high = 3.0}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a detector in ``mine.py``."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "space.toml").write_text(POWER)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "gmm.toml").write_text("mixture = 3\nfloor = 0.1\n")
    (tmp_path / "params" / "isolation-forest.toml").write_text("trees = 5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_the_same_from_wherever_its_file_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["--folds", "1", "--seeds", "0", "--set", "power=1.5"]
    assert run(folder / "out", *one, detector="./mine.py:Mine") == 0
    (row,) = Store(folder / "out").results()
    assert row["detector"] == f"{folder}/mine.py:Mine" and row["params"] == {"power": 1.5}
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert run(folder / "out", *one, detector="../mine.py:Mine") == 0
    assert Store(folder / "out").results() == [row]
    assert f"{folder}/mine.py:Mine" in capsys.readouterr().out


def test_it_is_searched_compared_and_measured(folder: Path) -> None:
    own, out = "mine.py:Mine", ["--out", "out"]
    search = ["--trials", "2", "--space", "space.toml", "--backend", "local"]
    assert omasgan("sweep", "digits-loo", own, *SMALL, *search, *out) == 0
    beside = ["--detectors", own, "--params", "params", "--backend", "local"]
    assert omasgan("compare", "digits-loo", *beside, *SMALL, *out) == 0
    assert omasgan("audit", own, "digits-loo", "--max-train", "100", "--max-test", "60") == 0
    rows = [row for row in Store(folder / "out").results() if row["detector"] == f"{folder}/{own}"]
    assert {row["selection"] for row in rows} == {"nested", "fixed"}
    names = {path.name for path in (folder / "out").glob("digits-loo*/*")}
    assert detectors.folder_name(f"{folder}/{own}") in names


REFUSED = {
    "no class": (["os:system"], "must be a class"),
    "no detector": (["builtins:dict"], "it lacks fit, decision_function"),
    "a name without a class": (["tests.toy"], "names no class"),
    "a file without a class": (["./mine.py"], "names no class"),
    "no such file": (["./none.py:Mine"], "there is no file '"),
    "no such class in it": (["./mine.py:Mne"], "did you mean 'Mine'"),
    "an infinite value": (["./mine.py:Mine", "--set", "power=inf"], "a finite number, got 'inf'"),
    "a text for a number": (["./mine.py:Mine", "--set", "power=high"], "got 'high'"),
    "infinity in a file": (["./mine.py:Mine", "--params", "inf.toml"], "finite number, got inf"),
    "a quoted number": (["./mine.py:Mine", "--params", "text.toml"], "got the text '2'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_detector_or_no_value_is_one_line_and_exit_2(
    what: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "inf.toml").write_text("power = inf\n")
    (folder / "text.toml").write_text("power = '2'\n")
    before = sorted(folder.iterdir())
    arguments, message = REFUSED[what]
    assert omasgan("run", "digits-loo", *arguments, "--out", "out") == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("omasgan: ") and error.count("\n") == 1
    assert sorted(path for path in folder.iterdir() if path.name != "__pycache__") == before
