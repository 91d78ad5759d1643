"""Which configurations of schedulers are of one training schedule, and which aren't."""

import json

import diffusers
import pytest
import torch
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.schedulers.trained import trained
from small import Lab

from flowgen.errors import UserError

SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
BETAS = (torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).tolist()
EDM = {"sigma_data": 0.5, "sigma_max": 80.0}
FLOW = {"shift": 3.0, "num_train_timesteps": 1000}
ALIKE = [
    (SCALED, {**SCALED, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
    (SCALED, {**SCALED, "prediction_type": "v_prediction", "use_karras_sigmas": True, "steps_offset": 1}),
    (SCALED, {"trained_betas": BETAS}),
    ({}, {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02, "num_train_timesteps": 1000}),
    (FLOW, {"shift": 1.0, "use_dynamic_shifting": True}),
    (FLOW, {**SCALED, "prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 5.0}),
    (EDM, {**EDM, "sigma_max": 500.0, "rho": 5.0, "sigma_schedule": "exponential"}),
]
UNLIKE = [
    (SCALED, {**SCALED, "beta_schedule": "linear"}),
    (SCALED, {**SCALED, "beta_end": 0.0125}),
    (SCALED, {**SCALED, "num_train_timesteps": 500}),
    (SCALED, {**SCALED, "snr_shift_scale": 3.0}),  # CogVideoX
    (SCALED, {"trained_betas": [beta * 1.1 for beta in BETAS]}),
    (SCALED, FLOW),
    (FLOW, {**FLOW, "num_train_timesteps": 500}),
    (EDM, {**EDM, "sigma_data": 1.0}),
    (EDM, {**EDM, "solver_order": 2}),  # Stable Audio, whose time is an angle
    (SCALED, {**SCALED, "beta_schedule": "laplace"}),
]


def words(about):
    return trained(json.dumps(about, sort_keys=True))


@pytest.mark.parametrize(("first", "second"), ALIKE)
def test_one_training_written_in_two_ways(first, second):
    assert words(first) == words(second)


@pytest.mark.parametrize(("first", "second"), UNLIKE)
def test_two_trainings(first, second):
    assert words(first) != words(second)


def test_the_words_are_diffusers_noise_levels():
    levels = diffusers.EulerDiscreteScheduler(**SCALED).sigmas[:-1].flip(0)
    said = " through ".join(f"{levels[n]:.3g}" for n in (0, 500)) + f" to {levels[999]:.3g}"
    assert words(SCALED) == f"1000 timesteps at sigma / alpha from {said}"


GRAPH = """\
flowgen: 1
sweep: {guidance: [1, 4]}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  again: {type: model, from: COPY, scheduler: {timestep_spacing: trailing, rescale_betas_zero_snr: true}}
  other: {type: model, from: ZOO/digits, scheduler: {beta_end: 0.03}}
  text: {type: encoder.text, text: a red three}
  empty: {type: encoder.text, text: ""}
  noise: {type: noise, seed: 1}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $guided, steps: 4}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  uncond: {type: denoiser, x: $sampler.x, context: $empty}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance}
outputs: [sampler]
"""


@pytest.mark.parametrize("sampler", ["type: scheduler.ddim", "type: scheduler.euler",
                                     "type: scheduler.diffusers, class: DDIMScheduler"])  # fmt: skip
def test_a_sampler_of_another_model(tmp_path, zoo_folder, sampler):
    """Refused where the schedules differ; the same schedule in another folder, with other options, is taken."""
    lab = Lab(tmp_path, zoo_folder)
    (tmp_path / "COPY").symlink_to(zoo_folder / "digits")
    again = ("uncond: {", "uncond: {model: $again, ")
    lab.load(GRAPH, ("type: scheduler.ddim", f"model: $again, {sampler}"), again).check()
    with pytest.raises(UserError) as error:
        lab.load(GRAPH, ("type: scheduler.ddim", f"model: $other, {sampler}")).check()
    own, other = (words(json.loads(each)) for each in schedules(zoo_folder))
    assert str(error.value).startswith(
        f"{tmp_path}/g.yaml:12:29: x goes by the schedule of the sampler's model ({other}), and the denoiser of "
        f"'ZOO/digits' was trained with another ({own})\n  give the sampler the denoiser's own model, 'model: ...'"
    )


def test_of_two_denoisers_the_wrong_one_is_named(tmp_path, zoo_folder):
    with pytest.raises(UserError, match=r"g.yaml:13:\d+: x goes by the schedule"):
        Lab(tmp_path, zoo_folder).load(GRAPH, ("uncond: {", "uncond: {model: $other, "), ("COPY", "ZOO/digits")).check()


def schedules(zoo_folder):
    """The configuration of the model's scheduler, and the other one."""
    config = read_model(zoo_folder / "digits", "digits").part("scheduler").config
    return config, json.dumps({**json.loads(config), "beta_end": 0.03}, sort_keys=True)
