"""Count, mean and scatter of a set of vectors, in float64, mergeable."""

from __future__ import annotations

import torch

from flowgen.values import Features, Moments


def moments(features: Features) -> Moments:
    """Of one batch, in two passes: the mean first, then the deviations from it."""
    data = features.data.double().cpu()
    mean = data.mean(0)
    deviations = data - mean
    count = torch.tensor([len(data)])
    return Moments(count, mean[None], (deviations.T @ deviations)[None], features.extractor)


def merge(first: Moments, second: Moments) -> Moments:
    """Of the union of two disjoint sets (Chan, Golub & LeVeque 1983, eq. 2.1): no cancellation, whatever the mean."""
    n, m = first.count[:, None].double(), second.count[:, None].double()
    shift = second.mean - first.mean
    mean = first.mean + shift * (m / (n + m))
    outer = shift[:, :, None] * shift[:, None, :]
    scatter = first.scatter + second.scatter + outer * (n * m / (n + m))[:, :, None]
    return Moments(first.count + second.count, mean, scatter, first.extractor)
