"""Detectors read without being imported state what the imported ones do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from omasgan import detectors
from omasgan.detectors import declarations

CHILD = """
import sys
from omasgan import detectors
for name in detectors.names():
    detectors.check_params(detectors.declared(name), {})
imported = [f"omasgan.detectors.{name.replace('-', '_')}" for name in detectors.names()]
sys.exit(", ".join(sys.modules.keys() & {"torch", "sklearn", "scipy", *imported}) or 0)
"""


@pytest.mark.parametrize("name", detectors.names())
def test_a_detector_states_the_same_without_being_imported(name: str) -> None:
    stated = declarations.stated(f"omasgan.detectors.{name.replace('-', '_')}")
    cls = detectors.load(name)
    # pydantic's ranges are never equal, and their texts say all about them
    assert repr(detectors.parameters(stated)) == repr(detectors.parameters(cls))
    for constant in ("__name__", "__module__", "properties", "takes_anomalies", "defaults_saw"):
        assert getattr(stated, constant) == getattr(cls, constant), constant


def test_nothing_that_computes_is_imported_for_it() -> None:
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
    assert (child.returncode, child.stderr) == (0, "")


def test_a_detector_that_is_imported_is_returned_itself() -> None:
    assert detectors.declared("knn") is detectors.load("knn")
    name = "tests.toy:CurveDetector"
    assert detectors.declared(name) is detectors.load(name)


UNLIKE = """
from omasgan.detectors.yardstick import Yardstick
{0}
class Unlike(Yardstick):
    k: int = {1}
"""


@pytest.mark.parametrize(
    "lines",
    [("K = 3", "K"), ("from omasgan.detectors.ranges import Missing", "Missing"), ("", "K")],
    ids=["a constant of the file", "a name that is not there", "a name from nowhere"],
)
def test_lines_of_another_kind_are_not_guessed(
    lines: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unlike.py").write_text(UNLIKE.format(*lines))
    monkeypatch.syspath_prepend(tmp_path)
    declarations.stated.cache_clear()
    with pytest.raises(LookupError):
        declarations.stated("unlike")
    with pytest.raises(LookupError, match="no class Missing"):
        declarations.stated("unlike", "Missing")
