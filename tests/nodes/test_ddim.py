"""scheduler.ddim against the paper's equations in float64, and against diffusers, with the data's exact denoiser."""

import itertools

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from driving import SHAPE, close, exact, float32_bounds, gaussian, made, noise, rescheduled, run, sample, tables
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.schedulers.clipping import bounds, quantile
from flowgen_nodes.schedulers.ddim import DDIM
from flowgen_nodes.schedulers.ddpm import DDPM
from flowgen_nodes.schedulers.schedule import alphas_cumprod, timesteps

from flowgen.errors import WiringError
from flowgen.values import PerItem

TOTAL, OFFSET = 1000, 1
ITEMS = list(itertools.product([0.0, 0.5, 1.0], [1, 5, 10, 25, 50]))
"""eta and steps of the items of one batch"""
UNEVEN = [(0.0, 7), (1.0, 7), (0.0, 30), (0.5, 30)]
"""step counts that don't divide T"""
SPACINGS, KINDS, CLIPS = ["leading", "trailing", "linspace"], ["epsilon", "v_prediction"], ["never", 0.7]


@pytest.fixture(scope="module")
def model(zoo_folder):
    return read_model(zoo_folder / "digits", "digits")


def batch(items):
    return {"eta": PerItem([eta for eta, _ in items]), "steps": PerItem([steps for _, steps in items])}


