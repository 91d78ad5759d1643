"""scheduler.ddim_inverse against diffusers' DDIMInverseScheduler, and there and back again."""

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, StableDiffusionPipeline
from driving import MEAN, SHAPE, close, exact, made, noise, rescheduled, run, sample, tables
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.schedulers.ddim import DDIM
from flowgen_nodes.schedulers.ddim_inverse import DDIMInverse
from flowgen_nodes.zoo import find
from small import Lab

from flowgen.errors import UserError, WiringError
from flowgen.graph.references import add_references
from flowgen.graph.stretches import check_continued, settings
from flowgen.values import Latent, Noise, PerItem, Prediction
from flowgen.values.random import start

STEPS = [10, 25, 50, 7, 30, 1]
"""10, 25 and 50 divide the 1000 steps of training"""


@pytest.fixture(scope="module")
def model(zoo_folder):
    return read_model(zoo_folder / "digits", "digits")


def pictures(count, dtype=torch.float32):
    """Data of the closed-form denoiser, nearly."""
    return Latent(noise(range(count), dtype).data * 0.5 + MEAN, "space")


def network(bars, kind):
    """A network as a function of x and its timestep alone: the best one for x of that timestep's noise level."""

    def denoise(x):
        bar = bars[x.time.timestep].reshape(-1, 1, 1, 1)
        return Prediction(exact(x.data.double(), bar.sqrt(), (1 - bar).sqrt(), kind).to(x.data.dtype), x, kind)

    return denoise


def theirs(folder, x, steps, kind, changes):
    scheduler = DDIMInverseScheduler.from_pretrained(folder, prediction_type=kind, **changes)
    scheduler.set_timesteps(steps)
    bars = scheduler.alphas_cumprod.double()
    for t in scheduler.timesteps:
        said = exact(x.double(), bars[t].sqrt(), (1 - bars[t]).sqrt(), kind).float()
        x = scheduler.step(said, int(t), x).prev_sample
    return x


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("to_one", [True, False])
@pytest.mark.parametrize("clip", [None, 0.7])
def test_equals_diffusers(model, zoo_folder, kind, spacing, to_one, clip):
    folder = zoo_folder / "digits" / "scheduler"
    changes = {"timestep_spacing": spacing, "set_alpha_to_one": to_one, "clip_sample": clip is not None}
    changes |= {"clip_sample_range": clip} if clip else {}
    init = pictures(len(STEPS))
    wanted = [theirs(folder, init.data[n : n + 1], steps, kind, changes) for n, steps in enumerate(STEPS)]
    arguments = {"init": init, "model": rescheduled(model, prediction_type=kind, **changes), "steps": PerItem(STEPS)}
    denoise = network(tables(folder), kind)
    mine = sample(DDIMInverse, noise(range(len(STEPS))), denoise, **arguments)
    assert close(mine, torch.cat(wanted), 1e-5)
    if to_one and clip is None and kind == "epsilon":  # items that join late, at other steps than their neighbours
        late = run(DDIMInverse, noise(range(len(STEPS))), denoise, [0, 3, 1, 9, 2, 40], STEPS, arguments)
        assert close(mine, late, 1e-6)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_there_and_back_is_exact_where_the_noise_is_the_same_everywhere(model, spacing, kind):
    """A network that always says one noise leads there and back along one way, whatever the steps."""
    init, said = pictures(len(STEPS), torch.float64), noise(range(9, 9 + len(STEPS)), torch.float64).data

    def denoise(x):
        alpha, sigma = (n.reshape(-1, 1, 1, 1) for n in (x.time.alpha, x.time.sigma))
        mine = torch.stack([said[int(row)] for row in rows(x)])
        x0 = (x.data - sigma * mine) / alpha
        data = {"epsilon": mine, "v_prediction": alpha * mine - sigma * x0, "sample": x0}[kind]
        return Prediction(data, x, kind)

    def rows(x):
        """Which item each row is: the nearest in what its noise leaves."""
        alpha, sigma = (n.reshape(-1, 1, 1, 1, 1) for n in (x.time.alpha, x.time.sigma))
        left = (x.data[:, None] - sigma * said[None]) / alpha - init.data[None]
        return left.flatten(2).norm(dim=2).argmin(1)

    changed = rescheduled(model, prediction_type=kind, clip_sample=False)
    about = {"model": changed, "steps": PerItem(STEPS), "spacing": spacing}
    found = sample(DDIMInverse, noise(range(len(STEPS)), torch.float64), denoise, init=init, **about)
    begun = Noise(found, start(range(len(STEPS))), "space")
    assert (sample(DDIM, begun, denoise, **about) - init.data).abs().max() < 1e-8


