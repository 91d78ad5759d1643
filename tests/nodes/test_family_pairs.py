"""Every pair of families: what one makes is refused by the other's nodes in a check, unless they are alike."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import diffusers
import driving
import pytest
import tiny_models
import torch
from flowgen_nodes.conditions.embedding import condition_black, condition_embedding
from flowgen_nodes.conditions.label import condition_class
from flowgen_nodes.decoders.vae import NODES, decode, decode_audio, decode_video
from flowgen_nodes.denoisers.denoise import denoise
from flowgen_nodes.encoders.text import encode_text
from flowgen_nodes.encoders.vae import encode_image
from flowgen_nodes.inpaint.blend import blend
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.noise.gaussian import noise
from flowgen_nodes.schedulers.euler import Euler
from flowgen_nodes.schedulers.trained import check_schedule
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes as no_fakes

from flowgen.errors import WiringError
from flowgen.graph.parts import AbstractParts
from flowgen.values import Conditioning, Image, Latent, Model, Noise, Noisy, PerItem, Time
from flowgen.values.model import opening

TEXTS = ["sd1", "sd1-inpaint", "sd2", "animatediff", "sdxl", "sdxl-refiner", "sd3", "sd3-without-t5", "flux"]
TEXTS += ["flux-schnell", "pixart", "if", "if-upscaler", "kandinsky-prior", "wan", "ltx", "stable-audio"]
FAMILIES = ["ddpm", "dit", "kandinsky", *TEXTS]
SAME_LATENTS = [
    {"sd1", "sd1-inpaint", "sd2", "pixart", "dit"},  # one autoencoder
    {"sdxl", "sdxl-refiner"},
    {"sd3", "sd3-without-t5"},
    {"flux", "flux-schnell"},
    {"ddpm", "if", "if-upscaler"},  # pixels
]
"""Who denoises and decodes whose latents."""
SAME_CONDITIONS = [
    {"sd1", "sd1-inpaint", "sd2", "animatediff"},  # the real Stable Diffusion 2 has wider states, these have not
    {"sd3", "sd3-without-t5"},
    {"flux", "flux-schnell"},
    {"if", "if-upscaler"},
]
"""Who reads whose texts. The refiner of Stable Diffusion XL has one encoder of the two."""
SAME_SCHEDULES = [
    {"sd1", "sd1-inpaint", "sd2", "sdxl", "sdxl-refiner"},  # square roots of betas from 0.00085 to 0.012
    {"animatediff", "kandinsky"},  # these betas themselves
    {"ddpm", "dit", "pixart"},  # betas from 0.0001 to 0.02
    {"if", "if-upscaler", "kandinsky-prior"},  # cosine
    {"sd3", "sd3-without-t5", "flux", "flux-schnell", "wan", "ltx"},  # flow matching
]
"""Whose samplers take whose denoisers, whatever their steps. Stable Audio is alone, one of EDM."""
READS = {"class": {"ddpm", "dit"}, "black": {"kandinsky"}, "embedding": {"kandinsky"}}
"""Who reads what isn't a text."""
NO_LATENTS = {"kandinsky-prior"}
"""What it samples is an embedding, which nothing decodes."""
DECODERS = {"pictures": decode, "videos": decode_video, "sounds": decode_audio}
ENCODERS = [name for name in FAMILIES if name not in ("animatediff", "wan", "ltx", "stable-audio")]
ENCODERS = [name for name in ENCODERS if name not in NO_LATENTS]
SMALL = {"wan": (16, 16, 9), "ltx": (16, 16, 9), "flux": (32, 32, 0), "flux-schnell": (32, 32, 0)}


@dataclass
class Made:
    """What there is of a family."""

    model: Model
    noise: Noise
    x: Noisy
    beside: Latent | None = None
    """what its network reads beside x"""
    context: Conditioning | None = None


def alike(first, second, groups):
    return first == second or any({first, second} <= group for group in groups)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """By family, abstract, as graphs are checked."""
    folder = tmp_path_factory.mktemp("tiny")
    models = {name: read_model(tiny_models.folder(name, folder), name) for name in FAMILIES}
    parts = AbstractParts()
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode, opening(parts.opener(mode)):
        found = {name: sample(name, model) for name, model in models.items()}
        for name in TEXTS:
            found[name].context = encode_text(PerItem(["a red cat", "a dog"]), models[name])
        prior = found["kandinsky-prior"]
        found["class"] = Made(prior.model, prior.noise, prior.x, None, condition_class(PerItem([1, 2])))
        black = condition_black(prior.model)
        found["black"] = Made(prior.model, prior.noise, prior.x, None, black.take([0, 0]))
        embedding = condition_embedding(Latent(prior.x.data, prior.x.space), prior.model)
        found["embedding"] = Made(prior.model, prior.noise, prior.x, None, embedding)
        yield found


def sample(name, model):
    start = noise(PerItem([1, 2]), model, PerItem(["", ""]), *SMALL.get(name, (0, 0, 0)))
    half = torch.full((2,), 0.5, dtype=torch.float64)
    time = Time(torch.zeros(2, dtype=torch.long), torch.full((2,), 500.0), half, half, half)
    x = Noisy(start.data, time, start.space)
    return Made(model, start, x, beside(model, x))


def beside(model, x):
    """What a network reads beside x, if it does."""
    channels = model.config("latent").get("beside", 0)
    return Latent(x.data.new_zeros(2, channels, *x.data.shape[2:]), x.space) if channels else None


def told(made, name):
    """A condition that a family's network reads."""
    kind = next((kind for kind, readers in READS.items() if name in readers), name)
    context = made[kind].context
    labels = torch.tensor([100, 100]) if name == "if-upscaler" else context.labels
    return context.replace(labels=labels)


