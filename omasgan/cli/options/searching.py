"""What a sweep searches, and how it judges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omasgan.cli.options import values
from omasgan.cli.options.groups import InnerOption, ShareStagesOption
from omasgan.errors import ConfigError

if TYPE_CHECKING:
    from omasgan.cli.options.data import FoldedData
    from omasgan.config import BenchmarkSpec
    from omasgan.data.datasets import Dataset
    from omasgan.experiments.sweep import SweepSpec


@dataclass(frozen=True, kw_only=True)
class Searching:
    """The space, the rule that judges a trial, and what trials share."""

    space: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Search space as TOML.  [default: the detector's]"),
    ] = None
    selection: Annotated[
        str, typer.Option(metavar="RULE", help="How a trial is judged; see 'omasgan list'.")
    ] = "nested"
    transfer_from: Annotated[
        str | None,
        typer.Option(metavar="BENCHMARK", help="With --selection transfer: where to choose."),
    ] = None
    inner: InnerOption = None
    share_stages: ShareStagesOption = None
    share_until: Annotated[
        str | None,
        typer.Option(metavar="PHASE", help="With --share-stages: the last phase to share."),
    ] = None

    def check(self) -> None:
        """Check the rule and the options that go with each other.

        Raises:
            ConfigError: an unknown rule, or an option without the one that it goes with.
        """
        rule = values.rule(self.selection)
        if (self.transfer_from is None) != (rule != "transfer"):
            raise ConfigError(
                f"--selection transfer and --transfer-from go together, got --selection {rule} "
                f"{'without' if self.transfer_from is None else 'with'} --transfer-from"
            )
        if self.inner is not None and rule in ("proxy", "oracle"):
            raise ConfigError(f"--inner means nothing with --selection {rule}, which has one task")
        if self.share_until is not None and self.share_stages is None:
            raise ConfigError("--share-until says what trials share; add --share-stages")

    def spec(
        self,
        benchmark: BenchmarkSpec,
        detector: str,
        n_trials: int,
        folds: list[int] | None,
        **more: Any,
    ) -> SweepSpec:
        """Return a sweep over these folds (all with None).

        ``more`` are other fields of ``SweepSpec``; None stands for a field's default.

        Raises:
            ConfigError: an unknown detector or benchmark, or a space that does not fit.
        """
        from omasgan import config, detectors
        from omasgan.experiments.sweep import SweepSpec
        from omasgan.study.space import load_space

        return SweepSpec(
            benchmark,
            detector,
            load_space(self.space or detector, detectors.declared(detector)),
            self.selection,
            n_trials,
            folds=None if folds is None else tuple(folds),
            source=config.load_benchmark(self.transfer_from) if self.transfer_from else None,
            **values.present(
                inner=self.inner,
                share_stages=self.share_stages,
                share_until=self.share_until,
                **more,
            ),
        )


def load_source(spec: SweepSpec, data: FoldedData) -> Dataset | None:
    """Return the data of the benchmark that the rule ``transfer`` chooses on."""
    return data.load(spec.source)[0] if spec.source else None
