"""Values align the item axis, refuse what doesn't fit, and convert between prediction kinds."""

import dataclasses

import pytest
import torch

from flowgen.errors import WiringError
from flowgen.values import Features, Image, Latent, Noisy, PerItem, Prediction, Time
from flowgen.values.random import draw, seed_stream, start
from flowgen.values.record import rebuild


def times(batch, alpha=0.6, sigma=0.8):
    ones = torch.ones(batch, dtype=torch.float64)
    return Time(torch.zeros(batch, dtype=torch.long), torch.zeros(batch), sigma * ones, alpha * ones, 0 * ones)


def test_a_per_item_number_never_meets_the_last_axis():
    batch = width = 16
    data = torch.randn(batch, 4, width, width)
    scale = PerItem([float(n) for n in range(batch)])
    latent = Latent(data, "s")
    expected = torch.stack([data[n] * n for n in range(batch)])
    for product in (scale * latent, latent * scale, latent * scale.tensor):
        assert torch.equal(product.data, expected)
    assert torch.equal((latent + scale).data[3], data[3] + 3)


def test_guidance_arithmetic():
    a, b = Latent(torch.randn(2, 4, 2, 2), "s"), Latent(torch.randn(2, 4, 2, 2), "s")
    mixed = b + PerItem([2.0, 3.0]) * (a - b)
    assert torch.allclose(mixed.data[1], b.data[1] + 3 * (a.data[1] - b.data[1]))
    assert (PerItem([1, 2]) - 1).values == [0, 1]
    assert (1 - PerItem([1, 2])).values == [0, -1]


def test_what_does_not_add_up_is_refused():
    one = Latent(torch.zeros(1, 4, 2, 2), "a")
    with pytest.raises(WiringError, match="space 'a' and 'b'"):
        one + Latent(torch.zeros(1, 4, 2, 2), "b")
    with pytest.raises(WiringError, match="shapes"):
        one + Latent(torch.zeros(1, 4, 3, 2), "a")
    with pytest.raises(WiringError, match="Latent and Features"):
        one + Features(torch.zeros(1, 4), "x")
    with pytest.raises(WiringError, match="one number per item"):
        one * torch.zeros(1, 4)


def test_records_take_concat_and_rebuild():
    noisy = Noisy(torch.randn(3, 1, 2, 2), times(3), "s")
    prediction = Prediction(torch.randn(3, 1, 2, 2), noisy, "epsilon")
    again = Prediction.concat([prediction.take([0, 1]), prediction.take([2])])
    assert torch.equal(again.x.data, noisy.data)
    copy = rebuild("Prediction", prediction.tensors(), prediction.metadata())
    assert torch.equal(copy.x.time.sigma, noisy.time.sigma)
    assert copy.kind == "epsilon"
    with pytest.raises(WiringError, match="can't share a batch"):
        Image.concat([Image(torch.zeros(1, 3, 2, 2)), Image(torch.zeros(1, 3, 2, 2), (0.0, 1.0))])
    assert dataclasses.asdict(Image(torch.zeros(1, 3, 2, 2)))["range"] == (-1.0, 1.0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_kinds_of_prediction_agree(kind):
    alpha, sigma = 0.6, 0.8
    x0, eps = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    x = Noisy(alpha * x0 + sigma * eps, times(2))
    said = {"epsilon": eps, "v_prediction": alpha * eps - sigma * x0, "sample": x0}[kind]
    prediction = Prediction(said, x, kind)
    assert torch.allclose(prediction.x0(), x0, atol=1e-6)
    assert torch.allclose(prediction.epsilon(), eps, atol=1e-6)


def test_streams_belong_to_items():
    together, after = draw(start([1, 2, 3]), (2, 4, 4))
    alone, state = draw(start([2]), (2, 4, 4))
    assert torch.equal(together[1:2], alone)
    assert torch.equal(alone[0], torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(2))[0])
    assert torch.equal(draw(after, (3,))[0][1], draw(state, (3,))[0][0])
    assert seed_stream(7) == 7
    assert seed_stream(7, "a") != seed_stream(7, "b")


@pytest.mark.parametrize(("kind", "alpha"), [("v_prediction", 1.0), ("flow", 1.0), ("edm", 0.5)])
def test_the_noise_of_a_clean_latent_is_a_limit(kind, alpha):
    data, said = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64)
    clean = Prediction(said, Noisy(data, times(3, alpha, 0.0)), kind).epsilon()
    little = {"v_prediction": (1 - 1e-12) ** 0.5, "flow": 1 - 1e-6, "edm": alpha}[kind]
    nearly = Prediction(said, Noisy(data, times(3, little, 1e-6)), kind).epsilon()
    assert (clean - nearly).abs().max() < 1e-4
