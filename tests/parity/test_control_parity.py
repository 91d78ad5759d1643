"""ControlNets in folders of their own: several at once, a picture for each item, guess mode; against diffusers."""

import diffusers
import pytest
import tiny_models
import torch
from comparing import PROMPTS, SEEDS, STEPS, asked, both, gap, photo
from PIL import Image

from flowgen.experiment import load

GRAPH = """\
flowgen: 1
sweep:
  row: {{rows: {{a: {{prompt: {first}, file: photo0.png, strength: 0.5}},
               b: {{prompt: "{second}", file: photo1.png, strength: 1}}}}}}
  seed: {seeds}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  one: {{type: model, from: one}}
  two: {{type: model, from: two}}
  photo: {{type: image.load, file: $file}}
  other: {{type: image.load, file: photo2.png}}
  a: {{type: control, model: $one, image: $photo{how}}}
  b: {{type: control, model: $two, image: $other, scale: 0.7, start: 0.3}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $guided, steps: {steps}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text, control: {cond}}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty, control: {uncond}}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $sampler}}
outputs: [sampler, made]
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """A folder with Stable Diffusion and two ControlNets, and the two."""
    folder = tmp_path_factory.mktemp("tiny")
    found = []
    for seed, name in enumerate(["one", "two"]):
        torch.manual_seed(seed)
        unet = tiny_models.build("sd1").unet
        found.append(
            tiny_models.controls.unet_control(unet, controlnet_conditioning_channel_order=["rgb", "bgr"][seed])
        )
        found[-1].save_pretrained(folder / name)
    for number in range(3):
        photo(number).save(folder / f"photo{number}.png")
    return folder, found


def mine(folder, tmp_path, how, cond, uncond):
    file = folder / "g.yaml"
    sd1 = tiny_models.folder("sd1", folder)
    first, second = PROMPTS
    about = {"first": first, "second": second, "how": how, "cond": cond, "uncond": uncond}
    file.write_text(GRAPH.format(seeds=SEEDS, folder=sd1, steps=STEPS, **about))
    return both(load(file).run(tmp_path / "store", tmp_path / "runs", batch=4))


def theirs(folder, nets, **options):
    sd1 = tiny_models.folder("sd1", folder)
    pipe = diffusers.StableDiffusionControlNetPipeline.from_pretrained(sd1, controlnet=nets, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    told = asked("latent", **options, num_inference_steps=STEPS, guidance_scale=4.0)
    return pipe(**told).images


def test_several(tmp_path, nets):
    folder, two = nets
    latents, _ = mine(folder, tmp_path, ", scale: $strength, end: 0.6", "[$a, $b]", "[$a, $b]")
    for row, strength in enumerate([0.5, 1.0]):  # diffusers has one scale for all
        pictures = [[photo(n), photo(2)] for n in (0, 0, 1, 1)]
        found = theirs(folder, list(two), image=pictures, controlnet_conditioning_scale=[strength, 0.7],
                       control_guidance_start=[0.0, 0.3], control_guidance_end=[0.7, 1.0])  # fmt: skip
        here = slice(2 * row, 2 * row + 2)
        assert gap(latents[here], found[here]) <= 1e-4
        assert gap(latents[2 - 2 * row : 4 - 2 * row], found[2 - 2 * row : 4 - 2 * row]) > 1e-3


def test_guess_mode(tmp_path, nets):
    folder, (one, _) = nets
    latents, _ = mine(folder, tmp_path, ", guess: true", "[$a]", "[]")
    found = theirs(folder, one, image=[photo(n) for n in (0, 0, 1, 1)], guess_mode=True)
    assert gap(latents, found) <= 1e-4


TASK = """\
flowgen: 1
sweep: {{seed: {seeds}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  net: {{type: model, from: one}}
  photo: {{type: image.load, file: photo0.png}}
  edges: {{type: image.load, file: photo1.png}}
  led: {{type: control, model: $net, image: $edges, scale: 0.7}}
  text: {{type: encoder.text, text: a red cat}}
  empty: {{type: encoder.text, text: ""}}
  first: {{type: noise, seed: $seed, width: 32, height: 32}}
  init: {{type: encoder.vae, image: $photo, noise: $first}}
  noise: {{type: noise.next, after: $first}}
  sampler: {{type: scheduler.ddim, start: $noise, init: $init, strength: 0.8, prediction: $guided, steps: 5}}
  cond: {{type: denoiser, x: $sampler.x, context: $text, control: [$led]{beside}}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty, control: [$led]{beside}}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $sampler}}
{more}outputs: [sampler, made]
"""
MASKED = """\
  mask: {type: mask.box, image: $photo, left: 0.25, top: 0.5, right: 1, bottom: 1}
  hole: {type: inpaint.masked, image: $photo, mask: $mask}
  third: {type: noise.next, after: $noise}
  known: {type: encoder.vae, image: $hole, noise: $third}
  beside: {type: inpaint.concat, mask: $mask, known: $known}
"""


@pytest.mark.parametrize("task", ["Img2Img", "Inpaint"])
def test_other_tasks(tmp_path, nets, task):
    """The inpainting network reads nine channels, its ControlNet the four of x."""
    folder, (one, _) = nets
    family, more, beside = ("sd1", "", "") if task == "Img2Img" else ("sd1-inpaint", MASKED, ", concat: $beside")
    model, file = tiny_models.folder(family, folder), folder / "task.yaml"
    file.write_text(TASK.format(seeds=SEEDS, folder=model, more=more, beside=beside))
    latents, _ = both(load(file).run(tmp_path / "store", tmp_path / "runs", batch=2))
    pipe = getattr(diffusers, f"StableDiffusionControlNet{task}Pipeline")
    pipe = pipe.from_pretrained(model, controlnet=one, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    box = Image.new("L", (32, 32))
    box.paste(255, (8, 16, 32, 32))
    options = {"mask_image": box} if task == "Inpaint" else {}
    for row, seed in enumerate(SEEDS):
        found = pipe("a red cat", image=photo(0), control_image=photo(1), strength=0.8, num_inference_steps=5,
                     guidance_scale=4.0, controlnet_conditioning_scale=0.7, output_type="latent",
                     generator=torch.Generator("cpu").manual_seed(seed), **options).images  # fmt: skip
        assert gap(latents[row : row + 1], found) <= 1e-4
