"""Image to image, inpainting and hand-over against diffusers' pipelines with the same weights and seeds."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from small import Lab, close
from tiny_models import build

from flowgen.errors import UserError

SEEDS = [0, 3]
STRENGTHS = [0.35, 0.8, 1.0]
GRAPH = f"""\
flowgen: 1
sweep: {{strength: {STRENGTHS}, seed: {SEEDS}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: MODEL}}
  photo: {{type: image.load, file: photo.png}}
  text: {{type: encoder.text, text: a red three}}
  empty: {{type: encoder.text, text: ""}}
  first: {{type: noise, seed: $seed, width: 32, height: 32}}
  init: {{type: encoder.vae, image: $photo, noise: $first}}
  noise: {{type: noise.next, after: $first}}
  sampler: {{type: SCHEDULER, start: $noise, init: $init, strength: $strength, prediction: $guided, steps: 10}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  image: {{type: decoder.vae, latent: $sampler}}
outputs: [image]
"""


def generators():
    return [torch.Generator("cpu").manual_seed(seed) for seed in SEEDS]


@pytest.fixture
def lab(tmp_path, zoo_folder):
    rows = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Pillow.fromarray(rows).save(tmp_path / "photo.png")
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[8:24, 12:32] = 255
    Pillow.fromarray(mask).save(tmp_path / "mask.png")
    return Lab(tmp_path, zoo_folder)


def theirs(pipeline, cls, lab, **arguments):
    """Decoded pictures [B, 3, H, W] in -1..1, before they are clipped."""
    pipe = cls(**{**pipeline.components, "safety_checker": None}, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    photo = Pillow.open(lab.folder / "photo.png")
    latents = pipe(
        prompt=["a red three"] * len(SEEDS),
        negative_prompt=[""] * len(SEEDS),
        image=[photo] * len(SEEDS),
        generator=generators(),
        guidance_scale=4,
        num_inference_steps=10,
        output_type="latent",
        **arguments,
    ).images
    with torch.no_grad():
        return pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample


@pytest.mark.parametrize(
    ("scheduler", "cls", "options"),
    [
        ("scheduler.ddim", diffusers.DDIMScheduler, {}),
        ("scheduler.euler", diffusers.EulerDiscreteScheduler, {}),
        ("scheduler.heun", diffusers.HeunDiscreteScheduler, {}),
        ("scheduler.pndm", diffusers.PNDMScheduler, {"skip_prk_steps": True}),
        ("scheduler.dpm_2m", diffusers.DPMSolverMultistepScheduler, {}),
        ("scheduler.euler_ancestral", diffusers.EulerAncestralDiscreteScheduler, {}),
    ],
)
def test_image_to_image_equals_the_pipeline(lab, scheduler, cls, options):
    pipeline = build("sd1")
    pipeline.scheduler = cls.from_config(pipeline.scheduler.config, **options)
    pipeline.save_pretrained(lab.folder / "model")
    text = GRAPH.replace("MODEL", "model").replace("SCHEDULER", scheduler)
    results = lab.run(text, options={"batch": 6}).results.load()
    for strength in STRENGTHS:
        expected = theirs(pipeline, diffusers.StableDiffusionImg2ImgPipeline, lab, strength=strength)
        mine = torch.tensor(results.image.sel(strength=strength).values)
        assert close(mine, expected)


PLAIN = (
    ("  photo:", "  mask: {type: mask.load, file: mask.png}\n  photo:"),
    ("prediction: $guided,", "prediction: $guided, replace: $blend,"),
    (
        "  image:",
        "  blend: {type: inpaint.blend, x: $sampler.next, known: $init, noise: $noise, mask: $mask}\n  image:",
    ),
)
NINE = (
    (
        "  photo:",
        "  mask: {type: mask.load, file: mask.png}\n"
        "  hole: {type: inpaint.masked, image: $photo, mask: $mask}\n"
        "  third: {type: noise.next, after: $noise}\n"
        "  known: {type: encoder.vae, image: $hole, noise: $third}\n"
        "  beside: {type: inpaint.concat, mask: $mask, known: $known}\n"
        "  photo:",
    ),
    ("context: $text", "context: $text, concat: $beside"),
    ("context: $empty", "context: $empty, concat: $beside"),
)


@pytest.mark.parametrize("scheduler", ["scheduler.ddim", "scheduler.euler"])
@pytest.mark.parametrize("strengths", [[0.35, 0.8], [1.0]])
@pytest.mark.parametrize("name", ["sd1", "sd1-inpaint"])
def test_inpainting_equals_the_pipeline(lab, scheduler, strengths, name):
    pipeline = build(name)
    if scheduler == "scheduler.euler":
        pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.save_pretrained(lab.folder / "model")
    text = GRAPH.replace("MODEL", "model").replace("SCHEDULER", scheduler).replace(str(STRENGTHS), str(strengths))
    changes = PLAIN if name == "sd1" else NINE
    if strengths == [1.0]:  # the pipeline then begins with noise alone
        text = text.replace("init: $init, strength: $strength, ", "").replace("strength: [1.0], ", "")
        if name == "sd1-inpaint":  # and draws no sample of the photo before it
            text = text.replace("{type: noise.next, after: $first}", "$first").replace("  noise: $first\n", "")
            text = text.replace("start: $noise", "start: $first")
            text = "\n".join(line for line in text.split("\n") if not line.startswith("  init:"))
            changes = [(old, new.replace("$noise", "$first")) for old, new in changes]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    results = lab.run(text, options={"batch": 6}).results.load()
    for strength in strengths:
        mask = Pillow.open(lab.folder / "mask.png")
        cls = diffusers.StableDiffusionInpaintPipeline
        expected = theirs(pipeline, cls, lab, mask_image=mask, height=32, width=32, strength=strength)
        mine = results.image.sel(strength=strength) if "strength" in results.dims else results.image
        assert close(torch.tensor(mine.values), expected)


def test_a_known_part_without_noise_is_asked_for(lab):
    build("sd1").save_pretrained(lab.folder / "model")
    text = GRAPH.replace("MODEL", "model").replace("SCHEDULER", "scheduler.ddim")
    for old, new in PLAIN:
        text = text.replace(old, new)
    text = text.replace(", noise: $noise, mask", ", mask")
    with pytest.raises(UserError, match=r"g.yaml:\d+.*none is wired\n.*clean: true"):
        lab.load(text).check()
    lab.load(text.replace("mask: $mask}", "mask: $mask, clean: true}")).check()


@pytest.mark.parametrize("changes", [PLAIN, NINE])
def test_a_mask_of_another_size_is_refused_by_check(lab, changes):
    build("sd1-inpaint" if changes is NINE else "sd1").save_pretrained(lab.folder / "model")
    text = GRAPH.replace("MODEL", "model").replace("SCHEDULER", "scheduler.ddim")
    for old, new in changes:
        text = text.replace(old, new)
    lab.load(text).check()
    text = text.replace("file: mask.png", "file: mask.png, width: 24, height: 24")
    with pytest.raises(
        UserError, match=r"g.yaml:\d+.*the mask has 24 x 24 pixels, the picture 32 x 32\n.*image.resize"
    ):
        lab.load(text).check()