def test_there_and_back_is_of_order_one(model, zoo_folder):
    steps = [25, 50, 100, 200]
    init = Latent(pictures(1, torch.float64).data.expand(4, *SHAPE), "space")
    about = {"model": model, "steps": PerItem(steps)}
    denoise = network(tables(zoo_folder / "digits" / "scheduler"), "epsilon")
    found = sample(DDIMInverse, noise([0] * 4, torch.float64), denoise, init=init, **about)
    back = sample(DDIM, Noise(found, start([0] * 4), "space"), denoise, **about)
    errors = (back - init.data).flatten(1).norm(dim=1)
    orders = (errors[:-1] / errors[1:]).log2()
    assert ((orders > 0.8) & (orders < 1.3)).all(), (errors, orders)


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_a_part_of_the_way_ends_where_image_to_image_begins(model, zoo_folder, strength):
    """Against diffusers' steps up to there; with init the sampler then sets out from the same x."""
    folder, steps = zoo_folder / "digits" / "scheduler", 20
    init, bars = pictures(2), tables(folder)
    scheduler = DDIMInverseScheduler.from_pretrained(folder)
    scheduler.set_timesteps(steps)
    x = init.data
    for t in scheduler.timesteps[: int(steps * strength)]:
        said = exact(x.double(), bars[t].sqrt(), (1 - bars[t]).sqrt(), "epsilon").float()
        x = scheduler.step(said, int(t), x).prev_sample
    about = {"model": model, "steps": PerItem([steps] * 2), "strength": PerItem([strength] * 2), "init": init}
    found = sample(DDIMInverse, noise([0, 1]), network(bars, "epsilon"), **about)
    assert close(found * (1 - bars[t]).sqrt() + init.data * bars[t].sqrt(), x, 1e-5)
    loop = made(DDIM, Noise(found, start([0, 1]), "space"), [0, 1], about)
    assert close(loop.begin().x, x, 1e-5)
    assert loop.begin().x.shape == x.shape


GRAPH = """\
flowgen: 1
sweep: {steps: [10, 25, 50], prompt: [a red three, a blue eight]}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: "zoo:digits"}
  photo: {type: "std:text_to_image", prompt: $prompt, seed: 5}
  latent: {type: encoder.vae, image: $photo}
  text: {type: encoder.text, text: $prompt}
  noise: {type: scheduler.ddim_inverse, init: $latent, prediction: $up, steps: $steps}
  up: {type: denoiser, x: $noise.x, context: $text}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $down, steps: $steps}
  down: {type: denoiser, x: $sampler.x, context: $text}
  off: {type: score.distance, value: $sampler, reference: $latent}
outputs: [latent, noise, off]
"""


def test_pictures_come_back_the_better_the_more_steps(tmp_path, zoo_folder):
    results = Lab(tmp_path, zoo_folder).run(GRAPH, options={"batch": 8}).results.load()
    errors = results.off.values  # steps, prompt
    assert (np.diff(errors, axis=0) < 0).all(), errors
    pipe = StableDiffusionPipeline.from_pretrained(find("digits"), torch_dtype=torch.float32, safety_checker=None)
    states = pipe.encode_prompt("a blue eight", "cpu", 1, False)[0]
    for n, steps in enumerate([10, 25, 50]):
        scheduler = DDIMInverseScheduler.from_config(pipe.scheduler.config)
        scheduler.set_timesteps(steps)
        x = torch.tensor(results.latent.values[1:])
        with torch.no_grad():
            for t in scheduler.timesteps:
                x = scheduler.step(pipe.unet(x, t, encoder_hidden_states=states).sample, t, x).prev_sample
        assert close(torch.tensor(results.noise.values[n, 1:]), x, 1e-4)


def test_mistakes(model, tmp_path, zoo_folder):
    init = pictures(1)
    level = torch.full((1,), 0.5, dtype=torch.float64)
    arguments = {"model": model, "steps": PerItem([5]), "init": init.replace(alpha=level, sigma=level)}
    with pytest.raises(WiringError, match="init is noisy"):
        sample(DDIMInverse, noise([0]), network(torch.ones(1000), "epsilon"), **arguments)
    lab = Lab(tmp_path, zoo_folder)
    for change, said in {
        ("steps: $steps}\n  up", "steps: 2000}\n  up"): "steps must be 1 to 1000",
        ("init: $latent", "init: $noisy"): "init is noisy",
        ("init: $latent", "init: $latent, strength: 0.05"): "leaves none of 10 steps",
        ("prediction: $up", "prediction: $up, prediction_type: v_prediction"): "expects 'v_prediction'",
    }.items():
        text = GRAPH.replace("outputs: [latent, noise, off]", "outputs: [latent, noise]").replace(*change)
        if "$noisy" in change[1]:
            text = text.replace(
                "  text:",
                "  first: {type: noise, seed: 1}\n"
                "  noisy: {type: scheduler.ddim, start: $first, prediction: $early, steps: 4, until: 0.5}\n"
                "  early: {type: denoiser, x: $noisy.x, context: $text}\n  text:",
            )
        with pytest.raises(UserError, match=said):
            lab.load(text).check()


