from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from omasgan.report.page import files, html, plain
from omasgan.report.page.blocks import Command, Details, Figure, Page, Section, Table
from tests.report.page.html import read_page

FRAME = pd.DataFrame(
    {"entry": ["a_b & <c>", "d|e"], "auroc": [0.91239, float("nan")], "n": ["1/2", "10/20"]}
)


def drawing() -> Drawing:
    made = Drawing(figsize=(2, 2))
    made.subplots().plot([0, 1], [0, 1])
    return made


@pytest.fixture
def section() -> Section:
    table = Table("A table", "About 5 % & more.", FRAME, made_by=((0, 1), ()))
    inner = (Figure("s-b", "Inner", "caption", "a line", drawing),)
    figure = Figure("s-a", "Outer", "caption <1>", "a line\nthat rises", drawing)
    commands = (
        Command("omasgan run x y --folds 0 --seeds 1", ("y",), {"params/a.toml": "k = '<1>'\n"}),
        Command("omasgan sweep x y"),
    )
    empty = Table("Nothing", "", FRAME.head(0))
    return Section("s", "S <1>", ("Prose.",), (table, empty, figure, Details("More", inner)),
                   commands)  # fmt: skip


def test_a_page_is_well_formed(section: Section) -> None:
    text = html.render(Page("A & B", ("Made.",), (section,)))
    found = read_page(text)
    assert found.wrong == []
    assert found.links <= found.ids
    assert found.headings["h2"] == ["Contents", "S <1>"]
    assert found.headings["h3"] == ["A table", "Outer", "Inner", "Commands"]
    assert found.pictures == ["Outer. a line\nthat rises", "Inner. a line"]
    assert found.made_by == {("s-a-table", "a_b & <c>"): "s-command-1"}
    assert found.text["s-command-1"] == "omasgan run x y --folds 0 --seeds 1"
    assert 'data-value="0.91239"' in text, "sorted finer than it reads"
    assert "Nothing" not in text


def test_headings_of_tables_are_buttons_and_boxes_scroll_by_keyboard(section: Section) -> None:
    text = html.render(Page("A", (), (section,)))
    assert text.count("<button") == len(FRAME.columns)
    assert text.count('role="region" tabindex="0"') == 3


def test_anchors_that_stand_twice_are_refused(section: Section) -> None:
    with pytest.raises(ValueError, match="got twice: s, s-a-table"):
        html.render(Page("A", (), (section, section)))


def test_a_table_as_markdown(section: Section) -> None:
    text = plain.markdown(next(iter(section.tables)), section)
    assert "| a_b & <c> | 0.912 | 1/2 |\n| d/e | - | 10/20 |" in text
    assert "omasgan run x y --folds 0 --seeds 1\nomasgan sweep x y" in text
    summary = plain.summary(Page("A", (), (section,)))
    assert "| d/e | - | 10/20 |  |" in summary
    assert "| a_b & <c> | 0.912 | 1/2 | 1 2 |" in summary
    assert "1. `omasgan run x y --folds 0 --seeds 1`\n2. `omasgan sweep x y`" in summary


def test_a_table_as_latex(section: Section) -> None:
    text = plain.latex(next(iter(section.tables)), section)
    lines = text.splitlines()
    assert lines[:2] == ["% omasgan run x y --folds 0 --seeds 1", "% omasgan sweep x y"]
    assert r"\caption{S \textless{}1\textgreater{}: A table. About 5 \% \& more.}" in lines
    assert r"\begin{tabular}{lrl}" in lines
    assert r"a\_b \& \textless{}c\textgreater{} & 0.912 & 1/2 \\" in lines
    assert r"d|e & - & 10/20 \\" in lines


def test_a_section_has_files_with_fixed_names(section: Section) -> None:
    assert sorted(files.of_section(section)) == [
        "figures/s-a.pdf", "figures/s-a.png", "figures/s-b.pdf", "figures/s-b.png",
        "params/a.toml", "tables/s-a-table.md", "tables/s-a-table.tex",
    ]  # fmt: skip
