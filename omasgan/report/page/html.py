"""One HTML page that needs no other file and no network, so that it can be sent as it is.

``page.html.j2`` is its structure; here is what the template asks for. The page can be read
without its script, which sorts tables, hides and shows series, and shows the tips of a plot on a
touch screen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Figure, Page, Section, Table, slug

ROOM = "omasgan.report.page"
SHADES = 10
"""Steps of the scale of a heat map: ``page.css`` has a colour for each, from chance to 1."""
CHANCE = 0.5
LONG = 32
"""Characters of a text that may take more than one line."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Cell:
    """A cell of a table; ``value`` sorts more finely than ``text``, where the cell has one.

    ``words`` are the parts of the text with the anchors that they lead to, if any. ``shade`` is
    the place of a cell of a heat map on the scale of colours, from 0 to ``SHADES``.
    """

    text: str
    is_number: bool
    value: str | None = None
    words: tuple[tuple[str, str], ...] = ()
    shade: int | None = None
    is_best: bool = False

    @property
    def is_long(self) -> bool:
        """Whether it needs several lines."""
        return len(self.text) > LONG


@dataclass(frozen=True)
class Row:
    """A row of a table, with the numbers of the commands that produce it; ``id`` may be empty."""

    cells: Sequence[Cell]
    commands: Sequence[int]
    id: str


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


def _rows(table: Table, section: Section) -> list[Row]:
    frame = table.frame
    columns = [_cells(table, str(name)) for name in frame.columns]
    commands = table.commands or [()] * len(frame)
    anchors = [slug(section.id, str(text)) for text in frame.get(table.anchored, [])]
    ids = [a if a not in anchors[:i] else "" for i, a in enumerate(anchors)] or [""] * len(frame)
    return [Row(*row) for row in zip(zip(*columns, strict=True), commands, ids, strict=True)]


def _cells(table: Table, column: str) -> list[Cell]:
    """The cells of a column, from top to bottom."""
    values = table.frame[column]
    is_number, is_shaded = formats.is_number(values), column in table.shaded
    texts = [formats.cell(column, value) for value in values.tolist()]
    best = formats.cell(column, float(values.max())) if is_shaded and values.any() else None
    return [
        Cell(
            text,
            is_number,
            _sort_value(value) if is_number else None,
            _words(text, table.links),
            _shade(value) if is_shaded else None,
            text == best,
        )
        for text, value in zip(texts, values.tolist(), strict=True)
    ]


def _words(text: str, links: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The text as a whole if it leads somewhere, else its words if all of them do."""
    words = [text] if text in links else text.split(" ")
    if all(word in links for word in words):
        return tuple((word, links[word]) for word in words)
    return ((text, ""),)


def _shade(value: float) -> int | None:
    """The place of an AUROC on the scale; all below chance are at its beginning."""
    if math.isnan(value):
        return None
    return round(SHADES * max(0.0, (value - CHANCE) / (1.0 - CHANCE)))


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
