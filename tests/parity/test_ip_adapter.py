"""Image prompts (IP-Adapter), alone, two at once and beside a ControlNet, against diffusers' pipelines."""

import pytest
import tiny_models
import torch
from comparing import PROMPTS, SEEDS, STEPS, asked, both, gap, photo
from safetensors.torch import save_file
from tiny_models.adapters import ip_adapter
from tiny_models.texts import clip_pixels, clip_vision

from flowgen.experiment import load

GRAPH = """\
flowgen: 1
sweep: {{prompt: {prompts}, seed: {seeds}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}, ip_adapter: [{adapters}]}}
  eye: {{type: model, from: eye}}
  photo: {{type: image.load, file: photo0.png}}
  other: {{type: image.load, file: photo1.png}}
  seen: {{type: encoder.image, model: $eye, image: $photo}}
  unseen: {{type: condition.zero, context: $seen}}
  plus: {{type: encoder.image, model: $eye, image: $other, states: true}}
  minus: {{type: encoder.image, model: $eye, image: $other, states: true, blank: true}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: {sampler}, start: $noise, prediction: $guided, steps: {steps}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text, image_prompt: [{seen}]{control}}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty, image_prompt: [{unseen}]{control}}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $sampler}}
{more}outputs: [sampler, made]
"""
PLAIN, PLUS = "{from: %s-plain.safetensors, scale: 0.6}", "{from: ., weights: %s-plus.safetensors, scale: 0.9}"
CASES = {
    "sd1": ([False], "$seen", "$unseen"),
    "sdxl": ([False], "$seen", "$unseen"),
    "sd1-plus": ([False, True], "$seen, $plus", "$unseen, $minus"),
    "sd1-control": ([False], "$seen", "$unseen"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny models, adapters of both kinds for each, an image encoder and pictures."""
    found = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        clip_vision().save_pretrained(found / "eye")
    clip_pixels().save_pretrained(found / "eye")
    for name in ("sd1", "sdxl", "sd1-control"):
        tiny_models.folder(name, found)
        for plus, kind in enumerate(("plain", "plus")):
            save_file(ip_adapter(tiny_models.build(name).unet, bool(plus), plus), found / f"{name}-{kind}.safetensors")
    for number in range(2):
        photo(number).save(found / f"photo{number}.png")
    return found


def theirs(folder, family, kinds, **options):
    pipe = tiny_models.pipeline(folder / f"tiny-{family}")
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    eye = CLIPVisionModelWithProjection.from_pretrained(folder / "eye")
    pipe.register_modules(image_encoder=eye, feature_extractor=CLIPImageProcessor.from_pretrained(folder / "eye"))
    files = [f"{family}-{'plus' if plus else 'plain'}.safetensors" for plus in kinds]
    pipe.load_ip_adapter(str(folder), subfolder="", weight_name=files)
    pipe.set_ip_adapter_scale([0.9 if plus else 0.6 for plus in kinds])
    told = {"num_inference_steps": STEPS, "guidance_scale": 4.0, "ip_adapter_image": [photo(plus) for plus in kinds]}
    return pipe(**asked("latent", **told, **options)).images


@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_pipeline(tmp_path, folder, case):
    kinds, seen, unseen = CASES[case]
    family = case.removesuffix("-plus")
    control, more, options = "", "", {}
    if family == "sd1-control":
        control, options = ", control: [$led]", {"image": [photo(1)] * 4}
        more = "  led: {type: control, image: $other}\n"
    about = {
        "folder": f"tiny-{family}",
        "adapters": ", ".join((PLUS if plus else PLAIN) % family for plus in kinds),
        "sampler": "scheduler.euler" if family == "sdxl" else "scheduler.ddim",
    }
    text = GRAPH.format(
        prompts=PROMPTS, seeds=SEEDS, steps=STEPS, seen=seen, unseen=unseen, control=control, more=more, **about
    )
    (folder / "g.yaml").write_text(text)
    latents, _ = both(load(folder / "g.yaml").run(tmp_path / "store", tmp_path / "runs", batch=4))
    assert gap(latents, theirs(folder, family, kinds, **options)) <= 1e-4
