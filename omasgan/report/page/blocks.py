"""The content of a page: sections of titled tables and figures, with the commands behind them.

Nothing here knows a format: ``html``, ``plain`` and ``latex`` render these blocks, ``files``
names the files.
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

CommandNumbers: TypeAlias = Sequence[Sequence[int]]
"""For each row of a table, the section's commands that produce it, counted from 0."""


@dataclass(frozen=True)
class Command:
    """A command line, the entries and studies that it ``produces``, and the ``files`` that it
    reads: their text by path in the report's folder.
    """

    text: str
    produces: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A frame with its title and caption.

    A terminal shows it only if it is ``for_terminal``: whatever follows would scroll the answer
    away. ``commands`` has a row for each row of the frame, or none at all.
    The columns ``shaded`` are a heat map of AUROCs on a page, each with its best in bold. A word
    in ``links`` leads to that anchor; a row's anchor is the section's id with the text in its
    column ``anchored``.
    """

    title: str
    caption: str
    frame: pd.DataFrame
    for_terminal: bool = False
    commands: CommandNumbers = ()
    shaded: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    anchored: str = ""

    @property
    def command_numbers(self) -> list[int]:
        """The commands of all rows, each once."""
        return sorted({number for of_row in self.commands for number in of_row})


@dataclass(frozen=True)
class Figure:
    """A picture, drawn when one of its formats is first asked for.

    ``name`` is unique in a page and fit for a file; ``alt`` describes the picture to a reader who
    cannot see it. ``draw`` returns a new matplotlib figure, whose artists may be marked with
    ``drawing.mark`` so that they respond to a pointer. A broad figure takes a page's whole width.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Drawing]
    is_broad: bool = False

    @cached_property
    def drawn(self) -> Drawn:
        """The picture as SVG, PDF and PNG, each drawn when it is asked for."""
        from omasgan.report.page import drawing

        return drawing.Drawn(self.draw(), self.name)


@dataclass(frozen=True)
class Details:
    """Blocks that a reader can fold and unfold."""

    title: str
    blocks: tuple[Table | Figure, ...]
    is_open: bool = False


Block: TypeAlias = Table | Figure | Details


@dataclass(frozen=True)
class Section:
    """A part of a page; ``id`` is unique in the page and begins the names of its files.

    ``answer`` is what a reader wants to know first, ``prose`` are notes.
    """

    id: str
    title: str
    prose: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    commands: tuple[Command, ...] = ()
    answer: tuple[str, ...] = ()

    @property
    def tables(self) -> Iterator[Table]:
        """All tables that have rows, those in details too."""
        return (b for b in self._flat if isinstance(b, Table) and not b.frame.empty)

    @property
    def figures(self) -> Iterator[Figure]:
        """All figures, those in details too."""
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
    """A whole page; its ``notes`` follow the title, and ``links`` to other pages, by their text,
    follow these.
    """

    title: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    links: Mapping[str, str] = field(default_factory=dict)


def slug(*parts: str) -> str:
    """A name for a file or an anchor.

    >>> slug("digits-loo-v1", "AUROC by fold")
    'digits-loo-v1-auroc-by-fold'
    """
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
