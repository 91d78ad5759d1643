"""Every pair of families: what one makes is refused by the other's denoiser and decoder, unless they are alike."""

import itertools
from pathlib import Path

import pytest
import tiny_models
import torch
from flowgen_nodes.conditions.embedding import condition_black
from flowgen_nodes.conditions.label import condition_class
from flowgen_nodes.decoders.vae import NODES, decoded
from flowgen_nodes.denoisers.denoise import check_context, check_latent
from flowgen_nodes.encoders.text import encode_text
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.noise.gaussian import noise
from torch._subclasses.fake_tensor import FakeTensorMode

from flowgen.errors import WiringError
from flowgen.graph.parts import AbstractParts
from flowgen.values import Latent, Noisy, PerItem, Time
from flowgen.values.model import opening

FAMILIES = ["ddpm", "sd1", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux", "pixart", "dit", "if", "kandinsky"]
FAMILIES += ["kandinsky-prior", "animatediff", "wan", "ltx", "stable-audio"]
SAME_LATENTS = [{"sd1", "sd2", "pixart", "dit"}, {"sdxl", "sdxl-refiner"}, {"ddpm", "if"}]
"""Stable Diffusion 1 and 2, PixArt and DiT were trained on one autoencoder's latents; pixels are pixels."""
SAME_CONDITIONS = [{"sd1", "sd2", "animatediff"}, {"ddpm", "dit"}]
"""The real Stable Diffusion 2 is told apart by the width of its states; these tiny ones have one width."""
SIZES = {"wan": 16, "ltx": 16}


def alike(first, second, groups):
    return first == second or any({first, second} <= group for group in groups)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """By family: its model, a noisy latent, a condition. Abstract, as graphs are checked."""
    folder = tmp_path_factory.mktemp("tiny")
    models = {name: read_model(tiny_models.folder(name, folder), name) for name in FAMILIES}
    parts = AbstractParts()
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode, opening(parts.opener(mode)):
        yield {name: (model, *sample(name, model)) for name, model in models.items()}


def sample(name, model):
    size = SIZES.get(name, 0)
    start = noise(PerItem([1, 2]), model, PerItem(["", ""]), size, size, 9 if size else 0)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    time = Time(torch.zeros(2, dtype=torch.long), torch.full((2,), 500.0), half, half, half)
    if name in ("ddpm", "dit"):
        context = condition_class(PerItem([1, 2]))
    elif name == "kandinsky":
        parent = Path(model.part("unet").folder).parents[1]
        context = condition_black(read_model(tiny_models.folder("kandinsky-prior", parent), "prior"))
    else:
        context = encode_text(PerItem(["a red cat", "a dog"]), model)
    return Noisy(start.data, time, start.space), context


def refused(call):
    try:
        call()
    except WiringError:
        return True
    return False


def test_latents(made):
    for first, second in itertools.product(FAMILIES, FAMILIES):
        x, model = made[first][1], made[second][0]
        wrong = refused(lambda x=x, model=model: check_latent(x, None, model))
        assert wrong != alike(first, second, SAME_LATENTS), (first, second)


def test_decoders(made):
    for first, second in itertools.product(FAMILIES, [name for name in FAMILIES if name != "kandinsky-prior"]):
        x, model = made[first][1], made[second][0]
        makes = model["family"].makes
        wrong = refused(lambda x=x, model=model, makes=makes: decoded(Latent(x.data, x.space), model, makes))
        assert wrong != alike(first, second, SAME_LATENTS), (first, second)
        for other in set(NODES) - {makes}:
            assert refused(lambda x=x, model=model, o=other: decoded(Latent(x.data, x.space), model, o))


def test_conditions(made):
    for first, second in itertools.product(FAMILIES, FAMILIES):
        context, model = made[first][2], made[second][0]
        family = model["family"]
        net = model[family.network]
        wrong = refused(lambda c=context, net=net, family=family: check_context(c, net, family, "other"))
        assert wrong != alike(first, second, SAME_CONDITIONS), (first, second)
