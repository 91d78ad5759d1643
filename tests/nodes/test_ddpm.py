"""scheduler.ddpm against the paper's equations in float64, and against diffusers, with the data's exact denoiser."""

import itertools

import pytest
import torch
from diffusers import DDPMScheduler
from driving import SHAPE, close, exact, float32_bounds, gaussian, noise, rescheduled, run, sample, tables
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.schedulers.ddpm import DDPM

from flowgen.errors import WiringError
from flowgen.values import PerItem

STEPS = [1, 5, 10, 25, 50]
VARIANCES, SPACINGS = ["fixed_small", "fixed_large"], ["leading", "trailing", "linspace"]


@pytest.fixture(scope="module")
def model(zoo_folder):
    return read_model(zoo_folder / "digits", "digits")


def paper(seed, times, bars, kind, clip, variance):
    """Ho et al. 2020, algorithm 2 with the posterior of eq. 6 and 7 over the timesteps ``times``; float64.

    Between timesteps that lie apart, alpha is the ratio of their alpha-bars (Nichol & Dhariwal 2021, eq. 19).
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SHAPE, generator=generator).double()
    for t, before in zip(times, [*times[1:], None], strict=True):
        bar, bar_before = float(bars[t]), 1.0 if before is None else float(bars[before])
        alpha = bar / bar_before
        beta = 1 - alpha
        x0 = exact(x, bar**0.5, (1 - bar) ** 0.5, "sample")
        if clip != "never":
            x0 = x0.clamp(-clip, clip)
        mean = bar_before**0.5 * beta / (1 - bar) * x0 + alpha**0.5 * (1 - bar_before) / (1 - bar) * x
        spread = beta if variance == "fixed_large" else (1 - bar_before) / (1 - bar) * beta
        z = 0.0 if before is None else torch.randn(SHAPE, generator=generator).double()
        x = mean + spread**0.5 * z
    return x


def theirs(folder, seed, steps, spacing, kind, clip, variance):
    """diffusers' scheduler for one item with its own generator."""
    settings = {"clip_sample": clip != "never", "clip_sample_range": 1.0 if clip == "never" else clip}
    scheduler = DDPMScheduler.from_pretrained(
        folder, timestep_spacing=spacing, prediction_type=kind, variance_type=variance, **settings
    )
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, *SHAPE, generator=generator)
    for t in scheduler.timesteps:
        bar = scheduler.alphas_cumprod[t].double()
        said = exact(x.double(), bar.sqrt(), (1 - bar).sqrt(), kind).float()
        x = scheduler.step(said, t, x, generator=generator, return_dict=False)[0]
    return x[0]


@pytest.mark.parametrize(
    ("variance", "kind", "clip"), list(itertools.product(VARIANCES, ["epsilon", "v_prediction"], ["never", 0.7]))
)
def test_equals_the_paper(model, zoo_folder, variance, kind, clip):
    flat = rescheduled(model, steps_offset=0)
    bars = tables(zoo_folder / "digits" / "scheduler")
    counts = [*STEPS, 1000]
    times = [[n * (1000 // steps) for n in range(steps)][::-1] for steps in counts]
    wanted = torch.stack([paper(n, t, bars, kind, clip, variance) for n, t in enumerate(times)])
    arguments = {"steps": PerItem(counts), "prediction_type": kind, "clip_sample": clip, "variance": variance}
    seeds = range(len(counts))
    mine = sample(DDPM, noise(seeds, torch.float64), gaussian(kind), model=flat, **arguments)
    assert close(mine, wanted, 1e-8)
    assert close(sample(DDPM, noise(seeds), gaussian(kind), model=flat, **arguments).double(), wanted, 1e-5)


@pytest.mark.parametrize(
    ("variance", "spacing", "kind", "clip"),
    list(itertools.product(VARIANCES, SPACINGS, ["epsilon", "v_prediction"], ["never", 0.7])),
)
def test_equals_diffusers(model, zoo_folder, variance, spacing, kind, clip):
    counts = [*STEPS, 7, 30]
    folder = zoo_folder / "digits" / "scheduler"
    wanted = torch.stack([theirs(folder, n, s, spacing, kind, clip, variance) for n, s in enumerate(counts)])
    arguments = {"spacing": spacing, "prediction_type": kind, "clip_sample": clip, "variance": variance}
    mine = sample(DDPM, noise(range(len(counts))), gaussian(kind), model=model, steps=PerItem(counts), **arguments)
    assert close(mine, wanted, float32_bounds(counts, spacing))


def test_items_do_not_notice_their_batch(model):
    seeds = range(len(STEPS))
    alone = [
        sample(DDPM, noise([n]), gaussian("epsilon"), model=model, steps=PerItem([steps]))
        for n, steps in enumerate(STEPS)
    ]
    mixed = run(
        DDPM, noise(seeds), gaussian("epsilon"), [4, 0, 2, 9, 1], STEPS, {"model": model, "steps": PerItem(STEPS)}
    )
    assert torch.equal(mixed, torch.cat(alone))


def test_samples_have_the_mean_and_deviation_of_the_data(model):
    flat = rescheduled(model, steps_offset=0)
    count = 64
    end = sample(DDPM, noise(range(count)), gaussian("epsilon"), model=flat, steps=PerItem([250] * count))
    assert end.mean().item() == pytest.approx(0.3, abs=4 * 0.5 / end.numel() ** 0.5)
    assert end.std().item() == pytest.approx(0.5, rel=0.05)


def learned(x):
    """The exact prediction, and a variance that leans to the larger bound where x is large."""
    said = gaussian("epsilon")(x)
    return said.replace(variance=torch.tanh(x.data))


def test_a_learned_range_equals_diffusers(model, zoo_folder):
    counts = [5, 10, 25]
    scheduler = DDPMScheduler.from_pretrained(zoo_folder / "digits" / "scheduler", variance_type="learned_range")
    wanted = []
    for seed, steps in enumerate(counts):
        scheduler.set_timesteps(steps)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(1, *SHAPE, generator=generator)
        for t in scheduler.timesteps:
            bar = scheduler.alphas_cumprod[t].double()
            said = exact(x.double(), bar.sqrt(), (1 - bar).sqrt(), "epsilon").float()
            x = scheduler.step(torch.cat([said, torch.tanh(x)], 1), t, x, generator=generator, return_dict=False)[0]
        wanted.append(x[0])
    told = rescheduled(model, variance_type="learned_range")
    for given in ({"model": told}, {"model": model, "variance": "learned_range"}):
        mine = sample(DDPM, noise(range(3)), learned, steps=PerItem(counts), **given)
        assert close(mine, torch.stack(wanted), 1e-5)


def test_a_learned_range_needs_a_network_that_says_it(model):
    with pytest.raises(WiringError, match="the network says no variance"):
        sample(DDPM, noise([0]), gaussian("epsilon"), model=model, steps=PerItem([5]), variance="learned_range")
