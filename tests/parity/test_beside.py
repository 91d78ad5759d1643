"""Networks that read a picture, its depth or a mask beside x, against diffusers' pipelines."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from comparing import SEEDS, both, gap, photo, pipeline
from diffusers.pipelines.kandinsky2_2.pipeline_kandinsky2_2_inpainting import prepare_mask
from flowgen_nodes.concat.beside import depth, fill, known_places
from flowgen_nodes.families.flux import unpacked
from flowgen_nodes.images.depth import pixels
from PIL import Image as Pillow
from transformers import DPTImageProcessorPil

from flowgen.errors import WiringError
from flowgen.experiment import load
from flowgen.values import Image, Latent, Noise
from flowgen.values.diffusion import space_of

STEPS = 4
HEAD = """\
flowgen: 1
sweep: {{file: [photo0.png, photo1.png], seed: {seeds}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  photo: {{type: image.load, file: $file}}
  text: {{type: encoder.text, text: a red cat}}
  empty: {{type: encoder.text, text: a dog}}
  first: {{type: noise, seed: $seed, width: 32, height: 32}}
  second: {{type: noise.next, after: $first}}
  third: {{type: noise.next, after: $second}}
  made: {{type: decoder.vae, latent: $sampler}}
{more}outputs: [sampler, made]
"""
DEPTH = """\
  known: {type: encoder.vae, image: $photo, noise: $first}
  map: {type: image.load, file: photo2.png}
  beside: {type: concat.depth, image: $map, noise: $first}
  sampler: {type: scheduler.ddim, start: $second, init: $known, strength: 0.75, prediction: $guided, steps: 4}
  cond: {type: denoiser, x: $sampler.x, context: $text, concat: $beside}
  uncond: {type: denoiser, x: $sampler.x, context: $empty, concat: $beside}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}
"""
ESTIMATED = DEPTH.replace("{type: image.load, file: photo2.png}", "{type: depth.estimate, image: $photo}")
EDIT = """\
  known: {type: encoder.vae, image: $photo}
  none: {type: concat.zero, latent: $known}
  sampler: {type: scheduler.ddim, start: $first, prediction: $guided, steps: 4}
  both: {type: denoiser, x: $sampler.x, context: $text, concat: $known}
  seen: {type: denoiser, x: $sampler.x, context: $empty, concat: $known}
  blind: {type: denoiser, x: $sampler.x, context: $empty, concat: $none}
  guided: {type: guidance.compose, conds: [$both, $seen], uncond: $blind, weights: [4, -2.5], scale: 1}
"""
CANNY = """\
  beside: {type: encoder.vae, image: $photo, noise: $first}
  sampler: {type: scheduler.euler, start: $second, prediction: $told, steps: 4}
  told: {type: denoiser, x: $sampler.x, context: $text, concat: $beside, guidance: 5.5}
"""
FILL = """\
  mask: {type: mask.load, file: mask.png}
  grey: {type: inpaint.masked, image: $photo, mask: $mask}
  known: {type: encoder.vae, image: $grey, noise: $third}
  beside: {type: concat.fill, mask: $mask, known: $known}
  sampler: {type: scheduler.euler, start: $second, prediction: $told, steps: 4}
  told: {type: denoiser, x: $sampler.x, context: $text, concat: $beside, guidance: 5.5}
"""
NEGATIVE = {"negative_prompt": "a dog", "guidance_scale": 4.0}
FLUX = {"guidance_scale": 5.5, "height": 32, "width": 32}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def cases(map, mask):
    return {
        "sd2-depth": (DEPTH, lambda photo: {**NEGATIVE, "image": photo, "strength": 0.75, "depth_map": map}),
        "sd2-depth-estimated": (ESTIMATED, lambda photo: {**NEGATIVE, "image": photo, "strength": 0.75}),
        "pix2pix": (EDIT, lambda photo: {**NEGATIVE, "image": photo, "image_guidance_scale": 1.5}),
        "flux-canny": (CANNY, lambda photo: {**FLUX, "control_image": photo}),
        "flux-fill": (FILL, lambda photo: {**FLUX, "image": photo, "mask_image": mask}),
    }


@pytest.mark.parametrize("case", ["sd2-depth", "sd2-depth-estimated", "pix2pix", "flux-canny", "flux-fill"])
def test_equal_to_the_pipeline(tmp_path, folders, case):
    for number in range(2):
        photo(number).save(tmp_path / f"photo{number}.png")
    grey = Pillow.fromarray(np.asarray(photo(2).convert("L").resize((16, 16)).resize((32, 32))))
    grey.convert("RGB").save(tmp_path / "photo2.png")
    square = np.zeros((32, 32), dtype=np.uint8)
    square[8:24, 12:31] = 255
    mask = Pillow.fromarray(square)
    mask.save(tmp_path / "mask.png")
    map = torch.from_numpy(np.asarray(grey).astype(np.float32))[None] * 7 + 100  # any scale: it is normalised
    nodes, options = cases(map, mask)[case]
    family = case.removesuffix("-estimated")
    folder = tiny_models.folder(family, folders)
    file = tmp_path / "g.yaml"
    file.write_text(HEAD.format(seeds=SEEDS, folder=folder, more=nodes))
    latents, made = both(load(file).run(tmp_path / "store", tmp_path / "runs", batch=4))
    pipe = pipeline(folder, **({"safety_checker": None} if family == "pix2pix" else {}))
    for row, (number, seed) in enumerate([(0, 3), (0, 5), (1, 3), (1, 5)]):
        told = {"prompt": "a red cat", "num_inference_steps": STEPS, **options(photo(number))}
        theirs, pictures = (
            pipe(**told, generator=torch.Generator("cpu").manual_seed(seed), output_type=kind).images
            for kind in ("latent", "pt")
        )
        theirs = unpacked(theirs, 16, 16) if "flux" in family else theirs
        assert gap(latents[row : row + 1], theirs) <= 1e-4
        assert ((made[row : row + 1] / 2 + 0.5).clamp(0, 1) - pictures).abs().max() <= 1e-4


def test_the_graph_that_docs_show(tmp_path, folders):
    page = (Path(__file__).parents[2] / "docs/tasks.md").read_text(encoding="utf-8")
    text = re.findall(r"## What a network reads.*?```yaml\n(.*?)```", page, flags=re.DOTALL)[0]
    photo(0).save(tmp_path / "photo.png")
    folder = tiny_models.folder("pix2pix", folders)
    for old, new in (("512", "32"), ("steps: 25", "steps: 2"), ("./instruct-pix2pix", str(folder))):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "g.yaml").write_text(text)
    run = load(tmp_path / "g.yaml").run(tmp_path / "store", tmp_path / "runs")
    assert run.results.image.shape == (4, 3, 32, 32)


def test_masks_of_another_size_are_refused():
    known = Latent(torch.zeros(1, 4, 16, 16), space_of(4, 1, 0, 2))
    with pytest.raises(WiringError, match="the mask has 48 x 32 pixels, the picture 32 x 32"):
        fill(Image(torch.zeros(1, 1, 32, 48), (0.0, 1.0)), known)


def test_a_hole_grows_as_in_diffusers():
    random = torch.Generator().manual_seed(0)
    holes = (torch.rand(3, 1, 22, 18, generator=random) < torch.tensor([0.02, 0.1, 0.5])[:, None, None, None]).float()
    latent = Latent(torch.randn(3, 4, 11, 9, generator=random), space_of(4, 1, 0, 2))
    found = known_places(Image(holes, (0.0, 1.0)), latent)
    stays = prepare_mask(torch.nn.functional.interpolate(1 - holes, (11, 9)))
    assert torch.equal(found.known.data, torch.cat([latent.data * stays, stays], 1))
    assert torch.equal(found.mask.data, 1 - stays)


def test_a_depth_map_is_normalised_by_itself():
    flat, ramp = torch.full((1, 8, 8), 3.0), torch.arange(8.0).expand(1, 8, 8)
    noise = Noise(torch.zeros(2, 4, 8, 8), torch.zeros(2, 1, dtype=torch.uint8))
    found = depth(Image(torch.stack([flat, ramp]), (-1.0, 1.0)), noise).data
    assert torch.equal(found[0], torch.full((1, 8, 8), -1.0))
    assert torch.allclose(found[1, 0, 0], torch.linspace(-1, 1, 8))


@pytest.mark.parametrize(
    "said", [{}, {"keep_aspect_ratio": True}, {"keep_aspect_ratio": True, "ensure_multiple_of": 16}]
)
@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (30, 31)])
def test_pictures_are_prepared_as_by_transformers(said, shape):
    rows = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    processor = DPTImageProcessorPil(size={"height": 48, "width": 48}, **said)
    theirs = processor(Pillow.fromarray(rows), return_tensors="pt").pixel_values
    image = Image(torch.from_numpy(rows).permute(2, 0, 1)[None].float() / 255, (0.0, 1.0))
    assert torch.allclose(pixels(image, processor.to_dict(), 384), theirs, atol=1e-6)


def test_an_estimator_alone(tmp_path, folders):
    folder = tiny_models.folder("sd2-depth", folders)
    alone = tmp_path / "dpt"
    shutil.copytree(folder / "depth_estimator", alone)
    shutil.copy(folder / "feature_extractor/preprocessor_config.json", alone)
    photo(0).save(tmp_path / "photo.png")
    (tmp_path / "g.yaml").write_text(f"""\
flowgen: 1
sweep: {{from: [dpt, {folder}]}}
nodes:
  m: {{type: model, from: $from}}
  photo: {{type: image.load, file: photo.png}}
  depth: {{type: depth.estimate, image: $photo, model: $m}}
outputs: [depth]
""")
    run = load(tmp_path / "g.yaml").run(tmp_path / "store", tmp_path / "runs")
    assert run.results.depth.shape == (2, 3, 64, 64)  # of 3 x 3 patches
    rows = run.results.depth.values
    assert (rows[0] == rows[1]).all()
    assert (rows.min(), rows.max()) == (0, 1)
