"""A drawing of a suite, with all that it needs; what the drawings have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omasgan.experiments.paper.planning import SuitePlan, Variant
from omasgan.experiments.paper.suites import Drawing
from omasgan.report.page.blocks import Figure, slug
from omasgan.report.paper import captions
from omasgan.report.paper.numbers import Results
from omasgan.store.results import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot


@dataclass(frozen=True)
class Request:
    """A drawing that is wanted, of the results on each benchmark of a plan."""

    drawing: Drawing
    plan: SuitePlan
    results: Sequence[Results]
    store: Store

    @property
    def variants(self) -> list[Variant]:
        """The variants that are shown."""
        return self.plan.of(self.drawing)

    @property
    def scope(self) -> str:
        """What a caption of all results has to say."""
        return captions.scope(self.plan, [one.part for one in self.results], self.variants)

    def caption(self, *parts: str) -> str:
        """A caption that begins with the drawing's own words."""
        return " ".join(filter(None, (self.drawing.caption, *parts)))

    def figure(
        self,
        of: Results,
        caption: str,
        alt: str,
        draw: Callable[[], Plot],
        *,
        variants: Sequence[Variant] = (),
        what: str = "",
    ) -> Figure:
        """A figure of one benchmark, which its name shows if the suite has several.

        Args:
            of: the results on the benchmark.
            caption: what the figure shows.
            alt: the same for a reader who cannot see it.
            draw: returns the plot.
            variants: those of the figure, all by default.
            what: sets the figure apart from the drawing's others.
        """
        benchmark = of.part.benchmark.name if len(self.plan.benchmarks) > 1 else ""
        scope = captions.scope(self.plan, [of.part], variants or self.variants)
        return Figure(
            slug(self.plan.suite.name, self.drawing.kind, what, benchmark),
            ", ".join(filter(None, (self.drawing.title, what, benchmark))),
            self.caption(caption, scope),
            alt,
            draw,
        )
