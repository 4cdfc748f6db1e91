from __future__ import annotations

import pytest

from omasgan.report.page import formats


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("auroc", 0.12345, "0.123"),
        ("average rank", 2.345, "2.35"),
        ("difference", 0.02, "+0.020"),
        ("p Holm", 0.0001, "<0.001"),
        ("p Holm", 0.0313, "0.031"),
        ("peak MB", 512.4, "512"),
        ("seconds", 12.34, "12.3"),
        ("auroc", float("nan"), "-"),
        ("winner", None, "-"),
        ("trials", 7, "7"),
    ],
)
def test_a_cell_has_the_decimals_of_its_column(column: str, value: object, text: str) -> None:
    assert formats.cell(column, value) == text
