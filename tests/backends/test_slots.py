"""Slots of a cluster fill at once, and no trial is suggested before there is room for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omasgan.backends.ray import tuning
from omasgan.backends.ray.backend import RayBackend
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.progress import Event, TrialEnded
from omasgan.study.guide import Guide
from omasgan.study.search import Search
from omasgan.study.space import Space

SLOTS = 2


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_cluster")
def test_slots_fill_at_once_and_no_trial_is_suggested_ahead(
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened: list[str] = []

    class Suggesting(Guide):
        def ask(self) -> Any:
            happened.append("suggested")
            return super().ask()

    def begun(callback: tuning.Callback, **info: Any) -> None:
        happened.append("begun")

    def ended(event: Event) -> None:
        if isinstance(event, TrialEnded):
            happened.append("ended")

    monkeypatch.setattr(tuning.Callback, "on_trial_start", begun)
    (study,) = selection.studies("proxy", small_spec, small_dataset, [0])
    space = Space.from_dict({"lr": {"low": 0.01, "high": 0.1}})
    search = Search(
        Suggesting(space, tmp_path), study.data, 4, "tests.toy:CurveDetector", tmp_path
    )
    RayBackend(cpus_per_trial=8 / SLOTS).search([search], ended)
    assert happened[: 2 * SLOTS - 1] == ["suggested"] * SLOTS + ["begun"] * (SLOTS - 1)
    assert happened.count("suggested") == happened.count("begun") == happened.count("ended") == 4
    for n in range(len(happened)):
        so_far = happened[:n]
        assert so_far.count("suggested") - so_far.count("ended") <= SLOTS