def refused(call, *arguments):
    try:
        call(*arguments)
    except WiringError:
        return True
    return False


def test_noise_and_denoisers(made):
    for first, second in itertools.permutations(FAMILIES, 2):
        x, own = made[first].x, made[second]
        wrong = refused(denoise, x, own.model, told(made, second), beside(own.model, x))
        assert wrong != alike(first, second, SAME_LATENTS), (first, second)


def test_samplers_and_denoisers(made):
    """A sampler goes by the noise levels of its own model, and the denoiser must have been trained with them."""
    for first in FAMILIES:
        loop = driving.made(Euler, made[first].noise, [0, 1], {"model": made[first].model})
        emitted = loop.emit(loop.begin(), PerItem([0, 0])).x
        right = [second for second in FAMILIES if not refused(check_schedule, emitted, made[second].model)]
        assert right == [second for second in FAMILIES if alike(first, second, SAME_SCHEDULES)], first
        other = next(second for second in FAMILIES if second not in right)
        x = made[other].x.replace(schedule=emitted.schedule)
        with pytest.raises(WiringError, match=f"goes by the schedule .* denoiser of '{other}' was trained"):
            denoise(x, made[other].model, told(made, other), made[other].beside)


def test_the_same_schedules_are_those_of_diffusers(made):
    """Its own tables, of the discrete ones."""
    tables = {}
    for name in FAMILIES:
        part = made[name].model.part("scheduler")
        said = json.loads((Path(part.folder) / "scheduler_config.json").read_text())
        with no_fakes():
            scheduler = getattr(diffusers, said["_class_name"]).from_config(said)
            if hasattr(scheduler, "alphas_cumprod"):
                tables[name] = scheduler.alphas_cumprod.tolist()
    assert len(tables) == 13
    for first, second in itertools.combinations(tables, 2):
        same = tables[first] == pytest.approx(tables[second], rel=1e-4)
        assert same == alike(first, second, SAME_SCHEDULES), (first, second)


def test_latents_and_decoders(made):
    for first, second in itertools.product(FAMILIES, [name for name in FAMILIES if name not in NO_LATENTS]):
        x, model = made[first].x, made[second].model
        makes = model["family"].makes
        wrong = refused(DECODERS[makes], Latent(x.data, x.space), model)
        assert wrong != alike(first, second, SAME_LATENTS), (first, second)
        for other in set(NODES) - {makes}:
            assert refused(DECODERS[other], Latent(x.data, x.space), model)


def test_conditions_and_denoisers(made):
    for first, second in itertools.product([*TEXTS, *READS], FAMILIES):
        own, context = made[second], made[first].context
        context = context.replace(labels=told(made, second).labels) if second == "if-upscaler" else context
        wrong = refused(denoise, own.x, own.model, context, own.beside)
        right = second in READS[first] if first in READS else alike(first, second, SAME_CONDITIONS)
        assert wrong != right, (first, second)


def test_embeddings_come_from_the_prior(made):
    prior = made["kandinsky-prior"].model
    for name in FAMILIES:
        x = made[name].x
        assert refused(condition_embedding, Latent(x.data, x.space), prior) != (name == "kandinsky-prior")


def test_pictures_and_encoders(made):
    """A latent of a picture goes where the family's own latents go; noise for it is the family's."""
    image = Image(torch.zeros(2, 3, 32, 32))
    for second in [name for name in FAMILIES if name not in ENCODERS]:
        assert refused(encode_image, image, made[second].model), second
    latents = {name: encode_image(image, made[name].model) for name in ENCODERS}
    for first, second in itertools.product(ENCODERS, ENCODERS):
        right = alike(first, second, SAME_LATENTS)
        if "vae" in made[second].model.parts and (first == second or not right):
            drawn = made[first].noise.replace(data=torch.zeros_like(latents[second].data))
            assert refused(encode_image, image, made[second].model, drawn) != right, (first, second)
        assert (latents[first].space == made[second].x.space) == right, (first, second)
    movq = made["kandinsky"]
    assert refused(
        encode_image, image, movq.model, movq.noise.replace(data=torch.zeros_like(latents["kandinsky"].data))
    )


def test_what_stands_beside_x_is_of_its_space(made):
    """An inpainting network reads a latent of the VAE that it was trained with."""
    own = made["sd1-inpaint"]
    for first in FAMILIES:
        other = own.beside.replace(space=made[first].x.space)
        wrong = refused(denoise, own.x, own.model, told(made, "sd1-inpaint"), other)
        assert wrong != alike(first, "sd1-inpaint", SAME_LATENTS), first


def test_known_latents_and_their_noise_are_of_the_space_of_x(made):
    for first, second in itertools.product(ENCODERS, ENCODERS):
        x = made[first].x
        mask = Image(torch.zeros(2, 1, *x.data.shape[-2:]))
        known, drawn = Latent(x.data, x.space), made[first].noise
        other = made[second].x.space
        right = alike(first, second, SAME_LATENTS)
        assert refused(blend, x, known.replace(space=other), mask, drawn) != right, (first, second)
        assert refused(blend, x, known, mask, drawn.replace(space=other)) != right, (first, second)


def test_stable_diffusion_2_is_told_apart_by_the_width_of_its_states(made):
    own = made["sd1"]
    wide = made["sd2"].context
    wide = wide.replace(states=wide.states.new_zeros(2, 77, 1024))
    with pytest.raises(WiringError, match="the condition has width 1024, the denoiser of 'sd1' takes 32"):
        denoise(own.x, own.model, wide)
