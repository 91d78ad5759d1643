"""Noise levels of discrete training schedules against diffusers, those that begin at a sigma of 20291 among them."""

import itertools
import sys

import numpy as np
import pytest
import torch
from driving import close, made, noise, sample
from flowgen_nodes.schedulers.inverted import Ended, check_taken_up
from flowgen_nodes.schedulers.schedule import alphas_cumprod
from test_scheduler_table import (
    COARSE,
    FINE,
    KINDS,
    LEVELS,
    SHAPE,
    SPACINGS,
    Case,
    denoiser,
    model_of,
    scheduler_of,
    spaced,
    tiny_unet,
)

from flowgen.errors import WiringError
from flowgen.values import Noise, PerItem
from flowgen.values.random import draw, start

COSINE = {"beta_schedule": "squaredcos_cap_v2"}
SCHEDULES = [COSINE, {**COSINE, "num_train_timesteps": 100}, {}, {"beta_schedule": "linear", "beta_end": 0.02}]
SOLVERS = {(node, name): options for node, name, options in reversed(COARSE + FINE)}
ZERO_SNR = ("EulerDiscrete", "EulerAncestral", "DPMSolverMultistep", "UniPC")
"""classes of diffusers that offer zero terminal SNR"""


def grids(node, name, options, schedule):
    """Cases over a schedule that diffusers has."""
    for spacing, levels, zero in itertools.product(SPACINGS, LEVELS, (False, True)):
        case = spaced(node, name, options, spacing, levels, "epsilon")
        if case and (not zero or name.startswith(ZERO_SNR)):
            more = {"rescale_betas_zero_snr": True} if zero else {}
            yield Case(node, name, {**case.options, **schedule, **more}, steps=case.steps)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(("node", "name"), SOLVERS, ids=lambda part: getattr(part, "__name__", part))
def test_levels_and_timesteps_are_those_of_diffusers(node, name, schedule):
    cases = grids(node, name, SOLVERS[node, name], schedule)
    for case, steps in [(each, count) for each in cases for count in each.steps]:
        scheduler = scheduler_of(case)
        scheduler.set_timesteps(steps)
        grid = made(node, noise([0]), [0], {"model": model_of(case)}).grid(steps, SHAPE)
        places = [0, *range(1, len(scheduler.timesteps), scheduler.order)]
        np.testing.assert_allclose(grid.times, scheduler.timesteps.double()[places], atol=1e-3, err_msg=str(case))
        sigmas = scheduler.sigmas.double()[[*places, -1]]
        np.testing.assert_allclose(grid.ratio, sigmas, rtol=2e-6, err_msg=f"{case} {steps}")


class Double(torch.Tensor):
    """Numbers that Euler and its kin can't round to float32."""

    def to(self, *_args, **_more):
        return self


def theirs(case, net, seed, steps, monkeypatch):
    """diffusers' loop for one item in float64; what it draws is rounded to float32, as everywhere."""
    scheduler = scheduler_of(case)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()
    scheduler.set_begin_index(0)  # which else is that of the second of two timesteps that are equal
    module = sys.modules[type(scheduler).__module__]
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(
            module, "randn_tensor", lambda shape, generator, **_: torch.randn(shape, generator=generator).double()
        )
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, *SHAPE, generator=generator).double() * scheduler.init_noise_sigma
    takes = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    for t in scheduler.timesteps:
        said = net(scheduler.scale_model_input(x, t), t).sample
        x = scheduler.step(said.as_subclass(Double), t, x.as_subclass(Double), **takes, return_dict=False)[0]
        x = x.as_subclass(torch.Tensor)
    return x[0]


def trajectories():
    """Each solver over a cosine schedule, with each spacing, each kind of prediction, and Karras's levels."""
    for n, (node, name, options) in enumerate(COARSE + FINE):
        for m, spacing in enumerate(SPACINGS):
            levels = LEVELS[1] if m == n % 3 and "DEIS" not in name else {}  # DEIS would end in a step of no length
            if case := spaced(node, name, options, spacing, levels, KINDS[(n + m) % 3]):
                yield Case(node, name, {**case.options, **COSINE})


@pytest.fixture(scope="module")
def net():
    return tiny_unet().double()


@pytest.mark.parametrize("case", list(trajectories()), ids=str)
def test_steps_from_the_largest_level_equal_diffusers(net, case, monkeypatch):
    """In float64: x0 is the difference of numbers of 20291 and more, of which float32 leaves two digits."""
    counts = [1, 5, 25]
    wanted = torch.stack([theirs(case, net, seed, steps, monkeypatch) for seed, steps in enumerate(counts)])
    data, after = draw(start(range(3)), SHAPE)
    model = model_of(case)
    denoise = denoiser(net, model.config("scheduler"))
    found = sample(case.node, Noise(data.double(), after, ""), denoise, model=model, steps=PerItem(counts))
    assert found.dtype == wanted.dtype == torch.float64
    assert close(found, wanted, 1e-4)


@pytest.mark.parametrize("zero", [False, True])
def test_an_inversion_ends_where_samplers_over_noise_levels_begin(zero):
    case = Case(FINE[0][0], FINE[0][1], {**COSINE, "timestep_spacing": "trailing", "rescale_betas_zero_snr": zero})
    bar = alphas_cumprod(model_of(case).part("scheduler").config)[-1]
    left = Ended(float(np.sqrt(bar)), float(np.sqrt(1 - bar)), added=False)
    scheduler = scheduler_of(case)
    assert (bar == 0) == zero
    check_taken_up(left, 1.0, float(scheduler.sigmas[0]), has_init=False)
    with pytest.raises(WiringError, match="and the sampler begins at"):
        check_taken_up(left, 1.0, 4096.0 if not zero else 20291.0, has_init=False)
