"""Threads: one for small networks, all for large ones, and the caller's number afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from omasgan.detectors.deep_svdd import DeepSVDD
from omasgan.nn import threads
from tests.contracts.test_detector import images

SMALL, LARGE = nn.Linear(10, 10), nn.Linear(1000, 1000)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_threads_fit_the_largest_network() -> None:
    for networks, expected in ([], 1), ([SMALL, SMALL], 1), ([SMALL, LARGE], 2):
        threads.suit(networks, 2)
        assert torch.get_num_threads() == expected


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, "2")
    threads.suit([SMALL], 3)
    assert torch.get_num_threads() == 2


def test_fit_and_scores_take_one_thread_and_give_the_others_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: set[int] = set()

    class Seen(DeepSVDD):
        def _squared_distance(self, codes: torch.Tensor) -> torch.Tensor:
            seen.add(torch.get_num_threads())
            return super()._squared_distance(codes)

    detector = Seen(pretrain_steps=2, train_steps=2, device="cpu").fit(images())
    detector.decision_function(images())
    assert seen == {1}
    assert torch.get_num_threads() == 2
    detector.stage_scores(images())
    assert seen == {1, 2}
