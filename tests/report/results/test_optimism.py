from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from omasgan import detectors
from omasgan.report.results import optimism
from tests.report.results.rows import frame, three_seeds

OMASGAN = {"a": 1, "negatives": "boundary"}


def test_default_selected_and_oracle_are_side_by_side() -> None:
    ledger = optimism.ledger(
        frame(
            three_seeds("omasgan", range(4), 0.7, **OMASGAN),
            three_seeds("omasgan", range(4), 0.6, **OMASGAN | {"negatives": "noise"}),
            three_seeds("omasgan", range(1, 4), 0.8, "nested"),
            three_seeds("omasgan", range(3), 0.9, "oracle"),
            three_seeds("knn", range(4), 0.5),
            three_seeds("vae", range(4), 0.5),
            three_seeds("vae", range(4), 0.6, "proxy"),
        )
    )
    columns = ["detector", "default", "rule", "selected", "oracle", "gap", "folds"]
    assert list(ledger.columns) == columns
    omasgan, vae = ledger.to_dict("records")
    at_folds = 0.002 + 0.001 * np.mean([1, 2])
    assert omasgan["default"] == pytest.approx(0.7 + at_folds)
    assert omasgan["selected"] == pytest.approx(0.8 + at_folds)
    assert omasgan["oracle"] == pytest.approx(0.9 + at_folds)
    assert omasgan["gap"] == pytest.approx(0.1)
    assert (omasgan["rule"], omasgan["folds"]) == ("nested", "1,2")
    assert (vae["detector"], vae["rule"]) == ("vae", "proxy")
    assert pd.isna(vae["gap"])


def test_a_detector_with_one_number_only_has_no_row() -> None:
    assert optimism.ledger(frame(three_seeds("knn", range(4), 0.5))).empty
    apart = frame(
        three_seeds("knn", range(2), 0.5), three_seeds("knn", range(2, 4), 0.5, "oracle")
    )
    assert optimism.ledger(apart).empty


def test_of_several_params_the_defaults_represent_the_detector() -> None:
    defaults = detectors.check_params(detectors.load("knn"), {})
    rows = (
        three_seeds("knn", range(2), 0.8, "oracle"),
        three_seeds("knn", range(2), 0.5, **defaults),
    )
    other = three_seeds("knn", range(2), 0.6, **defaults | {"k": 97})
    (line,) = optimism.ledger(frame(*rows, other)).to_dict("records")
    assert line["default"] == pytest.approx(0.5025)
    strange = [dict(run, detector="no.such:Thing") for run in itertools.chain(*rows, other)]
    assert optimism.ledger(frame(strange)).empty, "its defaults are not known here"
