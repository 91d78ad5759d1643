"""Every sampler node against diffusers' class, with a real tiny UNet, at 1, 5, 10, 25 and 50 steps in one batch."""

import importlib
import itertools
import json
import sys
import types
from dataclasses import dataclass, field

import diffusers
import pytest
import torch
from driving import close, made, run, sample
from flowgen_nodes.denoisers.denoise import network_input
from flowgen_nodes.schedulers import (
    adapter,
    deis,
    dpm_2m,
    dpm_2m_sde,
    dpm_2s,
    dpm_3m,
    edm,
    euler,
    euler_ancestral,
    heun,
    lcm,
    lms,
    pndm,
    tcd,
    unipc,
)
from flowgen_nodes.schedulers.kinds import predicted

from flowgen.errors import WiringError
from flowgen.values import Latent, Model, Noise, Part, PerItem, Prediction
from flowgen.values.model import canonical
from flowgen.values.random import draw, start

STEPS = [1, 5, 10, 25, 50]
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
    return tiny_unet()


def tiny_unet():
    """The same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = diffusers.UNet2DModel(
            sample_size=8,
            in_channels=2,
            out_channels=2,
            layers_per_block=1,
            block_out_channels=(8,),
            norm_num_groups=4,
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            add_attention=False,
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
    return calculate_shift(16, *(about[name] for name in names))


def model_of(case):
    config = canonical(json.loads(scheduler_of(case).to_json_string()))
    return Model({"scheduler": Part("scheduler", "", "", config)}, "tiny")


def denoiser(unet, about):
    kind = predicted(about)

    def denoise(x):
        return Prediction(unet(network_input(x, kind), x.time.timestep).sample, x, kind)

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
    (
        unipc.UniPC,
        "UniPCMultistepScheduler",
        {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min"},
    ),
    (deis.DEIS, "DEISMultistepScheduler", {}),
    (deis.DEIS, "DEISMultistepScheduler", {"solver_order": 3}),
]
FINE = [
    (euler.Euler, "EulerDiscreteScheduler", {}),
    (heun.Heun, "HeunDiscreteScheduler", {}),
    (lms.LMS, "LMSDiscreteScheduler", {}),
    (euler_ancestral.EulerAncestral, "EulerAncestralDiscreteScheduler", {}),
]


KINDS = ["epsilon", "v_prediction", "sample"]


def spaced(node, name, options, spacing, levels, kind):
    """A case over the noise levels of training; None where diffusers has no such thing, or fails."""
    if ("Singlestep" in name and spacing != "linspace") or ("Ancestral" in name and (levels or kind == "sample")):
        return None
    if levels and (options.get("final_sigmas_type") or (node is lms.LMS and kind == "sample")):
        return None  # a last step of no length, which diffusers divides by; growth that swallows the bound
    about = {} if "Singlestep" in name else {"timestep_spacing": spacing}
    if spacing == "leading":
        about["steps_offset"] = 1
    # with 50 beta sigmas two timesteps are equal, and diffusers runs off its list
    steps = STEPS[:-1] if "use_beta_sigmas" in levels else STEPS
    return Case(node, name, {**options, **about, **levels, "prediction_type": kind}, steps=steps)


def cases():
    """Each solver with each spacing, with each kind of prediction and with each choice of noise levels."""
    for n, (node, name, options) in enumerate(COARSE + FINE):
        for m in range(3):
            plain = spaced(node, name, options, SPACINGS[m], {}, KINDS[(n + m) % 3])
            spread = spaced(node, name, options, SPACINGS[(n + m) % 3], LEVELS[m + 1], KINDS[(n + 2 * m) % 3])
            yield from filter(None, (plain, spread))
    for n, (spacing, kind) in enumerate(itertools.product(SPACINGS, KINDS[:2])):
        skip = n % 4 in (0, 3)
        about = {"timestep_spacing": spacing, "skip_prk_steps": skip, "prediction_type": kind}
        yield Case(pndm.PNDM, "PNDMScheduler", {**about, "set_alpha_to_one": skip}, steps=STEPS if skip else STEPS[1:])
    for kind, eta in zip(KINDS, (0.0, 0.3, 1.0), strict=True):
        about = {"prediction_type": kind, "clip_sample": kind == "sample"}
        yield Case(lcm.LCM, "LCMScheduler", about, steps=[1, 2, 4, 8])
        eta_of = {"eta": PerItem([eta] * 4)}
        yield Case(tcd.TCD, "TCDScheduler", {"prediction_type": kind}, eta_of, [1, 2, 4, 50], {"eta": eta})
    for kind, levels in itertools.product(KINDS[:2], ["karras", "exponential"]):
        about = {"prediction_type": kind, "sigma_schedule": levels}
        steps = STEPS[levels == "exponential" :]  # of which diffusers takes the last for the first if it is alone
        yield Case(edm.EDM, "EDMEulerScheduler", about, {"solver": "euler"}, steps)
        yield Case(dpm_2m.DPM2M, "EDMDPMSolverMultistepScheduler", about, steps=steps)
    for options in (
        {"shift": 3.0},
        {"use_dynamic_shifting": True},
        {"use_dynamic_shifting": True, "time_shift_type": "linear", "shift_terminal": 0.1},
        {"shift": 2.0, "use_karras_sigmas": True},
    ):
        steps = STEPS["shift_terminal" in options :]  # one step can't both begin and end somewhere
        yield Case(euler.Euler, "FlowMatchEulerDiscreteScheduler", options, steps=steps)
    yield Case(heun.Heun, "FlowMatchHeunDiscreteScheduler", {"shift": 3.0})
    flow = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
    yield Case(dpm_2m.DPM2M, "DPMSolverMultistepScheduler", flow)
    yield Case(unipc.UniPC, "UniPCMultistepScheduler", flow)
    yield Case(deis.DEIS, "DEISMultistepScheduler", flow)
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    yield Case(euler.Euler, "EulerDiscreteScheduler", zero, steps=STEPS[1:])  # one from sigma 4096 cancels in float32
    yield Case(dpm_2m.DPM2M, "DPMSolverMultistepScheduler", zero)
    wide = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
    yield Case(dpm_2m.DPM2M, "DPMSolverMultistepScheduler", wide)
    yield Case(unipc.UniPC, "UniPCMultistepScheduler", wide)
    yield Case(heun.Heun, "HeunDiscreteScheduler", {"clip_sample": True, "clip_sample_range": 0.8})


def test_stable_audio_equals_its_class_but_for_the_source_of_noise(unet, monkeypatch):
    """Its class draws from a Brownian tree, of a library that needn't be there: it is given the item's own stream."""
    monkeypatch.setitem(sys.modules, "torchsde", types.ModuleType("torchsde"))
    module = importlib.import_module("diffusers.schedulers.scheduling_cosine_dpmsolver_multistep")
    counts, wanted = [5, 10, 25], []
    for seed, steps in enumerate(counts):
        scheduler = module.CosineDPMSolverMultistepScheduler()
        scheduler.set_timesteps(steps)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(1, *SHAPE, generator=generator) * scheduler.init_noise_sigma
        scheduler.noise_sampler = lambda *_, g=generator: torch.randn(1, *SHAPE, generator=g)
        for t in scheduler.timesteps:
            said = unet(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(said, t, x, return_dict=False)[0]
        wanted.append(x[0])
    about = json.loads(scheduler.to_json_string())
    model = Model({"scheduler": Part("scheduler", "", "", canonical(about))}, "tiny")
    data, after = draw(start(range(3)), SHAPE)
    given = {"model": model, "steps": PerItem(counts)}
    found = sample(dpm_2m_sde.DPM2MSDE, Noise(data, after, ""), denoiser(unet, about), **given)
    assert close(found, torch.stack(wanted), 1e-4)


LATE = [
    Case(euler.Euler, "EulerDiscreteScheduler", {"timestep_spacing": "leading", "steps_offset": 1}),
    Case(euler.Euler, "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    Case(heun.Heun, "HeunDiscreteScheduler"),
    Case(dpm_2m.DPM2M, "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    Case(dpm_3m.DPM3M, "DPMSolverMultistepScheduler", {"solver_order": 3}),
    Case(unipc.UniPC, "UniPCMultistepScheduler", {"solver_order": 3}),
    Case(pndm.PNDM, "PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}),
    Case(deis.DEIS, "DEISMultistepScheduler"),
]


@pytest.mark.parametrize("case", LATE, ids=str)
def test_the_last_steps_of_a_schedule_equal_diffusers(unet, case):
    """As its pipelines of image to image take them."""
    counts, strengths, wanted = [5, 10, 25], [0.5, 0.6, 1.0], []
    init = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(9))
    for seed, (steps, strength) in enumerate(zip(counts, strengths, strict=True)):
        scheduler = scheduler_of(case)
        scheduler.set_timesteps(steps)
        begin = (steps - min(int(steps * strength), steps)) * scheduler.order
        times = scheduler.timesteps[begin:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        noise = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(seed))
        noisy = scheduler.scale_noise if hasattr(scheduler, "scale_noise") else scheduler.add_noise
        takes = {"noise": noise, "timestep" if hasattr(scheduler, "scale_noise") else "timesteps": times[:1]}
        x = noisy(init[seed : seed + 1], **takes)
        for t in times:
            scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(unet(scaled, t).sample, t, x, return_dict=False)[0]
        wanted.append(x[0])
    more = {"init": Latent(init, "space"), "strength": PerItem(strengths)}
    assert close(mine(case, unet, range(3), counts, **more), torch.stack(wanted), 1e-4)


ADAPTED = [
    ("KDPM2DiscreteScheduler", {"use_karras_sigmas": True}),
    ("KDPM2AncestralDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {"prediction_type": "v_prediction"}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    ("PNDMScheduler", {}),
    ("LCMScheduler", {}),
    ("SASolverScheduler", {}),
    ("EDMDPMSolverMultistepScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}),
]


@pytest.mark.parametrize(("name", "options"), ADAPTED, ids=[name for name, _ in ADAPTED])
def test_the_adapter_equals_the_class_that_it_takes(unet, name, options):
    """In one batch, the second item two calls behind the first; what an object keeps is taken out after every call."""
    case = Case(adapter.Adapter, name, options)
    model = model_of(case)
    arguments = {"model": model, "class_": name, "options": options, "steps": 7}
    data, after = draw(start([0, 1]), SHAPE)
    loop = made(adapter.Adapter, Noise(data, after, ""), [0], arguments)
    lengths = loop.length() * 2
    denoise = denoiser(unet, model.config("scheduler"))
    found = run(adapter.Adapter, Noise(data, after, ""), denoise, [0, 2], lengths, arguments)
    assert close(found, torch.stack([theirs(case, unet, seed, 7) for seed in (0, 1)]), 1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_": "EulerScheduler"}, "diffusers has no scheduler 'EulerScheduler'"),
        ({"class_": "EulerDiscreteScheduler", "options": {"eta": 1}}, "has no option 'eta'"),
        ({"class_": "PNDMScheduler", "steps": 0}, "doesn't run with 0 steps"),
    ],
)
def test_the_adapter_says_what_diffusers_lacks(arguments, message):
    model = model_of(Case(adapter.Adapter, "PNDMScheduler"))
    data, after = draw(start([0]), SHAPE)
    with pytest.raises(WiringError, match=message):
        made(adapter.Adapter, Noise(data, after, ""), [0], {"model": model, **arguments}).length()


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_equals_diffusers(unet, case):
    wanted = torch.stack([theirs(case, unet, seed, steps) for seed, steps in enumerate(case.steps)])
    assert close(mine(case, unet, range(len(case.steps)), case.steps), wanted, 1e-4)
