"""The node ``metric.fid``."""

from __future__ import annotations

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Reduce, Stream, node
from flowgen.values import Features, Moments, Score

from . import moments


def root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix [D, D]."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet(a: Moments, b: Moments) -> Tensor:
    """Squared Fréchet distance of two Gaussians (Dowson & Landau 1982; Heusel et al. 2017, eq. 6), a number.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^.5 S2 S1^.5)^.5)``: the symmetric form, always real, also for singular S.
    A set of fewer than two points has no covariance: the distance is NaN.
    """
    first, second = (m.scatter[0] / (m.count[0].double() - 1).clamp(min=1) for m in (a, b))
    half = root(first)
    cross = torch.linalg.eigvalsh(half @ second @ half).clamp(min=0).sqrt().sum()
    gap = ((a.mean[0] - b.mean[0]) ** 2).sum()
    distance = gap + first.diagonal().sum() + second.diagonal().sum() - 2 * cross
    return torch.where(torch.minimum(a.count, b.count)[0] < 2, torch.nan, distance)


@node("metric.fid")
class FID(Reduce):
    """Fréchet distance between the pooled features and a reference (Heusel et al. 2017, arXiv:1706.08500).

    It is *the* FID only with the Inception features of that paper; the result names its extractor and its count.
    Statistics are float64 and merged along a fixed tree, so the same set gives the same bits.
    """

    features: Stream[Features]
    reference: Moments

    def add(self, batch: Features) -> Moments:
        """Moments of some items."""
        return moments.moments(batch)

    def merge(self, first: Moments, second: Moments) -> Moments:
        """Moments of two sets."""
        return moments.merge(first, second)

    def least(self, state: Moments) -> int:
        """One more than the features have dimensions: fewer points have a singular covariance."""
        return state.mean.shape[-1] + 1

    def finish(self, state: Moments) -> Score:
        """The distance."""
        if state.extractor != self.reference.extractor:
            raise WiringError(
                f"the features come from '{state.extractor}', the reference from '{self.reference.extractor}'",
                hint="use one extractor for both",
                about="reference",
            )
        return Score(frechet(state, self.reference)[None], state.count, f"FID ({state.extractor.split()[0]} features)")
