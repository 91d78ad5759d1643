"""Interpolation against closed forms in float64, and whether a batch of many ways is each way alone."""

import math

import pytest
import torch
from flowgen_nodes.interpolation.between import between_conditions, between_latents, between_noises

from flowgen.errors import WiringError
from flowgen.values import Conditioning, Latent, Noise, PerItem

WAYS = PerItem([0.0, 0.1, 0.5, 0.77, 1.0, -0.2, 1.3])
COUNT = len(WAYS)


def noises(dtype=torch.float32, shape=(4, 8, 8)):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(COUNT, *shape, generator=generator, dtype=dtype) for _ in range(2))
    streams = torch.zeros(COUNT, 3, dtype=torch.uint8), torch.ones(COUNT, 3, dtype=torch.uint8)
    return Noise(a, streams[0], "space"), Noise(b, streams[1], "space")


def by_hand(a, b, at):
    """Rotation in the plane of two vectors of any length: the part of b across a is what a is turned towards."""
    a, b = a.double().flatten(), b.double().flatten()
    u = a / a.norm()
    across = b / b.norm() - (b / b.norm() @ u) * u
    angle = math.acos(float(b / b.norm() @ u))
    # in oblique coordinates: a sin((1 - t) angle) + b sin(t angle), over sin(angle); here by solving for them
    turned = math.cos(at * angle) * u + math.sin(at * angle) * across / across.norm()
    basis = torch.stack([u, b / b.norm()], 1)
    of_u, of_v = torch.linalg.lstsq(basis, turned[:, None]).solution.flatten()
    return of_u * a.norm() * u + of_v * b


def test_slerp_is_a_rotation():
    a, b = noises()
    found = between_noises(a, b, WAYS)
    for row, at in enumerate(WAYS.values):
        expected = by_hand(a.data[row], b.data[row], at).reshape(4, 8, 8)
        assert (found.data[row] - expected).abs().max() < 1e-6
    assert torch.equal(found.stream, a.stream)
    assert found.space == "space"


def test_slerp_keeps_length_and_divides_the_angle():
    a, b = noises(torch.float64)
    lengths = torch.linspace(1, 9, COUNT, dtype=torch.float64).reshape(-1, 1, 1, 1)
    a, b = (n.replace(data=n.data / n.data.flatten(1).norm(dim=1)[:, None, None, None] * lengths) for n in (a, b))
    flat = [n.data.flatten(1) for n in (a, between_noises(a, b, WAYS), b)]
    assert torch.allclose(flat[1].norm(dim=1), lengths.flatten(), rtol=1e-13)
    angles = [torch.acos((x * flat[0]).sum(1) / lengths.flatten() ** 2) for x in flat[1:]]
    share = torch.tensor(WAYS.values, dtype=torch.float64).abs()
    assert torch.allclose(angles[0], share * angles[1], atol=1e-7)


@pytest.mark.parametrize("how", ["slerp", "lerp"])
def test_ends_are_exact_and_items_independent(how):
    a, b = noises()
    found = between_noises(a, b, WAYS, how)
    assert torch.equal(found.data[0], a.data[0])
    assert torch.equal(found.data[4], b.data[4])
    for row in range(COUNT):
        alone = between_noises(a.take([row]), b.take([row]), WAYS.take([row]), how)
        assert torch.equal(alone.data[0], found.data[row])


def test_lerp():
    a, b = (Latent(n.data, "space") for n in noises())
    found = between_latents(a, b, WAYS).data
    share = torch.tensor(WAYS.values, dtype=torch.float64).reshape(-1, 1, 1, 1)
    assert torch.allclose(found.double(), a.data + share * (b.data.double() - a.data), atol=1e-6)
    variance = between_noises(*noises(shape=(4, 64, 64)), WAYS, "lerp").data[2].var()
    assert abs(variance - 0.5) < 0.02


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-8, 1e-6, 1e-4])
def test_nearly_parallel(scale, apart):
    """With an angle of ``apart``, the way differs from the straight one by its square."""
    u, v = torch.eye(16, dtype=torch.float64)[:2]
    a = Noise(u.expand(COUNT, -1), torch.zeros(COUNT, 1, dtype=torch.uint8))
    b = a.replace(data=(scale * (math.cos(apart) * u + math.sin(apart) * v)).expand(COUNT, -1))
    found, straight = between_noises(a, b, WAYS).data, between_noises(a, b, WAYS, "lerp").data
    assert (found - straight).abs().max() <= scale * (apart**2 + 1e-15)


def test_opposite_noises_are_refused_and_nearly_opposite_ones_not():
    u, v = torch.eye(16, dtype=torch.float64)[:2]
    a = Noise(u[None], torch.zeros(1, 1, dtype=torch.uint8))
    with pytest.raises(WiringError, match="opposite"):
        between_noises(a, a.replace(data=-2 * a.data), PerItem([0.3]))
    near = math.pi - 1e-5
    b = a.replace(data=(math.cos(near) * u + math.sin(near) * v)[None])
    middle = between_noises(a, b, PerItem([0.5])).data[0]
    assert torch.allclose(middle, math.cos(near / 2) * u + math.sin(near / 2) * v, atol=1e-9)


