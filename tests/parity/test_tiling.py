"""Autoencoders tile by tile against diffusers' enable_tiling."""

import pytest
import tiny_models
import torch
from comparing import pipeline
from flowgen_nodes.families import TABLE
from small import Lab

from flowgen.errors import UserError

PICTURES = """\
flowgen: 1
sweep: {tile: [none, TILES], seed: [3, 5]}
nodes:
  m: {type: model, from: FOLDER, tile: $tile}
  plain: {type: model, from: FOLDER}
  noise: {type: noise, seed: $seed, SIZE, model: $plain}
  sampler: {type: scheduler.SAMPLER, start: $noise, prediction: $told, steps: 1, model: $plain}
  told: {type: denoiser, x: $sampler.x, context: $text, model: $plain}
  text: {type: encoder.text, text: a red cat, model: $plain}
  made: {type: DECODER, latent: $sampler, model: $m}
outputs: [sampler, made]
"""
SIDES = ("height", "width")
AGAIN = "  again: {type: encoder.vae, image: $made, model: $m}\noutputs: [sampler, made, again]"


def graph(folder, size, tiles, sampler="ddim", decoder="decoder.vae"):
    words = {"FOLDER": folder, "SIZE": size, "TILES": tiles, "SAMPLER": sampler, "DECODER": decoder}
    text = PICTURES
    for word, meaning in words.items():
        text = text.replace(word, str(meaning))
    return text


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def test_pictures(lab, folders):
    folder = tiny_models.folder("sd1", folders)
    text = graph(folder, "width: 56, height: 48", "model, 16").replace("outputs: [sampler, made]", AGAIN)
    results = lab.run(text, options={"batch": 2}).results.load()
    vae = pipeline(folder, safety_checker=None).vae
    for tile in ("model", 16, "none"):
        vae.disable_tiling() if tile == "none" else vae.enable_tiling()
        if tile == 16:  # the sizes that diffusers' users set for smaller tiles
            vae.tile_sample_min_size, vae.tile_latent_min_size = 16, 8
        with torch.no_grad():
            latents = torch.tensor(results.sampler.values)
            expected = vae.decode(latents / vae.config.scaling_factor).sample
            mine = torch.tensor(results.made.sel(tile=str(tile)).values)
            assert (mine - expected).abs().max() <= 1e-4
            encoded = vae.encode(mine).latent_dist.mean * vae.config.scaling_factor
            assert (torch.tensor(results.again.sel(tile=str(tile)).values) - encoded).abs().max() <= 1e-4
    assert (results.made.sel(tile="model") - results.made.sel(tile="none")).max() > 1e-3  # seams
    assert (results.made.sel(tile="16") - results.made.sel(tile="model")).max() > 1e-3


@pytest.mark.parametrize(
    ("family", "size", "tile"),
    [("wan", "width: 48, height: 32, frames: 1", 32), ("ltx", "width: 96, height: 64, frames: 1", 64)],
)
def test_videos(lab, folders, family, size, tile):
    folder = tiny_models.folder(family, folders)
    results = lab.run(graph(folder, size, tile, "euler", "decoder.video")).results.load()
    pipe = pipeline(folder)
    vae = pipe.vae
    sides = {
        f"tile_sample_{what}_{side}": n for what, n in (("min", tile), ("stride", 3 * tile // 4)) for side in SIDES
    }
    vae.enable_tiling(**sides)
    with torch.no_grad():
        expected = TABLE[type(pipe).__name__]().decode(vae, torch.tensor(results.sampler.values))
    mine = torch.tensor(results.made.sel(tile=str(tile)).values)
    assert mine.shape == expected.transpose(1, 2).shape
    assert (mine - expected.transpose(1, 2)).abs().max() <= 1e-4
    assert abs(results.made.sel(tile=str(tile)) - results.made.sel(tile="none")).max() > 1e-4


def test_keys_without_tiles_are_as_before(lab, folders):
    folder = tiny_models.folder("sd1", folders)
    text = graph(folder, "width: 56, height: 48", "16")
    lab.run(text.replace(", tile: $tile", "").replace("tile: [none, 16], ", ""))
    assert lab.plan(text).nodes["made"].compute == 2  # of four: two seeds with tiles
    assert lab.plan(text).nodes["sampler"].compute == 0


@pytest.mark.parametrize(
    ("family", "tile", "said"),
    [("sd1", 20, "multiple of 8"), ("kandinsky", 64, "VQModel can't"), ("ddpm", "model", "no autoencoder")],
)
def test_mistakes(lab, folders, family, tile, said):
    folder = tiny_models.folder(family, folders)
    with pytest.raises(UserError, match=said):
        lab.load(graph(folder, "width: 32, height: 32", str(tile))).check()
