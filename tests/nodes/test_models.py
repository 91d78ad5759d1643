"""Nodes that run networks, against transformers' and diffusers' own code on the same weights."""

import json
import shutil

import pytest
import torch
from diffusers import StableDiffusionPipeline
from driving import close, loaded, opened
from flowgen_nodes.decoders.vae import decode
from flowgen_nodes.denoisers.denoise import denoise
from flowgen_nodes.encoders.text import encode_text
from flowgen_nodes.metrics.clip import clip_score
from flowgen_nodes.metrics.features import features, identity, reference
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.noise.gaussian import noise
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from flowgen.errors import UserError, WiringError
from flowgen.node import Source
from flowgen.values import Conditioning, Image, Latent, Noisy, PerItem, Time
from flowgen.values.model import loader_of

TEXTS = ["a red three", "", "the number 7 in blue on a yellow background"]


@pytest.fixture(scope="module")
def digits(zoo_folder):
    return read_model(zoo_folder / "digits", "digits")


@pytest.fixture(scope="module")
def pipeline(zoo_folder):
    return StableDiffusionPipeline.from_pretrained(zoo_folder / "digits", dtype=torch.float32)


def test_the_folder_generates_with_nothing_said(zoo_folder):
    pipe = StableDiffusionPipeline.from_pretrained(zoo_folder / "digits")
    pipe.set_progress_bar_config(disable=True)
    (picture,) = pipe("a red three", num_inference_steps=2).images
    assert picture.size == (32, 32)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at_time(data, timesteps, model):
    ones = torch.ones(len(data), dtype=torch.float64)
    time = Time(torch.zeros(len(data), dtype=torch.long), torch.tensor(timesteps), 0 * ones, ones, ones)
    return Noisy(data, time, model.config("latent")["space"])


def encoded(texts, model):
    """Texts as the engine has them encoded."""
    return encode_text(PerItem(texts), model, seconds=PerItem([0.0] * len(texts)))


def test_text_states_equal_the_pipelines(digits, pipeline):
    with opened():
        mine = encoded(TEXTS, digits).states
    wanted, empty = pipeline.encode_prompt(TEXTS, "cpu", 1, True, negative_prompt=[""] * 3)
    assert close(mine, wanted, 1e-6)
    assert close(mine[1], empty[0], 1e-6)


def test_too_long_a_text_is_cut(digits, pipeline):
    text = "a red three and " * 20
    with opened():
        mine = encoded([text], digits).states
    assert close(mine, pipeline.encode_prompt([text], "cpu", 1, False)[0], 1e-6)


@pytest.mark.parametrize(("scaling", "shift"), [(1.0, None), (0.18215, None), (0.5, 0.25)])
def test_decoded_pictures_equal_the_pipelines(zoo_folder, tmp_path, pipeline, scaling, shift):
    folder = shutil.copytree(zoo_folder / "digits", tmp_path / "digits")
    config = folder / "vae" / "config.json"
    said = config.read_text()
    config.write_text(
        said.replace('"scaling_factor": 1.0', f'"scaling_factor": {scaling}').replace(
            '"shift_factor": null', f'"shift_factor": {shift or "null"}'
        )
    )
    model = read_model(folder, "digits")
    space = model.config("latent")["space"]
    latents = random(3, 4, 8, 8)
    with opened():
        mine = decode(Latent(latents, space), model)
        wanted = pipeline.vae.decode(latents / scaling + (shift or 0)).sample
    assert mine.range == (-1, 1)
    assert close(mine.data, wanted, 1e-5)


def test_a_latent_of_another_space_is_refused(digits):
    with opened(), pytest.raises(WiringError, match="decode with the VAE of the model that made the latent"):
        decode(Latent(random(1, 4, 8, 8), "4 channels, 1/8 size, scale 0.18215, shift 0"), digits)


def test_predictions_equal_the_unets_and_depend_on_everything(digits, pipeline):
    latents, timesteps = random(3, 4, 8, 8), [1, 400, 999]
    with opened():
        context = encoded(TEXTS, digits)
        mine = denoise(at_time(latents, timesteps, digits), digits, context).data
        same = denoise(at_time(latents[:1].repeat(3, 1, 1, 1), [500] * 3, digits), digits, context).data
        for n, t in enumerate(timesteps):
            wanted = pipeline.unet(latents[n : n + 1], t, encoder_hidden_states=context.states[n : n + 1]).sample
            assert close(mine[n : n + 1], wanted, 1e-5)
    gaps = [(same[0] - same[1]).abs().max(), (same[0] - same[2]).abs().max(), (same[1] - same[2]).abs().max()]
    assert min(gaps) > 1e-3  # untrained weights, yet texts make a difference
    assert 0.1 < mine.std() < 10


def test_wrong_shapes_are_refused(digits):
    with opened(), pytest.raises(WiringError, match="takes 4"):
        denoise(at_time(random(1, 3, 8, 8), [1], digits), digits, Conditioning(random(1, 16, 64)))
    with opened(), pytest.raises(WiringError, match="width 32"):
        denoise(at_time(random(1, 4, 8, 8), [1], digits), digits, Conditioning(random(1, 16, 32)))