def visited(steps, spacing):
    """Lin et al. 2023, table 2, whose timesteps start at 1; steps_offset is Stable Diffusion's."""
    if spacing == "linspace":
        return [round(n * (TOTAL - 1) / max(1, steps - 1)) for n in range(steps)][::-1]
    if spacing == "quad":  # Song et al. 2021, appendix D.2, as their code has it
        return [int(tau) for tau in np.linspace(0, np.sqrt(TOTAL * 0.8), steps) ** 2][::-1]
    if spacing == "leading":
        return [1 + n * (TOTAL // steps) - 1 + OFFSET for n in range(steps)][::-1]
    return [int(np.round(TOTAL - n * TOTAL / steps)) - 1 for n in range(steps)]


def paper(seed, eta, times, bars, kind, clip):
    """Song et al. 2021, eq. 12 with the sigma of eq. 16, over the timesteps tau = ``times``; float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SHAPE, generator=generator).double()
    for t, before in zip(times, [*times[1:], 0], strict=True):  # without set_alpha_to_one the way ends at alpha-bar_0
        bar, bar_before = float(bars[t]), float(bars[before])
        alpha, sigma = bar**0.5, (1 - bar) ** 0.5
        said = exact(x, alpha, sigma, kind)
        x0 = (x - sigma * said) / alpha if kind == "epsilon" else alpha * x - sigma * said
        epsilon = said if kind == "epsilon" else alpha * said + sigma * x
        if clip != "never":
            x0 = x0.clamp(-clip, clip)
        spread = eta * ((1 - bar_before) / (1 - bar)) ** 0.5 * (1 - bar / bar_before) ** 0.5
        x = bar_before**0.5 * x0 + (1 - bar_before - spread**2) ** 0.5 * epsilon
        if eta > 0:
            x = x + spread * torch.randn(SHAPE, generator=generator).double()
    return x


def theirs(folder, seed, eta, steps, spacing, kind, clip, reuse):
    """diffusers' scheduler for one item with its own generator."""
    settings = {"clip_sample": clip != "never", "clip_sample_range": 1.0 if clip == "never" else clip}
    scheduler = DDIMScheduler.from_pretrained(folder, timestep_spacing=spacing, prediction_type=kind, **settings)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, *SHAPE, generator=generator)
    for t in scheduler.timesteps:
        bar = scheduler.alphas_cumprod[t].double()
        said = exact(x.double(), bar.sqrt(), (1 - bar).sqrt(), kind).float()
        x = scheduler.step(said, t, x, eta=eta, generator=generator, use_clipped_model_output=reuse, return_dict=False)[
            0
        ]
    return x[0]


@pytest.mark.parametrize("items", [ITEMS, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize(("spacing", "kind", "clip"), list(itertools.product([*SPACINGS, "quad"], KINDS, CLIPS)))
def test_equals_the_paper(model, zoo_folder, spacing, kind, clip, items):
    arguments = batch(items) | {
        "model": model,
        "spacing": spacing,
        "prediction_type": kind,
        "clip_sample": clip,
        "previous": "exact",
    }
    bars = tables(zoo_folder / "digits" / "scheduler")
    wanted = torch.stack([paper(n, eta, visited(s, spacing), bars, kind, clip) for n, (eta, s) in enumerate(items)])
    seeds, bounds = range(len(items)), float32_bounds([steps for _, steps in items], spacing)
    assert close(sample(DDIM, noise(seeds, torch.float64), gaussian(kind), **arguments), wanted, 1e-10)
    assert close(sample(DDIM, noise(seeds), gaussian(kind), **arguments).double(), wanted, bounds)


@pytest.mark.parametrize("items", [ITEMS, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize(("clip", "reuse"), [("never", False), (0.7, False), (0.7, True)])
@pytest.mark.parametrize(("spacing", "kind"), list(itertools.product(SPACINGS, KINDS)))
def test_equals_diffusers(model, zoo_folder, spacing, kind, clip, reuse, items):
    folder = zoo_folder / "digits" / "scheduler"
    wanted = torch.stack([theirs(folder, n, *item, spacing, kind, clip, reuse) for n, item in enumerate(items)])
    arguments = {"spacing": spacing, "prediction_type": kind, "clip_sample": clip, "use_clipped_epsilon": reuse}
    mine = sample(DDIM, noise(range(len(items))), gaussian(kind), model=model, **batch(items), **arguments)
    assert close(mine, wanted, float32_bounds([steps for _, steps in items], spacing))


def test_items_do_not_notice_their_batch(model):
    seeds = range(len(ITEMS))
    alone = [
        sample(DDIM, noise([seed]), gaussian("epsilon"), model=model, **batch([item]))
        for seed, item in zip(seeds, ITEMS, strict=True)
    ]
    arguments = batch(ITEMS) | {"model": model}
    delays = [3 * n % 7 for n in seeds]
    mixed = run(DDIM, noise(seeds), gaussian("epsilon"), delays, [steps for _, steps in ITEMS], arguments)
    assert torch.equal(mixed, torch.cat(alone))


def test_ends_at_the_data(model):
    """With every timestep and eta 0 the start noise is carried along the probability flow, a linear map here."""
    flat = rescheduled(model, steps_offset=0)
    start = noise([0], torch.float64)
    end = sample(DDIM, start, gaussian("epsilon"), model=flat, eta=PerItem([0.0]), steps=PerItem([TOTAL]))
    bars = alphas_cumprod(flat.part("scheduler").config)
    first, last = (
        (bar**0.5, (bar * 0.25 + 1 - bar) ** 0.5) for bar in (float(bars[-1]), float(bars[0]))
    )  # mean factor and deviation of the marginals
    flow = 0.3 * last[0] + last[1] / first[1] * (start.data - 0.3 * first[0])
    assert close(end, flow, 0.01)


def test_time_of_what_it_emits(model):
    arguments = {"model": model, "steps": PerItem([10, 25]), "eta": PerItem([0.0, 0.0])}
    loop = made(DDIM, noise([0, 1]), [0, 1], arguments)
    assert loop.length() == [10, 25]
    x = loop.emit(loop.begin(), PerItem([0, 5])).x
    bars = alphas_cumprod(model.part("scheduler").config)
    assert x.time.timestep.tolist() == [901, 24 * 40 - 5 * 40 + 1]
    assert x.time.fraction.tolist() == [0, 0.2]
    assert x.time.alpha.tolist() == pytest.approx([bars[901] ** 0.5, bars[761] ** 0.5], rel=1e-12)
    assert (x.time.alpha**2 + x.time.sigma**2).tolist() == pytest.approx([1, 1], rel=1e-12)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_step_count_visits_as_many_timesteps(spacing):
    for steps in range(1, TOTAL + 1):
        found = timesteps(TOTAL, steps, spacing, 0)
        assert len(found) == steps
        assert all(before > after for before, after in itertools.pairwise(found))
        assert found[-1] >= 0


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_schedules_equal_diffusers_to_the_bit(model, zoo_folder, kind):
    changed = rescheduled(model, beta_schedule=kind)
    bars = alphas_cumprod(changed.part("scheduler").config)
    assert np.array_equal(bars, tables(zoo_folder / "digits" / "scheduler", beta_schedule=kind).numpy())


def test_schedule_in_float64(model):
    betas = np.linspace(0.00085**0.5, 0.02**0.5, TOTAL) ** 2
    np.testing.assert_allclose(alphas_cumprod(model.part("scheduler").config), np.cumprod(1 - betas), rtol=1e-4)


@pytest.mark.parametrize("loop", [DDIM, DDPM])
def test_thresholding_equals_diffusers(model, zoo_folder, loop):
    options = {"thresholding": True, "dynamic_thresholding_ratio": 0.99, "sample_max_value": 1.05}
    cls = DDIMScheduler if loop is DDIM else DDPMScheduler
    scheduler = cls.from_pretrained(zoo_folder / "digits" / "scheduler", **options)
    scheduler.set_timesteps(10)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(1, *SHAPE, generator=generator)
    for t in scheduler.timesteps:
        bar = scheduler.alphas_cumprod[t].double()
        said = exact(x.double(), bar.sqrt(), (1 - bar).sqrt(), "epsilon").float()
        x = scheduler.step(said, t, x, generator=generator, return_dict=False)[0]
    given = {"model": rescheduled(model, **options), "steps": PerItem([10])}
    assert close(sample(loop, noise([5]), gaussian("epsilon"), **given), x, 1e-5)


@pytest.mark.parametrize("ratio", [0, 0.3, 0.995, 1])
def test_quantiles_are_torch_s_and_take_any_number(ratio):
    rows = torch.rand(3, 3072, generator=torch.Generator().manual_seed(0))
    assert quantile(rows, ratio).equal(torch.quantile(rows, ratio, dim=1))
    many = torch.linspace(0, 1, 2**24 + 4)[None]  # more than torch.quantile takes
    assert float(quantile(many, ratio)) == pytest.approx(ratio, abs=1e-6)


def test_thresholding_divides_by_a_quantile_of_at_least_1():
    """Saharia et al. 2022, section 2.3, by hand."""
    x0 = torch.tensor([[-4.0, 1.0, 2.0, 3.0, 0.0], [0.1, -0.2, 0.3, 0.4, -0.5]])
    expected = torch.tensor([[-1.0, 1 / 3, 2 / 3, 1.0, 0.0], [0.1, -0.2, 0.3, 0.4, -0.5]])
    assert torch.allclose(bounds("never", 0.75, {}).cut(x0), expected)
    told = {"thresholding": True, "dynamic_thresholding_ratio": 0.75, "sample_max_value": 2.0, "clip_sample": True}
    assert torch.allclose(bounds("model", "model", told).cut(x0)[0], torch.tensor([-1.0, 0.5, 1.0, 1.0, 0.0]))
    assert torch.equal(bounds("model", "never", told).cut(x0), x0.clamp(-1, 1))
    assert torch.equal(bounds("never", "never", told).cut(x0), x0)


def test_zero_terminal_snr_equals_diffusers(model, zoo_folder):
    """Lin et al. 2023: trailing steps begin in pure noise, which tells v nothing of x0 but its mean."""
    options = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    bars = alphas_cumprod(rescheduled(model, **options).part("scheduler").config)
    assert np.array_equal(bars, tables(zoo_folder / "digits" / "scheduler", rescale_betas_zero_snr=True).numpy())
    assert bars[-1] == 0
    given = {"model": rescheduled(model, **options), "steps": PerItem([5]), "previous": "exact", "clip_sample": "never"}
    wanted = paper(0, 0.0, visited(5, "trailing"), bars, "v_prediction", "never")
    assert close(sample(DDIM, noise([0], torch.float64), gaussian("v_prediction"), **given), wanted[None], 1e-10)


def test_another_kind_of_prediction_is_refused(model):
    with pytest.raises(WiringError, match="predicts 'v_prediction', the scheduler expects 'epsilon'"):
        sample(DDIM, noise([0]), gaussian("v_prediction"), model=model, **batch([(0.0, 5)]))


@pytest.mark.parametrize("steps", [0, 1001])
def test_step_counts_out_of_range_are_refused(model, steps):
    with pytest.raises(WiringError, match="steps must be 1 to 1000"):
        sample(DDIM, noise([0]), gaussian("epsilon"), model=model, **batch([(0.0, steps)]))
