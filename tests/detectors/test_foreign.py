"""Detectors of one's own, by module and by file: they work, or one line says why not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from omasgan import detectors
from omasgan.detectors import foreign
from omasgan.detectors.base import IterativeDetector
from omasgan.errors import ConfigError
from tests.contracts.test_detector import vectors
from tests.toy import CurveDetector

MINE = '''"""A detector in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omasgan.detectors.ranges import Positive
from omasgan.detectors.yardstick import Yardstick


@dataclass(kw_only=True, eq=False, repr=False)
class Mine(Yardstick):
    power: Positive = 2.0

    def _fit(self, X):
        self._mean = X.mean(0)

    def _score(self, X):
        return (np.abs(X - self._mean) ** self.power).sum(1)


class Half(Yardstick):
    def _fit(self, X): ...


def function(): ...
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my file.py"
    path.write_text(MINE)
    return path


def test_a_class_in_a_file_is_a_detector(file: Path) -> None:
    cls = detectors.load(f"{file}:Mine")
    assert issubclass(cls, IterativeDetector)
    assert detectors.check_params(cls, {"power": 1}) == {"power": 1.0}
    X = vectors()
    scores = cls(power=1.0).fit(X).decision_function(X)
    assert scores.dtype == np.float32 and scores.shape == (len(X),)


def test_it_is_imported_once_under_one_name_wherever_one_stands(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = detectors.load(f"{file}:Mine")
    monkeypatch.chdir(file.parent)
    for name in (
        f"./{file.name}:Mine",
        f"{file.name}:Mine",
        f"../{file.parent.name}/{file.name}:Mine",
    ):
        assert detectors.load(name) is cls
        assert detectors.full_name(name) == f"{file}:Mine"
    assert sys.modules[cls.__module__].__file__ == str(file)
    other = file.parent / "other" / file.name
    other.parent.mkdir()
    other.write_text(MINE)
    assert detectors.load(f"{other}:Mine") is not cls


@pytest.mark.parametrize("name", ["knn", "tests.toy:CurveDetector", "os:", ":", "", "a.py", "é:é"])
def test_other_names_are_full_already(name: str) -> None:
    assert detectors.full_name(name) == name


def test_a_folder_of_each_detector_is_one_folder_of_its_own(file: Path) -> None:
    names = [f"{file}:Mine", f"{file}:Half", f"{file.parent}/b/{file.name}:Mine", "knn", "a.b:C"]
    folders = [detectors.folder_name(name) for name in names]
    assert len(set(folders)) == len(names)
    for folder in folders:
        assert Path(folder).name == folder
    assert folders[0].startswith("my file.Mine-") and folders[3:] == ["knn", "a.b.C"]


REFUSED = {
    "tests.toy:": "'tests.toy:' names no class; write package.module:Class or ./file.py:Class",
    ":CurveDetector": "':CurveDetector' names no class",
    "tests.toy": "'tests.toy' names no class",
    "FILE": "names no class; write package.module:Class",
    "FOLDER/none.py:Mine": "there is no file '.*none.py'",
    "FOLDER:Mine": "cannot be imported: ModuleNotFoundError",
    "FILE:Mne": "unknown class 'Mne'; did you mean 'Mine'",
    "FILE:function": "must be a class, got a function",
    "FILE:np": "must be a class, got a module",
    "FILE:Half": "is no detector, it lacks .*_score",
    "FILE:Mine.power": "unknown class 'Mine.power'",
    "os:system": "'os:system' must be a class, got a builtin_function_or_method",
    "builtins:dict": "'builtins:dict' is no detector, it lacks fit, decision_function; a detector",
    "sklearn.decomposition:PCA": "it lacks decision_function; a detector has fit",
    "omasgan.detectors.base:IterativeDetector": "it lacks fit_epochs, load_state.*stage_scores",
    "no_such_module:Mine": "ModuleNotFoundError: No module named 'no_such_module'",
    "..toy:CurveDetector": "cannot be imported: TypeError",
    "tests.toy:Nothing": "cannot be imported: unknown class 'Nothing'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_detector_is_refused_in_one_line(name: str, file: Path) -> None:
    text = name.replace("FILE", str(file)).replace("FOLDER", str(file.parent))
    with pytest.raises(ConfigError, match=REFUSED[name]) as caught:
        detectors.load(text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 +", "SyntaxError: .*line 1"),
        ("import nothing_at_all", "ModuleNotFoundError: No module named 'nothing_at_all'"),
        ("x = 1\ny = x / 0", "ZeroDivisionError: division by zero .*broken.py, line 2"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_a_file_whose_code_fails_is_refused_in_one_line(
    source: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(source)
    for _ in range(2):
        with pytest.raises(ConfigError, match=message) as caught:
            detectors.load(f"{tmp_path}/broken.py:Mine")
        assert len(str(caught.value).splitlines()) == 1


def test_a_class_need_not_be_derived_from_ours() -> None:
    members = {name: getattr(CurveDetector, name) for name in foreign.CONTRACT}
    typed = type("Typed", (), members)
    assert foreign._as_detector("x:Typed", typed) is typed


def test_the_contract_is_all_that_the_base_class_promises() -> None:
    promised = {
        name
        for name, member in vars(IterativeDetector).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    }
    assert promised == set(foreign.CONTRACT)
