"""What each kind of drawing makes of a suite's results: figures, and tables of the same numbers.

Each function takes the drawing, the plan, the results by benchmark and the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, get_args

import numpy as np
import pandas as pd

from omasgan import detectors
from omasgan.detectors.base import Property
from omasgan.experiments.paper.planning import Line, SuitePlan
from omasgan.experiments.paper.suites import Drawing, Kind
from omasgan.experiments.sensitivity.design import SYMBOLS
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Figure, Table, slug
from omasgan.report.page.plots import heat_map
from omasgan.report.paper import captions, figures, plane
from omasgan.report.paper.results import Cell, Results, sd
from omasgan.store.results import Store

Draw: TypeAlias = Callable[[Drawing, SuitePlan, Sequence[Results], Store], Iterator[Block]]

BARS = "Whiskers: intervals. Diamonds: printed numbers."


def _folds(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """Arms beside each other, fold by fold and in the mean."""
    for one in results:
        shown = {line.label: _by_group(one, line) for line in made.of(drawing)}
        yield _bars(drawing, made, one, _groups(one), shown, "anomalous class")


def _stages(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """For each arm its stages beside each other, fold by fold and in the mean."""
    for one in results:
        for line in made.of(drawing):
            shown = {s: _by_group(one, line, f"auroc.{s}") for s in drawing.stages}
            yield _bars(drawing, made, one, _groups(one), shown, "anomalous class", [line])
    yield _stage_table(drawing, made, results)


def _divergences(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """The arms' stages beside each other, in the mean over the folds."""
    lines = made.of(drawing)
    for one in results:
        shown = {s: [one.cell(line, f"auroc.{s}") for line in lines] for s in drawing.stages}
        yield _bars(
            drawing,
            made,
            one,
            [line.label for line in lines],
            shown,
            "divergence, mean over folds",
        )
    yield _stage_table(drawing, made, results)


