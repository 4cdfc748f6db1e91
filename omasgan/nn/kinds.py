"""Names of what can be chosen here, apart from torch: params are of these types, and are read and
checked where nothing is trained.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

DensityKind: TypeAlias = Literal["root", "plain"]

DivergenceName: TypeAlias = Literal[
    "kl-wgan",
    "wasserstein",
    "pearson",
    "kl",
    "reverse-kl",
    "jensen-shannon",
    "gan",
    "squared-hellinger",
    "neyman",
    "total-variation",
]
