"""Score samples with a saved detector, with p-values."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from omasgan.data.datasets import as_float
from omasgan.data.sample_files import Samples
from omasgan.data.scaling import scaled
from omasgan.detectors.calibration import p_values
from omasgan.errors import DataError

if TYPE_CHECKING:
    from omasgan.store.saved import Saved


def to_csv(saved: Saved, files: Sequence[Samples]) -> str:
    """Score everything; return lines of ``file,index,score,p_value``. An image has no index.

    Raises:
        DataError: a score is not finite.
    """
    arrays = [scaled(saved.scaling, samples.X) for samples in files]
    if any(X.dtype != np.uint8 for X in arrays):
        arrays = [as_float(X) for X in arrays]
    scores = saved.detector.decision_function(np.concatenate(arrays))
    names = [
        (str(samples.file), i if samples.many else "")
        for samples in files
        for i in range(len(samples.X))
    ]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["file", "index", "score", "p_value"])
    p = p_values(scores, saved.calibration)
    for (file, index), score, p_value in zip(names, scores, p, strict=True):
        if not np.isfinite(score):
            raise DataError(f"'{file}' has the score {score}; the detector cannot judge it")
        lines.writerow([file, index, f"{score:.9g}", f"{p_value:.6g}"])
    return text.getvalue()
