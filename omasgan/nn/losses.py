"""Losses on the raw outputs of discriminators."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def binary_cross_entropy(logits: Tensor, target: float) -> Tensor:
    """Return mean cross-entropy of sigmoid(``logits``) against one ``target`` in [0, 1]; smallest
    where they are equal.
    """
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