def test_a_vector_of_zeros_is_met_straight():
    a = Noise(torch.randn(1, 16), torch.zeros(1, 1, dtype=torch.uint8))
    found = between_noises(a, a.replace(data=torch.zeros(1, 16)), PerItem([0.25]))
    assert torch.allclose(found.data, 0.75 * a.data)


def conditions():
    generator = torch.Generator().manual_seed(1)
    made = []
    for length in (3, 5):
        states, pooled = torch.randn(COUNT, 6, 8, generator=generator), torch.randn(COUNT, 8, generator=generator)
        mask = (torch.arange(6) < length).long().expand(COUNT, -1)
        made.append(Conditioning(states, pooled, mask, space="kind"))
    return made


def test_conditions():
    a, b = conditions()
    found = between_conditions(a, b, WAYS)
    for name in ("states", "pooled"):
        mine, first, second = (getattr(each, name) for each in (found, a, b))
        for row, at in enumerate(WAYS.values):
            assert torch.allclose(mine[row], (1 - at) * first[row] + at * second[row], atol=1e-6)
        assert torch.equal(mine[4], second[4])
    assert found.mask.sum(1).tolist() == [3, 5, 5, 5, 5, 5, 5]
    round_ = between_conditions(a, b, WAYS, "slerp")
    expected = between_noises(*(Noise(each.pooled, each.mask.byte()) for each in (a, b)), WAYS).data
    assert torch.equal(round_.pooled, expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": "other"}, "^b is a condition of the kind 'other', a of 'kind': there is nothing in between"),
        ({"labels": torch.zeros(COUNT, dtype=torch.long)}, "labels"),
        ({"sizes": torch.zeros(COUNT, 6)}, "sizes"),
        ({"pooled": None}, "^b has no pooled, a has: they come from two kinds of models\n  encode both"),
        ({"states": torch.zeros(COUNT, 7, 9)}, r"^b has states of 7 x 9 \(token, width\), a of 6 x 8\n  encode both"),
        ({"mask": None}, "^b has no mask, a has"),
    ],
)
def test_conditions_that_have_no_in_between(change, said):
    a, b = conditions()
    with pytest.raises(WiringError, match=said):
        between_conditions(a, b.replace(**change), WAYS)


def test_what_has_no_in_between():
    a, b = noises()
    with pytest.raises(WiringError) as error:
        between_noises(a, b.replace(data=b.data[..., :6]), WAYS)
    assert str(error.value) == (
        "b is noise of 4 x 8 x 6 (channel, y, x), a of 4 x 8 x 8\n"
        "  draw both with one 'width' and 'height', of a video also 'frames'"
    )
    with pytest.raises(WiringError) as error:
        between_noises(a, b.replace(space="other"), WAYS)
    assert str(error.value) == (
        "b is noise of the latent space 'other', a of 'space': there is nothing in between\n"
        "  make both with one model, 'model: ...'"
    )
    first, second = (Latent(n.data, "space") for n in (a, b))
    with pytest.raises(WiringError, match=r"^b is a latent of 4 x 4 x 8 \(.*\), a of 4 x 8 x 8\n  .*latent.resize"):
        between_latents(first, second.replace(data=second.data[:, :, :4]), WAYS)
    with pytest.raises(WiringError, match=r"^b is a latent of the latent space 'pixels', a of 'space'"):
        between_latents(first, second.replace(space=""), WAYS)
    level = torch.full((COUNT,), 0.5, dtype=torch.float64)
    noisy = Latent(a.data, "space", level, level)
    with pytest.raises(WiringError, match="noisy"):
        between_latents(noisy, noisy, WAYS)


def test_noises_that_inversions_found():
    """What lies between such noise and another is taken up where the inversion ended; two must have ended together."""
    a, b = noises()
    sigma = torch.linspace(0.5, 0.9, COUNT, dtype=torch.float64)
    ends = {"alpha": (1 - sigma**2).sqrt(), "sigma": sigma, "added": torch.zeros(COUNT, dtype=torch.bool)}
    for found in (between_noises(a.replace(**ends), b, WAYS), between_noises(a, b.replace(**ends), WAYS)):
        assert all(torch.equal(getattr(found, name), value) for name, value in ends.items())
    both = between_noises(a.replace(**ends), b.replace(**ends), WAYS)
    assert torch.equal(both.sigma, sigma)
    other = b.replace(**{**ends, "sigma": 0.9 * sigma})
    with pytest.raises(WiringError, match=r"^a comes from an inversion .* noise level 0\.5774, b from one"):
        between_noises(a.replace(**ends), other, WAYS)
    with pytest.raises(WiringError, match=r"^b comes from an inversion with a 'strength'"):
        between_noises(a.replace(**ends), b.replace(**{**ends, "added": ~ends["added"]}), WAYS)
