"""Items as vectors: lengths, projections, spreads. Sums are made in float64, each item by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from flowgen.values.per_item import over_items


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each item of ``a`` and ``b`` [B, ...], [B] float64."""
    return (a.double() * b.double()).flatten(1).sum(1)


def spread(a: Tensor) -> Tensor:
    """The standard deviation of each item of ``a`` [B, ...], [B] float64."""
    return a.double().flatten(1).std(1)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, and 0 where b is 0."""
    return torch.where(b == 0, torch.zeros_like(a), a / torch.where(b == 0, torch.ones_like(b), b))


def along(a: Tensor, b: Tensor) -> Tensor:
    """The part of each item of ``a`` that is parallel to ``b``; none where b is 0."""
    return over_items(ratio(dot(a, b), dot(b, b)), b) * b
