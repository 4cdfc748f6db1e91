"""The types of params with their ranges."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

Positive: TypeAlias = Annotated[float, Field(gt=0)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Decay: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Pairs: TypeAlias = Annotated[int, Field(ge=2)]
Steps: TypeAlias = Annotated[int, Field(ge=0)]
Depth: TypeAlias = Annotated[int, Field(ge=0, le=6)]