TAKEN_UP = """\
flowgen: 1
sweep: {mine: [4, 6]}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  text: {type: encoder.text, text: a red three}
  first: {type: noise, seed: $mine}
  latent: {type: scheduler.ddim, start: $first, prediction: $made, steps: 1}
  made: {type: denoiser, x: $latent.x, context: $text}
  noise: {type: scheduler.ddim_inverse, init: $latent, prediction: $up, steps: 4}
  up: {type: denoiser, x: $noise.x, context: $text}
  mixed: {type: noise.interpolate, a: $first, b: $noise, at: 1}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $down, steps: 4}
  down: {type: denoiser, x: $sampler.x, context: $text}
outputs: [sampler]
"""
UP, DOWN = "prediction: $up, steps: 4", "type: scheduler.ddim, start: $noise, prediction: $down, steps: 4"
RIGHT = [
    [],
    [(UP, "prediction: $up, steps: $mine"), (DOWN, DOWN.replace("4", "$mine"))],
    [(UP, UP + ", spacing: trailing"), (DOWN, DOWN.replace("4", "$mine, spacing: trailing"))],
    [(UP, UP + ", strength: 0.5"), (DOWN, DOWN + ", init: $latent, strength: 0.5")],
    [(DOWN, DOWN.replace("ddim", "euler"))],
    [(DOWN, DOWN.replace("ddim", "diffusers, class: DDIMScheduler"))],
    [(UP, UP + ", spacing: trailing"), (DOWN, DOWN.replace("ddim", "dpm_2m") + ", spacing: trailing")],
]
WRONG = [
    ([(DOWN, DOWN.replace("4", "6"))], 4, 6, ""),
    ([(DOWN, DOWN.replace("4", "$mine"))], 4, 6, " (at mine=6)"),
    ([(UP, "prediction: $up, steps: $mine")], 6, 4, " (at mine=6)"),
    ([(DOWN, DOWN.replace("ddim", "diffusers, class: DDIMScheduler").replace("4", "6"))], 4, 6, ""),
    ([(UP, "prediction: $up, steps: 10, strength: 0.5"),
      (DOWN, DOWN.replace("4", "10") + ", init: $latent, strength: 0.7")], (10, 5), (10, 7), ""),
]  # fmt: skip


def noise_level(folder, place):
    """sigma / alpha of a step of diffusers' DDIM, by the number of steps and how many of them are left."""
    steps, left = place if isinstance(place, tuple) else (place, place)
    scheduler = DDIMScheduler.from_pretrained(folder)
    scheduler.set_timesteps(steps)
    bar = scheduler.alphas_cumprod[scheduler.timesteps[-left]].double()
    return f"{float(((1 - bar) / bar).sqrt()):.4g}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, zoo_folder):
    return Lab(tmp_path_factory.mktemp("inversion"), zoo_folder)


def check_ways(graph):
    """What a check asks of loops, alone."""
    add_references(graph)
    loops = {name: settings(graph, graph.nodes[name]) for name in graph.bodies}
    for own in loops.values():
        check_continued(own, loops)


@pytest.mark.parametrize("changes", RIGHT)
def test_a_sampler_begins_where_the_inversion_ended(lab, changes):
    check_ways(lab.load(TAKEN_UP, *changes).graph)


@pytest.mark.parametrize(("changes", "ended", "begins", "where"), WRONG)
def test_a_sampler_that_begins_elsewhere(lab, zoo_folder, changes, ended, begins, where):
    with pytest.raises(UserError) as error:
        check_ways(lab.load(TAKEN_UP, *changes).graph)
    ended, begins = (noise_level(zoo_folder / "digits" / "scheduler", place) for place in (ended, begins))
    column = (lab.folder / "g.yaml").read_text().splitlines()[12].index("$noise") + 1
    assert str(error.value) == (
        f"{lab.folder}/g.yaml:13:{column}: start comes from an inversion that ended at the noise level (sigma / alpha) "
        f"{ended}, and the sampler begins at {begins}{where}\n"
        "  give both the same steps, spacing and strength; with 'spacing: trailing' on both all whole ways have one "
        "end, whatever their steps"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((UP, UP + ", strength: 0.5"), "an inversion with a 'strength'"),
        ((DOWN, DOWN + ", init: $latent"), "an inversion of the whole way"),
    ],
)
def test_a_part_of_the_way_takes_the_latent_and_the_whole_way_none(lab, change, said):
    with pytest.raises(UserError, match=f"g.yaml:13:.*start comes from {said}"):
        lab.load(TAKEN_UP, change).check()


def test_what_a_check_does_not_see_fails_alone(lab, zoo_folder):
    """Between the two stands a node; its result is the inversion's noise."""
    through = DOWN.replace("$noise", "$mixed").replace("4", "$mine")
    run = lab.run(TAKEN_UP, (DOWN, through))
    ended, begins = (noise_level(zoo_folder / "digits" / "scheduler", steps) for steps in (4, 6))
    (failure,) = map(str, run.failures)
    assert failure.startswith("sampler[mine=6]: start comes from an inversion that ended at the noise level")
    assert f"{ended}, and the sampler begins at {begins}" in failure
    direct = lab.run(TAKEN_UP)
    mine, wanted = (torch.tensor(each.results.sampler.load().values[0]) for each in (run, direct))
    assert close(mine, wanted, 1e-4)
