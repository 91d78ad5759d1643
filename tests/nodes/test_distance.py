"""score.distance against its definition."""

import pytest
import torch
from flowgen_nodes.metrics.distance import distance

from flowgen.errors import WiringError
from flowgen.values import Image, Latent


def test_is_the_root_of_the_mean_square():
    one, other = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    one[0] = 2.0
    other[1, 0, 0, 0] = 6.0
    found = distance(Image(one), Image(other))
    assert found.data.tolist() == pytest.approx([2.0, (36 / 48) ** 0.5], rel=1e-12)
    assert found.count.tolist() == [1, 1]


def test_values_of_two_kinds_have_no_distance():
    data = torch.zeros(1, 4, 4, 4)
    with pytest.raises(WiringError, match="Image and Latent"):
        distance(Image(data), Latent(data, "space"))
    with pytest.raises(WiringError, match="space"):
        distance(Latent(data, "one"), Latent(data, "two"))
