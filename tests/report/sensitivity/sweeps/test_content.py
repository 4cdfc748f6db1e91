"""The page on sweeps shows what its trials can support, and warns where they are too few."""

from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.report.page import plain
from omasgan.report.sensitivity.sweeps import content
from omasgan.report.sensitivity.sweeps.pool import Pool, pools
from tests.report.sensitivity.sweeps.studies import fill


@pytest.mark.slow
def test_many_trials_are_modelled_and_drawn(rich: Pool) -> None:
    page = content.page([rich], "omasgan sensitivity --from DIR")
    text = plain.summary(page)
    assert "TRIALS:" not in text and "| matters |" in text
    assert "| not significant |" in text and "| gan_steps | 100 | 500 | +0." in text
    (section,) = page.sections
    names = [figure.name for figure in section.figures]
    for name in ("importance", "dependence", "lengths", "parallel"):
        assert f"digits-loo-v1-omasgan-nested-fold-0-{name}" in names
    assert all(figure.drawn.svg for figure in section.figures)


@pytest.mark.slow
def test_few_trials_are_called_a_hint(tmp_path: Path) -> None:
    text = plain.summary(content.page(pools(fill(tmp_path, 30)), ""))
    assert "FEW TRIALS: 27 for 5 params, fewer than 10 for each param (50)" in text
    assert "| matters |" not in text and "A hint at most" in text


def test_too_few_trials_are_not_modelled(tmp_path: Path) -> None:
    (section,) = content.page(pools(fill(tmp_path, 8)), "").sections
    assert "TOO FEW TRIALS: 8 for 5 params" in " ".join(section.prose)
    assert [figure.title for figure in section.figures] == ["Trials in parallel coordinates"]
    assert not list(section.tables)
