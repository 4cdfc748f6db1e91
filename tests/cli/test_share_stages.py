"""``omasgan sweep --share-stages``: what is refused, in one line and before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calls import SMALL, omasgan


@pytest.mark.parametrize(
    ("detector", "options", "error"),
    [
        ("omasgan", ["--share-until", "gan"], "add --share-stages"),
        ("omasgan", ["--share-stages", "1"], "--share-stages"),
        ("omasgan", ["--share-stages", "4", "--share-until", "detector"], "until 'detector'"),
        ("omasgan", ["--share-stages", "4", "--sampler", "QMCSampler"], "QMCSampler draws all"),
        ("vae", ["--share-stages", "4"], "vae cannot share stages"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    detector: str,
    options: list[str],
    error: str,
) -> None:
    arguments = ["sweep", "digits-loo", detector, "--trials", "2", *SMALL, "--backend", "local"]
    assert omasgan(*arguments, "--out", tmp_path / "out", *options) == 2
    said = capsys.readouterr().err
    assert error in said
    assert not list(tmp_path.glob("out/*"))