def test_noise_is_what_diffusers_draws(digits):
    with opened():
        mine = noise(PerItem([3, 4]), digits, PerItem(["", ""]))
        large = noise(PerItem([3]), digits, PerItem([""]), width=64, height=48)
        again = noise(PerItem([3, 3]), digits, PerItem(["red", "blue"]))
    assert torch.equal(mine.data[1], random(4, 8, 8, seed=4))
    assert large.data.shape == (1, 4, 12, 16)
    assert not torch.equal(again.data[0], again.data[1])


@pytest.mark.parametrize("size", [32, 48])
def test_clip_score_equals_transformers(zoo_folder, size):
    """The pictures are 8-bit, so that transformers' preparation sees the same; it also rounds after resizing."""
    folder = zoo_folder / "digits-clip"
    model = read_model(folder, "digits-clip")
    pictures = (random(3, 3, 8, 8) * 64 + 128).clamp(0, 255).round().to(torch.uint8)
    pictures = pictures.repeat_interleave(size // 8, 2).repeat_interleave(size // 8, 3)
    with opened():
        image = Image(pictures.float() / 127.5 - 1)
        mine = clip_score(image, PerItem(TEXTS), model).data
        unclamped = clip_score(image, PerItem(TEXTS), model, weight=2.5).data
    clip, tokens = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    prepared = CLIPImageProcessor.from_pretrained(folder)(list(pictures), return_tensors="pt")
    with torch.no_grad():
        said = clip(**tokens(TEXTS, padding=True, return_tensors="pt"), **prepared)
    cosine = (said.image_embeds * said.text_embeds).sum(-1)
    assert close(mine, 100 * cosine.clamp(min=0), 1e-4 if size == 32 else 1e-2)
    assert close(unclamped * 40, mine, 1e-5)


def test_features_and_reference_name_the_weights(zoo_folder, tmp_path):
    eye = read_model(zoo_folder / "digits-classifier", "eye")
    source = Source("zoo:digits-test", zoo_folder / "digits-test")
    with opened():
        found = features(Image(random(5, 3, 32, 32).clamp(-1, 1)), eye)
        known = reference(source, eye)
        outside = features(Image(torch.full((1, 3, 32, 32), 7.0)), eye)
        white = features(Image(torch.ones(1, 3, 32, 32)), eye)
    assert found.data.shape == (5, 64)
    assert found.extractor == known.extractor == identity(eye)
    assert known.count.tolist() == [256]
    assert known.scatter.dtype == known.mean.dtype == torch.float64
    assert torch.equal(outside.data, white.data)
    other = shutil.copytree(zoo_folder / "digits-classifier", tmp_path / "other")
    config = other / "config.json"
    config.write_text(config.read_text().replace('"weights_sha256": "', '"weights_sha256": "0'))
    with opened(), pytest.raises(WiringError, match="statistics of two extractors"):
        reference(source, read_model(other, "other"))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_cut_weights_are_named(zoo_folder, tmp_path, part):
    folder = shutil.copytree(zoo_folder / "digits", tmp_path / "digits")
    (file,) = (folder / part).glob("*.safetensors")
    whole = file.read_bytes()
    for length in (len(whole) - 1, 100, 4, 0):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=file.name) as caught:
            read_model(folder, "digits")
        assert str(file) in str(caught.value)


def test_weights_of_another_network_are_found_without_being_read(zoo_folder, tmp_path):
    folder = shutil.copytree(zoo_folder / "digits", tmp_path / "digits")
    config = folder / "unet" / "config.json"
    about = json.loads(config.read_text())
    config.write_text(json.dumps({**about, "cross_attention_dim": 32}))
    with pytest.raises(
        UserError, match=r"'unet' don't fit: '\S+' has shape \[\d+, 64\], its config\S+ says \[\d+, 32\]"
    ):
        built(folder, "unet")
    shutil.copy(next((folder / "vae").glob("*.safetensors")), next((folder / "unet").glob("*.safetensors")))
    with pytest.raises(UserError, match="'unet' are those of another network"):
        built(folder, "unet")
    config.write_text("[]")
    with pytest.raises(UserError, match=r"can't read .*unet/config\.json: it holds a list, not a mapping"):
        built(folder, "unet")


def built(folder, part):
    """A part without weights, as graphs are checked with."""
    found = read_model(folder, "digits").part(part)
    return loader_of(found).build(found)


@pytest.mark.parametrize("length", [0, 7, 500])
def test_cut_statistics_are_named(zoo_folder, tmp_path, length):
    eye = read_model(zoo_folder / "digits-classifier", "eye")
    file = tmp_path / "statistics.safetensors"
    file.write_bytes((zoo_folder / "digits-test" / file.name).read_bytes()[:length])
    with pytest.raises(UserError, match=file.name):
        reference(Source(str(file), file), eye)


def test_the_exported_tower_is_clips_own(zoo_folder):
    tower = loaded(read_model(zoo_folder / "digits", "d").part("text_encoder")).state_dict()
    clip = loaded(read_model(zoo_folder / "digits-clip", "c").part("clip")).text_model.state_dict()
    assert tower.keys() == clip.keys()
    assert all(torch.equal(tower[name], clip[name]) for name in tower)
