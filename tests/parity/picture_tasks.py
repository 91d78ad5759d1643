"""Image to image and inpainting: the graph, and diffusers' own pipelines beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import tiny_models
import torch
from comparing import SEEDS, both, gap, photo
from flowgen_nodes.families.flux import unpacked
from PIL import Image as Pillow
from torch import Tensor

from flowgen.experiment import load

TASKS = {"Img2Img": "image to image", "Inpaint": "inpainting"}
STEPS = 5
STRENGTH = 0.6
GRAPH = """\
flowgen: 1
sweep: {{seed: {seeds}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  photo: {{type: image.load, file: photo.png}}
  mask: {{type: mask.load, file: mask.png}}
  text: {{type: encoder.text, text: a red cat}}
  empty: {{type: encoder.text, text: a dog}}
  low: {{type: condition.size, context: $empty, aesthetic: 2.5}}
  first: {{type: noise, seed: $seed, width: 32, height: 32}}
  init: {{type: encoder.vae, image: $photo, noise: $first}}
  noise: {{type: noise.next, after: $first}}
  sampler: {{type: {sampler}, start: $noise, prediction: $guided, steps: {steps}, {start}}}
  blend: {{type: inpaint.blend, x: $sampler.next, known: $init, noise: $noise, mask: $mask}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: {uncond}}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: {guidance}}}
  made: {{type: decoder.vae, latent: $sampler}}
outputs: [sampler, made]
"""
CONTROL = """\
  edges: {type: image.load, file: edges.png}
  control: {type: control, image: $edges, scale: 0.8}
outputs:"""
BESIDE = """\
  hole: {type: inpaint.masked, image: $photo, mask: $mask}
  third: {type: noise.next, after: $noise}
  known: {type: encoder.vae, image: $hole, noise: $third}
  beside: {type: inpaint.concat, mask: $mask, known: $known}
outputs:"""
LED = {"guidance_scale": 4.0, "control_image": photo(1), "controlnet_conditioning_scale": 0.8}
FAMILIES = {
    "sd1": ("StableDiffusion{}Pipeline", {"guidance_scale": 4.0}),
    "sd2": ("StableDiffusion{}Pipeline", {"guidance_scale": 4.0}),
    "sdxl": ("StableDiffusionXL{}Pipeline", {"guidance_scale": 4.0}),
    "sdxl-inpaint": ("StableDiffusionXL{}Pipeline", {"guidance_scale": 4.0}),
    "sdxl-refiner": ("StableDiffusionXL{}Pipeline", {"guidance_scale": 4.0}),
    "sd3": ("StableDiffusion3{}Pipeline", {"guidance_scale": 4.0, "height": 32, "width": 32}),
    "flux-schnell": ("Flux{}Pipeline", {"true_cfg_scale": 4.0, "height": 32, "width": 32}),
    "sd1-control": ("StableDiffusionControlNet{}Pipeline", LED),
}
CASES = [
    (family, task) for family in FAMILIES for task in TASKS if task == "Inpaint" or not family.endswith("-inpaint")
]
SAMPLERS = dict.fromkeys(("sd1", "sd2", "sd1-control"), "scheduler.ddim")


def pictures(parent: Path) -> tuple[Any, Any]:
    """A photo and a mask, as files and as diffusers takes them."""
    known = photo(0)
    square = np.zeros((32, 32), dtype=np.uint8)
    square[8:24, 12:32] = 255
    mask = Pillow.fromarray(square)
    known.save(parent / "photo.png")
    mask.save(parent / "mask.png")
    return known, mask


def mine(parent: Path, folder: Path, family: str, task: str) -> tuple[Tensor, Tensor]:
    """Latents and pictures of flowgen, a row for each seed."""
    text = GRAPH.format(
        seeds=SEEDS,
        folder=folder,
        sampler=SAMPLERS.get(family, "scheduler.euler"),
        steps=STEPS,
        guidance=4,
        start=f"init: $init, strength: {STRENGTH}" + (", replace: $blend" if task == "Inpaint" else ""),
        uncond="$low" if family == "sdxl-refiner" else "$empty",
    )
    if task == "Img2Img":
        text = "\n".join(line for line in text.split("\n") if "mask" not in line)
    if family.endswith("-inpaint"):
        text = "\n".join(line for line in text.split("\n") if "  blend:" not in line).replace(", replace: $blend", "")
        text = text.replace("outputs:", BESIDE).replace("type: denoiser", "type: denoiser, concat: $beside")
    if "control" in family:
        photo(1).save(parent / "edges.png")
        text = text.replace("outputs:", CONTROL).replace("type: denoiser", "type: denoiser, control: [$control]")
    (parent / "g.yaml").write_text(text)
    return both(load(parent / "g.yaml").run(parent / "store", parent / "runs", batch=4))


def gaps(parent: Path, folders: Path, family: str, task: str) -> tuple[float, float]:
    """The largest differences: of latents relative to max(1, |reference|), of pictures in 0..1 absolute."""
    known, mask = pictures(parent)
    folder = tiny_models.folder(family, folders)
    latents, made = mine(parent, folder, family, task)
    cls, options = FAMILIES[family]
    loading = {"safety_checker": None} if family in SAMPLERS else {}
    pipe = getattr(diffusers, cls.format(task)).from_pretrained(folder, **loading)
    pipe.set_progress_bar_config(disable=True)
    options = {**options, "prompt": "a red cat", "negative_prompt": "a dog", "image": known, "strength": STRENGTH}
    options |= {"mask_image": mask, "height": 32, "width": 32} if task == "Inpaint" else {}
    found = []
    for row, seed in enumerate(SEEDS):
        theirs = [
            pipe(
                **options,
                num_inference_steps=STEPS,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type=kind,
            ).images
            for kind in ("latent", "pt")
        ]
        if (family, task) == ("sd3", "Inpaint"):  # this one pipeline forgets the shift of the latents in decoding
            with torch.no_grad():
                about = pipe.vae.config
                decoded = pipe.vae.decode(theirs[0] / about.scaling_factor + about.shift_factor).sample
            theirs[1] = (decoded / 2 + 0.5).clamp(0, 1)
        latent = unpacked(theirs[0], 16, 16) if "flux" in family else theirs[0]
        shown = (made[row : row + 1] / 2 + 0.5).clamp(0, 1)
        found.append((gap(latents[row : row + 1], latent), float((shown - theirs[1]).abs().max())))
    first, second = zip(*found, strict=True)
    return max(first), max(second)
