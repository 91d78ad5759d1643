"""Where in the diffusion an item is: its numbers, and what they say of predictions."""

from __future__ import annotations

import pytest
import torch

from flowgen.errors import WiringError
from flowgen.values import Noisy, Prediction, Time
from flowgen.values.ahead import Ahead
from flowgen.values.record import rebuild
from flowgen.values.time import KINDS

ALPHA = torch.tensor([0.9, 0.3, 1.0, 0.02, 0.6], dtype=torch.float64)
SIGMA = torch.tensor([0.2, 0.7, 0.0, 0.9998, 0.8], dtype=torch.float64)


def times(dtype: torch.dtype = torch.long) -> Time:
    return Time(torch.arange(5), (torch.arange(5) * 10.5).to(dtype), SIGMA, ALPHA, torch.arange(5) / 5)


def predicted(kind: str, x0: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """As the papers define what a network predicts."""
    alpha, sigma = ALPHA[:, None], SIGMA[:, None]
    large = (alpha**2 + sigma**2).sqrt()
    v = (alpha * epsilon - sigma * x0) / large
    return {"epsilon": epsilon, "v_prediction": v, "sample": x0, "flow": epsilon - x0, "edm": -v}[kind]


def close(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_prediction_says_x0_and_epsilon(kind):
    x0, epsilon = torch.randn(2, 5, 6, dtype=torch.float64)
    x = Noisy(ALPHA[:, None] * x0 + SIGMA[:, None] * epsilon, times())
    told = Prediction(predicted(kind, x0, epsilon), x, kind)
    noisy = SIGMA > 0  # of a clean x a prediction of x0 says no noise, and x is x0 whatever was predicted
    rows = noisy if kind == "sample" else slice(None)
    assert close(told.x0(), x0) and close(told.epsilon()[rows], epsilon[rows])
    back, moved = Prediction.of_x0(x0, x, kind).data, told.moved(torch.ones_like(x0)).x0()
    assert close(back[noisy], told.data[noisy]) and close(moved[noisy], x0[noisy] + 1)


def test_an_unknown_kind_is_refused():
    with pytest.raises(WiringError, match="'noise' is no kind of prediction"):
        Prediction(torch.zeros(5, 6), Noisy(torch.zeros(5, 6), times()), "noise").x0()


@pytest.mark.parametrize("dtype", [torch.long, torch.float32])
def test_fields_come_back_as_they_were_given(dtype):
    time = times(dtype)
    assert time.timestep.dtype == dtype and time.timestep.tolist() == (torch.arange(5) * 10.5).to(dtype).tolist()
    assert time.index.tolist() == [0, 1, 2, 3, 4] and torch.equal(time.sigma, SIGMA) and torch.equal(time.alpha, ALPHA)
    read = rebuild("Time", time.tensors(), time.metadata())
    assert isinstance(read, Time) and torch.equal(read.numbers, time.numbers) and read.signature() == time.signature()
    assert torch.equal(time.replace(sigma=ALPHA).sigma, ALPHA)
    with pytest.raises(TypeError, match="has no field 'at'"):
        time.replace(at=SIGMA)


def test_what_was_worked_out_is_of_the_items_it_is_asked_for():
    time, x = times(), torch.randn(5, 2, 2)
    time.unit(x)
    for part in (
        time.take([3, 1]),
        Time.concat([time.take([3]), time.take([1])]),
        time.replace(index=SIGMA).take([3, 1]),
    ):
        assert torch.equal(part.unit(x[:2]), time.unit(x)[[3, 1]])
    others = Time.of(Ahead(torch.stack([time.numbers, time.numbers + 1, time.numbers])), 1, whole=True)
    for mixed in (Time.concat([time, others]), Time.concat([others, time.take([4])]).take([5, 4, 3])):
        numbers = torch.cat([time.numbers, time.numbers + 1])
        assert torch.equal(mixed.numbers, numbers if len(mixed) == 10 else numbers[[4, 9, 8]])
    both = Time.concat([time, time])
    assert torch.equal(both.unit(torch.cat([x, x])), torch.cat([time.unit(x)] * 2))
    for dtype, shape in ((torch.bfloat16, (5, 3)), (torch.float64, (5, 1, 1, 1))):
        found = both.take(range(5)).unit(torch.zeros(shape, dtype=dtype))
        assert found.dtype == dtype and found.shape == (5, *[1] * (len(shape) - 1))
        assert torch.allclose(found.flatten().double(), (ALPHA**2 + SIGMA**2).rsqrt(), rtol=1e-2)
