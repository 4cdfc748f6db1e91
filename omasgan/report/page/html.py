"""One HTML page that needs no other file and no network, so that it can be sent as it is.

``page.html.j2`` is its structure; here is what the template asks for. The page can be read
without its script, which sorts tables, hides and shows series, and shows the tips of a plot on a
touch screen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Figure, Page, Section, Table, slug

ROOM = "omasgan.report.page"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Cell:
    """A cell of a table; ``value`` sorts more finely than ``text``, where the cell has one."""

    text: str
    is_number: bool
    value: str | None = None


def render(content: Page) -> str:
    """The whole page.

    Raises:
        ValueError: two of its sections, or two blocks of a section, have the same anchor.
    """
    _check_anchors(content)
    style, script = (Markup(_text(name)) for name in ("page.css", "page.js"))
    template = _environment().get_template("page.html.j2")
    return template.render(page=content, policy=POLICY, style=style, script=script)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(ROOM, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests |= {
        "table": lambda block: isinstance(block, Table),
        "figure": lambda block: isinstance(block, Figure),
    }
    environment.globals |= {
        "anchor": _anchor,
        "command_anchor": _command_anchor,
        "flags": _flags,
        "head": _head,
        "headings": _headings,
        "rows": _rows,
        "shown": _shown,
        "svg": _svg,
    }
    return environment


def _text(name: str) -> str:
    return files(ROOM).joinpath(name).read_text(encoding="utf-8")


def _head(table: Table) -> list[Cell]:
    frame = table.frame
    return [Cell(str(column), formats.is_number(frame[column])) for column in frame.columns]


def _rows(table: Table) -> list[tuple[list[Cell], Sequence[int]]]:
    """Each row's cells, and the numbers of the commands that produce it."""
    numeric = [cell.is_number for cell in _head(table)]
    texts = formats.cells(table.frame)
    values = table.frame.itertuples(index=False, name=None)
    rows = [
        [
            Cell(text, is_number, _sort_value(value) if is_number else None)
            for text, value, is_number in zip(*row, numeric, strict=True)
        ]
        for row in zip(texts, values, strict=True)
    ]
    return list(zip(rows, table.commands or [()] * len(rows), strict=True))


def _sort_value(value: object) -> str | None:
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    return f"{value:.12g}"


def _svg(figure: Figure) -> Markup:
    """The picture as an element that says what it shows."""
    head, _, rest = figure.drawn.svg.partition(" ")
    label = f"{figure.title}. {figure.alt}"
    return Markup('{} role="img" aria-label="{}" {}').format(Markup(head), label, Markup(rest))


def _flags(command: Command) -> list[str]:
    """The parts of a command: a line may break before a flag, but not within its dashes."""
    first, *others = command.text.split(" --")
    return [first, *(f"--{other}" for other in others)]


def _headings(section: Section) -> list[str]:
    titles = [b.title for b in _shown(section.blocks) if not isinstance(b, Details)]
    return [*titles, "Commands"] if section.commands else titles


def _shown(blocks: Sequence[Block]) -> list[Block]:
    """The blocks without empty tables."""
    return [b for b in blocks if not (isinstance(b, Table) and b.frame.empty)]


def _anchor(section: Section, title: str) -> str:
    return slug(section.id, title)


def _command_anchor(section: Section, number: int) -> str:
    return slug(section.id, "command", str(number + 1))


def _check_anchors(content: Page) -> None:
    anchors = [section.id for section in content.sections]
    for section in content.sections:
        titles = [table.title for table in section.tables]
        titles += [figure.title for figure in section.figures]
        anchors += [_anchor(section, title) for title in titles]
    repeated = [anchor for anchor, count in Counter(anchors).items() if count > 1]
    if repeated:
        raise ValueError(f"anchors of a page must be unique, got twice: {', '.join(repeated)}")
