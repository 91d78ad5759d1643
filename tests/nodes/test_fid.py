"""metric.fid: moments against two passes over all data, the distance against scipy's matrix square root."""

import itertools
from functools import reduce

import numpy as np
import pytest
import scipy.linalg
import torch
from flowgen_nodes.metrics.fid import FID, frechet
from flowgen_nodes.metrics.moments import merge, moments

from flowgen.errors import WiringError
from flowgen.values import Features

SIZE, WIDTH = 300, 12


def vectors(seed, size=SIZE, rank=WIDTH, offset=0.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(rank, WIDTH))
    return rng.normal(size=(size, rank)) @ mixing + offset + rng.normal(size=WIDTH)


def of(data, extractor="eye"):
    return moments(Features(torch.as_tensor(data), extractor))


def groupings():
    """Cuts of 300 items, and the order in which the pieces are merged."""
    yield from ([SIZE // n] * n for n in (1, 2, 3, 10, 300))
    yield [1, 299]
    yield [299, 1]
    yield [7, 93, 1, 199]


def tree(parts):
    while len(parts) > 1:
        parts = [reduce(merge, parts[n : n + 2]) for n in range(0, len(parts), 2)]
    return parts[0]


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("sizes", list(groupings()), ids=str)
@pytest.mark.parametrize("order", ["left", "right", "tree"])
def test_any_grouping_gives_the_moments_of_all(order, sizes, offset):
    data = vectors(1, offset=offset)
    pieces = np.split(data, np.cumsum(sizes)[:-1])
    parts = [of(piece) for piece in (pieces[::-1] if order == "right" else pieces)]
    found = tree(parts) if order == "tree" else reduce(merge, parts)
    mean = data.mean(0)
    scatter = (data - mean).T @ (data - mean)
    assert found.count.tolist() == [SIZE]
    assert np.abs(found.mean[0].numpy() - mean).max() <= 1e-9 * np.abs(mean).max()
    assert np.abs(found.scatter[0].numpy() - scatter).max() <= 1e-9 * np.abs(scatter).max()


def test_distances_of_any_grouping_agree():
    first, second = vectors(1), vectors(2)
    whole = frechet(of(first), of(second)).item()
    for sizes in groupings():
        pieces = np.split(first, np.cumsum(sizes)[:-1])
        assert frechet(tree([of(p) for p in pieces]), of(second)).item() == pytest.approx(whole, rel=1e-9)


def reference(first, second):
    """Heusel et al. 2017, eq. 6, as it is printed."""
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    cross = scipy.linalg.sqrtm(one @ two)
    return ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(one + two - 2 * cross).real


@pytest.mark.parametrize(
    ("ranks", "size"), [*itertools.product([(12, 12), (12, 5), (5, 5), (1, 12)], [300]), ((12, 12), 8)], ids=str
)
def test_distance_equals_sqrtm(ranks, size):
    first, second = vectors(3, size, ranks[0]), vectors(4, size, ranks[1], 0.5)
    assert frechet(of(first), of(second)).item() == pytest.approx(reference(first, second), rel=1e-6)


@pytest.mark.parametrize("rank", [12, 5, 1])
def test_equal_sets_have_no_distance(rank):
    data = vectors(5, rank=rank)
    scale = np.trace(np.cov(data, rowvar=False))
    assert abs(frechet(of(data), of(data[::-1].copy())).item()) <= 1e-6 * scale


def test_constant_features():
    """All-zero covariances: the distance of the means is left."""
    zeros, ones = torch.zeros(5, WIDTH), torch.ones(7, WIDTH)
    assert frechet(of(zeros), of(ones)).item() == pytest.approx(WIDTH)


def test_one_dimension():
    """(m1 - m2)^2 + (s1 - s2)^2."""
    first, second = np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])
    assert frechet(of(first), of(second)).item() == pytest.approx(9 + (2**0.5 - 8**0.5) ** 2)


def test_the_node_names_its_extractor_and_count():
    metric = FID()
    metric.reference = of(vectors(1), "Eye 123")
    halves = np.split(vectors(2), 2)
    score = metric.finish(reduce(metric.merge, [metric.add(Features(torch.as_tensor(h), "Eye 123")) for h in halves]))
    assert score.name == "FID (Eye features)"
    assert score.count.tolist() == [SIZE]
    assert score.data.item() == pytest.approx(reference(vectors(2), vectors(1)), rel=1e-6)
    with pytest.raises(WiringError, match="use one extractor"):
        metric.finish(metric.add(Features(torch.as_tensor(halves[0]), "Other 456")))


def test_one_picture_has_no_distance():
    assert frechet(of(vectors(1, 1)), of(vectors(2))).isnan()
