"""The node ``guidance.tcfg``."""

from __future__ import annotations

import torch

from flowgen.node import node
from flowgen.values import PerItem, Prediction
from flowgen.values.per_item import over_items

from .cfg import check_uncond, unused
from .vectors import along, dot


@node("guidance.tcfg", unused=unused)
def tcfg(cond: Prediction, uncond: Prediction | None = None, scale: PerItem[float] = 7.5) -> Prediction:
    """Tangential damping classifier-free guidance; Kwon et al. 2025, arXiv:2503.18137, algorithm 1.

    Classifier-free guidance with the part of uncond along the first right singular vector of (cond, uncond), the
    direction that the two share; what is across it is dropped.
    """
    if uncond is None:
        check_uncond(scale)
        return cond
    shared = uncond.replace(data=along(uncond.data, first_singular(cond.data, uncond.data)))
    return shared + scale * (cond - shared)


def first_singular(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The first right singular vector of each item's rows (a, b), in any length, [B, ...].

    It is a sum of the rows; its weights are the first eigenvector of their 2 x 2 inner products.
    """
    products = torch.stack([torch.stack([dot(a, a), dot(a, b)], 1), torch.stack([dot(a, b), dot(b, b)], 1)], 1)
    weights = torch.linalg.eigh(products).eigenvectors[:, :, 1]
    return over_items(weights[:, 0], a) * a + over_items(weights[:, 1], b) * b
