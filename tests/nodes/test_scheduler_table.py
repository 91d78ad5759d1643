"""Every sampler node against diffusers' class, with a real tiny UNet, at 5, 10, 25 and 50 steps in one batch."""

import itertools
import json
from dataclasses import dataclass, field

import diffusers
import pytest
import torch
from driving import close, sample
from flowgen_nodes.schedulers import (
    deis,
    dpm_2m,
    dpm_2m_sde,
    dpm_2s,
    dpm_3m,
    euler,
    euler_ancestral,
    heun,
    lms,
    unipc,
)
from flowgen_nodes.schedulers.kinds import predicted

from flowgen.values import Model, Noise, Part, PerItem, Prediction
from flowgen.values.model import canonical
from flowgen.values.random import draw, start

STEPS = [5, 10, 25, 50]
SHAPE = (2, 8, 8)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@dataclass
class Case:
    """A node and the class and options of diffusers that it should equal."""

    node: type
    theirs: str
    options: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)
    steps: list = field(default_factory=lambda: STEPS)
    step: dict = field(default_factory=dict)
    """arguments of diffusers' step"""

    def __str__(self):
        said = [self.node.__name__, *self.options.items(), *self.arguments.items()]
        return "-".join("=".join(map(str, e)) if isinstance(e, tuple) else e for e in said)


def scheduler_of(case):
    cls = getattr(diffusers, case.theirs)
    trained = "Flow" not in case.theirs and "EDM" not in case.theirs
    return cls(**{**(BETAS if trained else {}), **case.options})


@pytest.fixture(scope="module")
def unet():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = diffusers.UNet2DModel(
            sample_size=8,
            in_channels=2,
            out_channels=2,
            layers_per_block=1,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )
    return made.eval().requires_grad_(False)


def theirs(case, unet, seed, steps):
    """diffusers' loop for one item."""
    scheduler = scheduler_of(case)
    mu = {"mu": diffusers_mu(scheduler)} if scheduler.config.get("use_dynamic_shifting") else {}
    sigmas = {"sigmas": torch.linspace(1, 1 / steps, steps).tolist()} if mu and "Flow" in case.theirs else {}
    scheduler.set_timesteps(**({} if sigmas else {"num_inference_steps": steps}), **mu, **sigmas)
    if case.node in (deis.DEIS, lms.LMS):  # in float32 their coefficients lose three digits by cancellation
        scheduler.sigmas = scheduler.sigmas.double()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, *SHAPE, generator=generator) * getattr(scheduler, "init_noise_sigma", 1.0)
    takes = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(unet(scaled, t).sample, t, x, **takes, **case.step, return_dict=False)[0]
    return x[0]


def diffusers_mu(scheduler):
    """As FluxPipeline computes it, for an 8 x 8 latent in patches of 2 x 2."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    about = scheduler.config
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    return calculate_shift(16, *(about.get(name, default) for name, default in zip(names, (256, 4096, 0.5, 1.15))))


def model_of(case):
    config = canonical(json.loads(scheduler_of(case).to_json_string()))
    return Model({"scheduler": Part("scheduler", "", "", config)}, "tiny")


def denoiser(unet, about):
    kind = predicted(about)

    def denoise(x):
        square = x.time.alpha**2 + x.time.sigma**2
        scale = torch.ones_like(square) if kind == "flow" else square.rsqrt()
        said = unet((x * scale).data, x.time.timestep).sample
        return Prediction(said, x, kind)

    return denoise


def mine(case, unet, seeds, steps, **more):
    data, after = draw(start(seeds), SHAPE)
    model = model_of(case)
    arguments = {"model": model, "steps": PerItem(steps), **case.arguments, **more}
    return sample(case.node, Noise(data, after, "space"), denoiser(unet, model.config("scheduler")), **arguments)


SPACINGS = ["linspace", "leading", "trailing"]
LEVELS = [{}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
COARSE = [
    (dpm_2m.DPM2M, "DPMSolverMultistepScheduler", {}),
    (dpm_2m.DPM2M, "DPMSolverMultistepScheduler", {"solver_type": "heun", "final_sigmas_type": "sigma_min"}),
    (dpm_3m.DPM3M, "DPMSolverMultistepScheduler", {"solver_order": 3}),
    (dpm_2m_sde.DPM2MSDE, "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    (
        dpm_2m_sde.DPM2MSDE,
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
    ),
    (dpm_2s.DPM2S, "DPMSolverSinglestepScheduler", {}),
    (unipc.UniPC, "UniPCMultistepScheduler", {}),
    (unipc.UniPC, "UniPCMultistepScheduler", {"solver_order": 3, "solver_type": "bh1"}),
    (deis.DEIS, "DEISMultistepScheduler", {}),
    (deis.DEIS, "DEISMultistepScheduler", {"solver_order": 3}),
]
FINE = [
    (euler.Euler, "EulerDiscreteScheduler", {}),
    (heun.Heun, "HeunDiscreteScheduler", {}),
    (lms.LMS, "LMSDiscreteScheduler", {}),
    (euler_ancestral.EulerAncestral, "EulerAncestralDiscreteScheduler", {}),
]


def cases():
    for (node, name, options), spacing, levels, kind in itertools.product(
        COARSE + FINE, SPACINGS, LEVELS, ["epsilon", "v_prediction", "sample"]
    ):
        if ("Singlestep" in name and spacing != "linspace") or ("Ancestral" in name and (levels or kind == "sample")):
            continue
        spaced = {} if "Singlestep" in name else {"timestep_spacing": spacing, "steps_offset": 1}
        if spacing != "leading":
            spaced.pop("steps_offset", None)
        if levels and "final_sigmas_type" in options:
            continue  # a last step of no length, which diffusers divides by
        # with 50 beta sigmas two timesteps are equal, and diffusers runs off its list
        steps = STEPS[:3] if "use_beta_sigmas" in levels else STEPS
        yield Case(node, name, {**options, **spaced, **levels, "prediction_type": kind}, steps=steps)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_equals_diffusers(unet, case):
    wanted = torch.stack([theirs(case, unet, seed, steps) for seed, steps in enumerate(case.steps)])
    assert close(mine(case, unet, range(len(case.steps)), case.steps), wanted, 1e-4)
