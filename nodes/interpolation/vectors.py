"""Straight and spherical ways between tensors, item by item, in float64."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values import PerItem
from flowgen.values.per_item import over_items
from flowgen.values.random import is_abstract

How = Literal["slerp", "lerp"]
SMALL = 1e-7
"""a sine of the angle below which two vectors count as parallel, or as opposite; what float32 can't tell from 0"""


def interpolated(a: Tensor, b: Tensor, at: PerItem[float], how: How) -> Tensor:
    """From ``a`` [B, ...] at 0 to ``b`` at 1, each item as one vector. Raises WiringError for opposite vectors."""
    to = torch.tensor(at.values, dtype=torch.float64, device=a.device)
    of_a, of_b = slerp_weights(a, b, to) if how == "slerp" else (1 - to, to)
    start, end = a.double(), b.double()
    return (over_items(of_a, start) * start + over_items(of_b, end) * end).to(a.dtype)


def slerp_weights(a: Tensor, b: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [B] of ``a`` and ``b`` on the great circle through both; Shoemake 1985, doi:10.1145/325165.325242.

    The angle is twice the arctangent of |u - v| / |u + v| of the directions u and v: unlike the arccosine of their
    product, it is exact for nearly parallel ones (Kahan 2006, "How futile are mindless assessments of roundoff"). The
    weights of parallel vectors, and of one that is 0, are those of a straight line.
    """
    u, v = direction(a), direction(b)
    angle = 2 * torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1))
    parallel = angle.sin() < SMALL
    if not is_abstract() and (parallel & (angle > 1)).any():
        raise WiringError(
            "the two are opposite: no way between them on the sphere is the shortest",
            hint="take another seed, or how: lerp, which leads through 0",
            about="how b",
        )
    straight = parallel | ~u.any(dim=1) | ~v.any(dim=1)
    sine = torch.where(straight, 1.0, angle.sin())
    of_a, of_b = ((1 - at) * angle).sin() / sine, (at * angle).sin() / sine
    return torch.where(straight, 1 - at, of_a), torch.where(straight, at, of_b)


def direction(a: Tensor) -> Tensor:
    """Items of ``a`` as vectors of length 1, [B, n] float64; 0 stays 0."""
    flat = a.double().flatten(1)
    length = flat.norm(dim=1, keepdim=True)
    return flat / torch.where(length == 0, 1.0, length)
