"""One HTML page without any other file and without a network: it can be sent on as it is.

It reads well without its script, which sorts tables, hides and shows series, and tells the tips of
a plot to a finger.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from omasgan.report.page.blocks import Block, Command, Details, Figure, Page, Section, Table, slug
from omasgan.report.page.plain import cells, is_number

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def render(content: Page) -> str:
    """The whole page.

    Raises:
        ValueError: two of its sections, or two blocks of a section, have the same anchor.
    """
    _check_anchors(content)
    own = files("omasgan.report.page")
    style, script = (own.joinpath(n).read_text(encoding="utf-8") for n in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(content.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(content.title)}</h1>\n{_prose(content.notes)}</header>\n"
        f"{_contents(content.sections)}<main>\n{''.join(map(_section, content.sections))}</main>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _contents(sections: Iterable[Section]) -> str:
    lines = "".join(
        f'<li><a href="#{escape(section.id)}">{escape(section.title)}</a>\n<ul>'
        + "".join(
            f'<li><a href="#{anchor}">{escape(title)}</a></li>'
            for anchor, title in _headings(section)
        )
        + "</ul></li>\n"
        for section in sections
    )
    return (
        '<nav aria-labelledby="contents">\n<h2 id="contents">Contents</h2>\n'
        f"<ul>\n{lines}</ul>\n</nav>\n"
    )


def _section(section: Section) -> str:
    blocks = "".join(_block(block, section) for block in _shown(section.blocks))
    commands = ""
    if section.commands:
        lines = "".join(_command(section, i, c) for i, c in enumerate(section.commands))
        commands = (
            f'<h3 id="{_anchor(section, "Commands")}">Commands</h3>\n'
            f'<ol class="commands">\n{lines}</ol>\n'
        )
    return (
        f'<section aria-labelledby="{escape(section.id)}">\n'
        f'<h2 id="{escape(section.id)}">{escape(section.title)}</h2>\n'
        f"{_prose(section.prose)}{blocks}{commands}</section>\n"
    )


def _block(block: Block, section: Section) -> str:
    if isinstance(block, Table):
        return _table(block, section)
    if isinstance(block, Figure):
        return _figure(block, section)
    blocks = "".join(_block(inner, section) for inner in _shown(block.blocks))
    return f"<details>\n<summary>{escape(block.title)}</summary>\n{blocks}</details>\n"


def _table(table: Table, section: Section) -> str:
    anchor, frame = _anchor(section, table.title), table.frame
    numeric = [is_number(frame[column]) for column in frame.columns]
    head = "".join(
        f'<th scope="col"{_mark(number)}><button type="button">{escape(column)}</button></th>'
        for column, number in zip(frame.columns, numeric, strict=True)
    )
    links = _links(table, section)
    if links:
        head += '<th scope="col">made by</th>'
    lines = [
        "".join(
            f"<td{_mark(number, value)}>{escape(cell)}</td>"
            for cell, value, number in zip(texts, values, numeric, strict=True)
        )
        for texts, values in zip(cells(frame), frame.itertuples(index=False), strict=True)
    ]
    if links:
        lines = [f"{line}<td>{link}</td>" for line, link in zip(lines, links, strict=True)]
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return (
        f'<h3 id="{anchor}">{escape(table.title)}</h3>\n'
        f'<div class="wide" role="region" tabindex="0" aria-labelledby="{anchor}">\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        f"{_prose([table.caption])}"
    )


def _links(table: Table, section: Section) -> list[str]:
    """For each line, links to the commands that made it."""
    return [
        " ".join(f'<a href="#{_place(section, i)}">{i + 1}</a>' for i in numbers)
        for numbers in table.made_by
    ]


def _mark(number: bool, value: object = None) -> str:
    """What a cell of a number carries: the value itself too, which sorts finer than it reads."""
    if not number:
        return ""
    if not isinstance(value, int | float) or math.isnan(value):
        return ' class="number"'
    return f' class="number" data-value="{value:.12g}"'


def _figure(figure: Figure, section: Section) -> str:
    head, _, drawing = figure.drawn.svg.partition(" ")
    label = escape(f"{figure.title}. {figure.alt}", quote=True)
    return (
        f'<h3 id="{_anchor(section, figure.title)}">{escape(figure.title)}</h3>\n<figure>\n'
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(figure.title)}">\n'
        f'{head} role="img" aria-label="{label}" {drawing}\n</div>\n'
        f"<figcaption>{escape(figure.caption)}</figcaption>\n</figure>\n"
    )


def _command(section: Section, number: int, command: Command) -> str:
    makes = f"<p>{escape('; '.join(command.makes))}</p>" if command.makes else ""
    read = "".join(
        f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
        for name, text in command.files.items()
    )
    # a line may end before a flag, not within its dashes
    flags = " ".join(f"<span>{escape(part)}</span>" for part in command.text.split(" --"))
    flags = flags.replace(" <span>", " <span>--")
    return (
        f'<li id="{_place(section, number)}">{makes}<pre><code>{flags}</code></pre>{read}</li>\n'
    )


def _prose(paragraphs: Iterable[str]) -> str:
    return "".join(f'<p class="note">{escape(text)}</p>\n' for text in paragraphs if text)


def _headings(section: Section) -> list[tuple[str, str]]:
    titles = [b.title for b in _shown(section.blocks) if not isinstance(b, Details)]
    titles += ["Commands"] if section.commands else []
    return [(_anchor(section, title), title) for title in titles]


def _shown(blocks: Sequence[Block]) -> list[Block]:
    return [b for b in blocks if not (isinstance(b, Table) and b.frame.empty)]


def _anchor(section: Section, title: str) -> str:
    return slug(section.id, title)


def _place(section: Section, command: int) -> str:
    return slug(section.id, "command", str(command + 1))


def _check_anchors(content: Page) -> None:
    found = [section.id for section in content.sections]
    for section in content.sections:
        titles = [table.title for table in section.tables]
        titles += [figure.title for figure in section.figures]
        found += [_anchor(section, title) for title in titles]
    twice = [anchor for anchor, count in Counter(found).items() if count > 1]
    if twice:
        raise ValueError(f"anchors of a page must differ, got twice: {', '.join(twice)}")
