"""flowgen against diffusers' own pipeline: the same weights, prompts, seeds, steps and guidance."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline
from small import Lab, close

from flowgen.node.registry import find_source

PROMPTS = ["a red three", "a blue seven on a yellow background"]
SCALES = [1, 4, 7.5]
SEEDS = [0, 1, 2]
STEPS = [5, 25]
GRAPH = f"""
flowgen: 1
sweep: {{prompt: {PROMPTS}, guidance: {SCALES}, steps: {STEPS}, seed: {SEEDS}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: NEGATIVE}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: SCHEDULER, start: $noise, prediction: $guided, steps: $steps}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance}}
  image: {{type: decoder.vae, latent: $sampler}}
outputs: [image, sampler]
"""


@pytest.fixture(scope="module")
def pipeline():
    folder = find_source("zoo:digits", None).path
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize(
    ("scheduler", "theirs", "eta", "negative"),
    [
        ("scheduler.ddim", DDIMScheduler, 0.0, ""),
        ("scheduler.ddim, eta: 1.0", DDIMScheduler, 1.0, ""),
        ("scheduler.ddim", DDIMScheduler, 0.0, "a green one"),
        ("scheduler.ddpm", DDPMScheduler, 0.0, ""),
    ],
)
def test_images_and_latents_equal_the_pipeline(tmp_path, zoo_folder, pipeline, scheduler, theirs, eta, negative):
    lab = Lab(tmp_path, zoo_folder)
    text = GRAPH.replace("SCHEDULER", scheduler).replace("NEGATIVE", f'"{negative}"')
    results = lab.run(text, options={"batch": 16}).results.load()
    pipeline.scheduler = theirs.from_config(pipeline.scheduler.config)
    for prompt in PROMPTS:
        for guidance in SCALES:
            for steps in STEPS:
                latents = pipeline(
                    [prompt] * len(SEEDS),
                    negative_prompt=[negative] * len(SEEDS),
                    generator=[torch.Generator("cpu").manual_seed(seed) for seed in SEEDS],
                    guidance_scale=guidance,
                    num_inference_steps=steps,
                    eta=eta,
                    output_type="latent",
                ).images
                with torch.no_grad():
                    images = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
                mine = results.sel(prompt=prompt, guidance=guidance, steps=steps)
                assert close(torch.tensor(mine.sampler.values), latents)
                assert (torch.tensor(mine.image.values) - images).abs().max() <= 1e-4