def _benchmarks(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """Arms beside each other, one group a benchmark."""
    if results:
        lines = made.of(drawing)
        groups = [str(one.part.benchmark.anomalies) for one in results]
        shown = {line.label: [one.cell(line) for one in results] for line in lines}
        scope = captions.scope(made, [one.part for one in results], lines)
        yield Figure(
            slug(made.suite.name, drawing.kind), drawing.title,
            _joined(drawing.caption, BARS, scope, captions.INTERVAL),
            _told(shown, groups), partial(figures.bars, groups, shown, "anomalous data set"),
        )  # fmt: skip


def _seeds(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """For each arm how far its seeds lie apart, fold by fold."""
    last = max(made.settings.seeds)
    about = (
        f"Box: from the mean over the seeds to seed {last} (blue: below the mean); whisker: mean "
        "± standard deviation over seeds."
    )
    lines_of_table = []
    for one in results:
        for line in made.of(drawing):
            values = [_by_seed(one, line, fold) for fold in made.settings.folds]
            names = list(one.fold_names.values())
            yield Figure(
                slug(made.suite.name, drawing.kind, line.label),
                f"{drawing.title}: {line.label}",
                _joined(drawing.caption, about, captions.scope(made, [one.part], [line])),
                f"AUROC of each seed on {', '.join(names)}.",
                partial(figures.seeds, names, values),
            )
            for name, of_fold in zip(names, values, strict=True):
                lines_of_table.append(
                    {
                        "arm": line.label,
                        "fold": name,
                        "mean": float(np.mean(list(of_fold.values()))) if of_fold else np.nan,
                        "sd": sd(list(of_fold.values())),
                        "largest difference": _reach(list(of_fold.values())),
                        **{f"seed {s}": of_fold.get(s, np.nan) for s in made.settings.seeds},
                    }
                )
    frame = pd.DataFrame(lines_of_table)
    scope = captions.scope(made, [one.part for one in results], made.of(drawing))
    yield Table(f"{drawing.title}, in numbers", scope, frame)


def _properties(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """What each detector says that it is built on, most properties first."""
    names: tuple[Property, ...] = get_args(Property)
    found = {name: detectors.load(name).properties for name in detectors.names()}
    frame = pd.DataFrame(
        {
            "detector": name,
            **{p: "yes" if p in found[name] else "" for p in names},
            "properties": str(len(found[name])),
        }
        for name in sorted(found, key=lambda name: (-len(found[name]), name))
    )
    caption = (
        "From the detectors' own statements (IterativeDetector.properties); nothing is trained, "
        "so that no budget and no selection rule has a part in it. Yardsticks and Deep SVDD may "
        "have none of the nine."
    )
    yield Table(drawing.title, caption, frame)


def _plane(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """Samples of G and B and the field of J, a row an arm, a figure a benchmark."""
    for one in results:
        shown = {}
        lines = made.of(drawing)
        for line in lines:
            key = _first(one, line)
            if key is not None:
                shown[line.label] = (
                    plane.clouds(store, one.part, key), plane.field(store, key),
                )  # fmt: skip
        if shown:
            yield _figure(
                drawing, made, one, lines,
                "Blue: data; grey: samples of G; orange: samples of B; colours on the right: J's "
                "raw output, higher = more anomalous. First seed.",
                f"Data, G's and B's samples and the field of J for {', '.join(shown)}.",
                partial(figures.plane, shown),
            )  # fmt: skip


def _evolution(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """B's samples after each length of Task 2: trainings that share all before it."""
    for one in results:
        lines = made.of(drawing)
        shown = {
            f"{line.params['boundary_steps']} steps": plane.clouds(store, one.part, key)
            for line in lines
            if (key := _first(one, line)) is not None
        }
        if shown:
            yield _figure(
                drawing, made, one, lines,
                "Blue: data; orange: samples of B after so many steps of Task 2, from the same G "
                "and with the same seed. First seed.",
                f"B's samples after {', '.join(shown)}.",
                partial(figures.evolution, shown),
            )  # fmt: skip


def _losses(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """The losses of each arm, phase by phase."""
    for one in results:
        for line in made.of(drawing):
            key = _first(one, line)
            if key is not None:
                yield _figure(
                    drawing, made, one, [line],
                    "g, d, c: losses of the generators and critics; metric, d, s: the terms of "
                    "equation 2; j: equation 6 and its terms. First seed.",
                    "Loss curves of all four phases.",
                    partial(figures.losses, store.read_epochs(key)),
                )  # fmt: skip


def _grid(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """What two varied params do to a stage's AUROC and to Task 2's convergence."""
    lines = made.of(drawing)
    x, y = lines[0].varied
    metric = f"auroc.{drawing.stages[0]}"
    for one in results:
        places = {name: sorted({line.varied[name] for line in lines}) for name in (x, y)}
        mean, half = (np.full((len(places[y]), len(places[x])), np.nan) for _ in range(2))
        curves = {}
        for line in lines:
            cell = one.cell(line, metric)
            at = places[y].index(line.varied[y]), places[x].index(line.varied[x])
            mean[at], half[at] = cell.value, (cell.interval.high - cell.interval.low) / 2
            key = _first(one, line)
            if key is not None:
                pair = int(line.varied[x]), int(line.varied[y])
                curves[pair] = plane.equation_2(store.read_epochs(key), line.params)
        if not curves:
            continue
        yield _figure(
            drawing, made, one, lines,
            f"Mean AUROC of stage {drawing.stages[0]}, ± half the interval. {captions.INTERVAL}",
            f"Heat map of AUROC over {x} and {y}.",
            partial(heat_map, (_symbol(x), places[x]), (_symbol(y), places[y]), mean, half),
        )  # fmt: skip
        yield _figure(
            drawing, made, one, lines,
            "Equation 2 by step of Task 2; of the metric term the part that depends on B. "
            "First seed.",
            "Curves of equation 2, one for each N and Q.",
            partial(figures.convergence, curves, lines[0].params["epoch_steps"]),
            what="convergence",
        )  # fmt: skip


def _thresholds(
    drawing: Drawing, made: SuitePlan, results: Sequence[Results], store: Store
) -> Iterator[Block]:
    """Metrics with and without a threshold, stage by stage."""
    lines, found = made.of(drawing), []
    for one in results:
        for line in lines:
            keys = [k for fold in made.settings.folds for k in _keys(one, line, fold)]
            told = [plane.rates(store, one.part, key) for key in keys]
            for stage in drawing.stages if told else ():
                of_stage = {name: [rates[stage][name] for rates in told] for name in plane.RATES}
                found.append(
                    {
                        "benchmark": one.part.benchmark.name,
                        "arm": line.label,
                        "stage": stage,
                        "AUROC": _ranged(one.by_fold(line, f"auroc.{stage}")[0]),
                        "AUPRC": _ranged(one.by_fold(line, f"average_precision.{stage}")[0]),
                        **{name: _ranged(values) for name, values in of_stage.items()},
                    }
                )
    caption = (
        f"task1: without retraining; task3: with it; j: equation 6. The threshold is the "
        f"{plane.QUANTILE:.0%} quantile of the stage's scores on the fold's held-out normals; no "
        "test sample has a part in it. In brackets: the interval over seeds. AUPRC and the rates "
        "depend on the share of anomalies among the test samples, half here."
    )
    scope = captions.scope(made, [one.part for one in results], lines)
    yield Table(drawing.title, _joined(caption, scope, captions.INTERVAL), pd.DataFrame(found))


KINDS: Mapping[Kind, Draw] = {
    "folds": _folds,
    "stages": _stages,
    "divergences": _divergences,
    "seeds": _seeds,
    "benchmarks": _benchmarks,
    "properties": _properties,
    "plane": _plane,
    "evolution": _evolution,
    "losses": _losses,
    "grid": _grid,
    "thresholds": _thresholds,
}


def _bars(
    drawing: Drawing,
    made: SuitePlan,
    one: Results,
    groups: Sequence[str],
    shown: Mapping[str, Sequence[Cell]],
    axis: str,
    lines: Sequence[Line] = (),
) -> Figure:
    of = lines or made.of(drawing)
    return _figure(
        drawing, made, one, of, f"{BARS} {captions.INTERVAL}", _told(shown, groups),
        partial(figures.bars, groups, shown, axis), what=lines[0].label if lines else "",
    )  # fmt: skip


def _figure(
    drawing: Drawing,
    made: SuitePlan,
    one: Results,
    lines: Sequence[Line],
    caption: str,
    alt: str,
    draw: Callable[[], Any],
    what: str = "",
) -> Figure:
    """A figure of one benchmark, whose name says which if the suite has several."""
    where = one.part.benchmark.name if len(made.benchmarks) > 1 else ""
    return Figure(
        slug(made.suite.name, drawing.kind, what, where),
        ", ".join(filter(None, (drawing.title, what, where))),
        _joined(drawing.caption, caption, captions.scope(made, [one.part], lines)),
        alt,
        draw,
    )


def _stage_table(drawing: Drawing, made: SuitePlan, results: Sequence[Results]) -> Table:
    lines = [
        {
            "arm": line.label,
            "stage": stage,
            "auroc": (cell := one.cell(line, f"auroc.{stage}")).value,
            "interval": formats.interval(cell.interval),
            "printed": "; ".join(f"{n.value:.3f}" for n in cell.printed) or "-",
        }
        for one in results
        for line in made.of(drawing)
        for stage in drawing.stages
    ]
    scope = captions.scope(made, [one.part for one in results], made.of(drawing))
    caption = _joined("Mean over folds.", scope, captions.INTERVAL)
    return Table(f"{drawing.title}, in numbers", caption, pd.DataFrame(lines))


def _symbol(name: str) -> str:
    """A param with the paper's symbol for it, where it has one."""
    symbols = [symbol.upper() for symbol, param in SYMBOLS.items() if param == name]
    return f"{name} ({symbols[0]})" if symbols else name


def _groups(one: Results) -> list[str]:
    names = list(one.fold_names.values())
    return [*names, f"mean of {len(names)}"] if len(names) > 1 else names


def _by_group(one: Results, line: Line, metric: str = "auroc") -> list[Cell]:
    folds = [one.cell(line, metric, fold) for fold in one.fold_names]
    return [*folds, one.cell(line, metric)] if len(folds) > 1 else folds


def _by_seed(one: Results, line: Line, fold: int) -> dict[int, float]:
    rows = [row for row in one.rows(line) if row["fold"] == fold and row["outcome"] == "ok"]
    return {row["seed"]: row["auroc"] for row in rows}


def _keys(one: Results, line: Line, fold: int) -> list[Any]:
    """The line's runs on a fold that have ended ok."""
    found = (one.key(line, fold, seed) for seed in one.made.settings.seeds)
    return [key for key in found if key is not None]


def _first(one: Results, line: Line) -> Any:
    settings = one.made.settings
    return one.key(line, settings.folds[0], settings.seeds[0])


def _told(shown: Mapping[str, Sequence[Cell]], groups: Sequence[str]) -> str:
    """The last group's values in words."""
    values = (f"{name} {cells[-1].value:.3f}" for name, cells in shown.items())
    return f"AUROC, {groups[-1]}: {'; '.join(values)}."


def _ranged(values: Sequence[float]) -> str:
    interval = formats.interval(statistics.interval({0: values}))
    return f"{np.mean(values):.3f}" + ("" if interval == "-" else f" ({interval})")


def _reach(values: Sequence[float]) -> float:
    return float(np.ptp(values)) if values else float("nan")


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))
