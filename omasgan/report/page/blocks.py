"""What a page is made of: titled tables and figures in sections, and the commands behind them.

Nothing here is laid out: ``page`` makes HTML of it, ``plain`` Markdown, LaTeX and terminal tables,
``output`` the files of a folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from omasgan.report.page.drawing import Drawn

MadeBy: TypeAlias = Sequence[Sequence[int]]
"""For each line of a table, which of the section's commands made it, counted from 0."""


@dataclass(frozen=True)
class Command:
    """A command line, the entries and studies that it ``makes``, and the files that it reads: by
    path in the report's folder, their text.
    """

    text: str
    makes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A frame with what has to be said about it; a terminal has no room for columns ``aside``,
    nor for a table that is ``page_only``.
    """

    title: str
    caption: str
    frame: pd.DataFrame
    aside: tuple[str, ...] = ()
    page_only: bool = False
    made_by: MadeBy = ()


@dataclass(frozen=True)
class Figure:
    """A picture, drawn when it is first asked for.

    ``name`` is unique in a page and fit for a file; ``alt`` says what the picture shows to whoever
    cannot see it. ``draw`` gives a new matplotlib figure, whose artists may be marked with
    ``drawing.mark`` so that they answer to a pointer.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Drawing]

    @cached_property
    def drawn(self) -> Drawn:
        """The picture as SVG, PNG and PDF."""
        from omasgan.report.page import drawing

        return drawing.render(self.draw(), self.name)


@dataclass(frozen=True)
class Details:
    """Blocks that a reader opens when they want them."""

    title: str
    blocks: tuple[Table | Figure, ...]


Block: TypeAlias = Table | Figure | Details


@dataclass(frozen=True)
class Section:
    """A part of a page; ``id`` is unique in the page and begins the names of its files."""

    id: str
    title: str
    prose: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    commands: tuple[Command, ...] = ()

    @property
    def tables(self) -> Iterator[Table]:
        """The tables that say something."""
        return (b for b in self._flat if isinstance(b, Table) and not b.frame.empty)

    @property
    def figures(self) -> Iterator[Figure]:
        return (b for b in self._flat if isinstance(b, Figure))

    @property
    def _flat(self) -> Iterator[Table | Figure]:
        for block in self.blocks:
            yield from block.blocks if isinstance(block, Details) else (block,)

    def name(self, table: Table) -> str:
        """The name of a table's files."""
        return slug(self.id, table.title)


@dataclass(frozen=True)
class Page:
    """A whole page; ``notes`` stand below its title."""

    title: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...]


def slug(*parts: str) -> str:
    """A name for a file or an anchor.

    >>> slug("digits-loo-v1", "AUROC by fold")
    'digits-loo-v1-auroc-by-fold'
    """
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
