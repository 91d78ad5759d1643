"""Image to image and inpainting of DeepFloyd IF and Kandinsky 2.2: the graph, and diffusers' own pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import tiny_models
import torch
from comparing import SEEDS, both, gap, photo, pipeline
from picture_tasks import STEPS, STRENGTH, pictures
from torch import Tensor

from flowgen.experiment import load

LEVEL = 100
"""timestep of the noise on the small picture that an upscaler is shown"""
GRAPH = f"""\
flowgen: 1
sweep: {{seed: {SEEDS}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: FOLDER}}
  photo: {{type: image.load, file: photo.png, width: SIZE, height: SIZE, filter: bicubic}}
  init: {{type: encoder.vae, image: $photo}}
  noise: {{type: noise, seed: $seed, width: SIZE, height: SIZE}}
  cond: {{type: denoiser, x: $sampler.x, context: $told}}
  uncond: {{type: denoiser, x: $sampler.x, context: $untold}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $sampler}}
  sampler: {{type: SAMPLER, start: $noise, prediction: $guided, steps: {STEPS}, init: $init, strength: {STRENGTH}}}
outputs: [sampler, made]
"""
TEXTS = """\
  told: {type: encoder.text, text: a red cat}
  untold: {type: encoder.text, text: a dog}
"""
SHOWN = f"""\
  text: {{type: encoder.text, text: a red cat}}
  empty: {{type: encoder.text, text: a dog}}
  told: {{type: condition.class, label: {LEVEL}, context: $text}}
  untold: {{type: condition.class, label: {LEVEL}, context: $empty}}
  small: {{type: image.load, file: small.png}}
  shown: {{type: enlarge, image: $small, noise: $noise, level: {LEVEL}}}
"""
EMBEDDED = """\
  prior: {type: model, from: PRIOR}
  idea: {type: image.load, file: small.png}
  told: {type: encoder.image, image: $idea, model: $prior}
  untold: {type: condition.black, model: $prior}
"""
MASK = "  mask: {type: mask.load, file: mask.png, width: SIZE, height: SIZE, filter: bicubic}\n"
CLEAN = """\
  seen: {type: inpaint.blend, x: $sampler.x, known: $init, mask: $mask, clean: true}
  blend: {type: inpaint.blend, x: $sampler.next, known: $init, mask: $mask, clean: true}
"""
BESIDE = """\
  beside: {type: concat.known, known: $init, mask: $mask}
  blend: {type: inpaint.blend, x: $sampler.next, known: $init, mask: $beside.mask, noise: $noise}
"""
REPLACED = ("prediction: $guided", "prediction: $guided, replace: $blend")
SEEN = ("denoiser, x: $sampler.x", "denoiser, x: $seen")
NOISED = ("start: $noise", "start: $shown.noise")
WHOLE = (f", init: $init, strength: {STRENGTH}", "")


@dataclass(frozen=True)
class Case:
    """A pipeline of diffusers, and how the graph above becomes its own."""

    pipeline: Any
    nodes: str
    changes: tuple[tuple[str, str], ...] = ()
    size: int = 32
    sampler: str = "scheduler.ddpm"

    def graph(self, folder: Path, prior: Path) -> str:
        """The text of the graph."""
        text = GRAPH.replace("outputs:", f"{self.nodes}outputs:")
        places = (("SIZE", str(self.size)), ("SAMPLER", self.sampler), ("FOLDER", str(folder)), ("PRIOR", str(prior)))
        for old, new in (*self.changes, *places):
            assert old in text or old == "PRIOR", old
            text = text.replace(old, new)
        return text

    def theirs(self, folder: Path, kind: str, **told: Any) -> Tensor:
        """What diffusers makes, a row for each seed."""
        loading = {"watermarker": None} if "prompt" in told else {}
        pipe = self.pipeline.from_pretrained(folder, **loading)
        pipe.set_progress_bar_config(disable=True)
        seeded = [torch.Generator("cpu").manual_seed(seed) for seed in SEEDS]
        about = {"num_inference_steps": STEPS, "guidance_scale": 4.0, "generator": seeded, "output_type": kind}
        return pipe(**about, **told).images


PAINTED = (REPLACED, ("told}", "told, concat: $beside}"), WHOLE)
UPSCALED = (NOISED, ("told}", "told, concat: $shown}"))
FAMILIES = {
    ("if", "image to image"): Case(diffusers.IFImg2ImgPipeline, TEXTS, size=16),
    ("if", "inpainting"): Case(diffusers.IFInpaintingPipeline, TEXTS + MASK + CLEAN, (REPLACED, SEEN), size=16),
    ("if-upscaler", "image to image"): Case(diffusers.IFImg2ImgSuperResolutionPipeline, SHOWN, UPSCALED),
    ("if-upscaler", "inpainting"): Case(
        diffusers.IFInpaintingSuperResolutionPipeline, SHOWN + MASK + CLEAN, (*UPSCALED, REPLACED, SEEN)
    ),
    ("kandinsky", "image to image"): Case(diffusers.KandinskyV22Img2ImgPipeline, EMBEDDED, sampler="scheduler.ddim"),
    ("kandinsky-inpaint", "inpainting"): Case(diffusers.KandinskyV22InpaintPipeline, EMBEDDED + MASK + BESIDE, PAINTED),
}


def gaps(parent: Path, folders: Path, family: str, task: str) -> tuple[float, float]:
    """The largest differences: of latents relative to max(1, |reference|), of pictures in 0..1 absolute."""
    case = FAMILIES[family, task]
    known, mask = pictures(parent)
    small = photo(1, 16)
    small.save(parent / "small.png")
    folder, prior = (tiny_models.folder(each, folders) for each in (family, "kandinsky-prior"))
    (parent / "g.yaml").write_text(case.graph(folder, prior))
    latents, made = both(load(parent / "g.yaml").run(parent / "store", parent / "runs", batch=4))
    if "kandinsky" in family:
        told = {"image": [known] * 2, "height": 32, "width": 32, **embeddings(prior, small)}
        told |= {"mask_image": [mask] * 2} if task == "inpainting" else {"strength": STRENGTH}
        theirs = case.theirs(folder, "latent", **told)
        pixels = case.theirs(folder, "pt", **told)
        pixels = (pixels / 2 + 0.5).clamp(0, 1) if task == "inpainting" else pixels  # there as the decoder has it
    else:
        told = {"prompt": ["a red cat"] * 2, "negative_prompt": ["a dog"] * 2, "clean_caption": False}
        shown = {"image": [small] * 2, "original_image": [known] * 2, "noise_level": LEVEL}
        told |= shown if family == "if-upscaler" else {"image": [known] * 2}
        told |= {"mask_image": [mask] * 2} if task == "inpainting" else {}
        theirs = case.theirs(folder, "pt", **told, strength=STRENGTH)
        pixels = (theirs / 2 + 0.5).clamp(0, 1)
    return gap(latents, theirs), float(((made / 2 + 0.5).clamp(0, 1) - pixels).abs().max())


def embeddings(prior: Path, picture: Any) -> dict[str, Tensor]:
    """What Kandinsky's decoder is told: a picture, and a black one."""
    pipe = pipeline(prior)
    with torch.no_grad():
        seen = pipe.image_encoder(pipe.image_processor(picture, return_tensors="pt").pixel_values).image_embeds
        return {"image_embeds": seen.expand(2, -1), "negative_image_embeds": pipe.get_zero_embed(2)}
