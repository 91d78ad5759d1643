"""Videos made into others: from the latent of another sampler, beside diffusers' own pipelines told that latent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import tiny_models
import torch
from comparing import SEEDS, both, gap, photo, pipeline
from picture_tasks import STEPS, STRENGTH
from torch import Tensor

from flowgen.experiment import load

GRAPH = f"""\
flowgen: 1
sweep: {{seed: {SEEDS}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: FOLDER}}
  text: {{type: encoder.text, text: a red cat}}
  empty: {{type: encoder.text, text: a dog}}
  first: {{type: noise, seed: 7, width: WIDTH, height: HEIGHT, frames: 9}}
  filmed: {{type: SAMPLER, start: $first, prediction: $plain, steps: 2}}
  plain: {{type: denoiser, x: $filmed.x, context: $empty}}
  noise: {{type: noise, seed: $seed, width: WIDTH, height: HEIGHT, frames: 9}}
  sampler: {{type: SAMPLER, start: $noise, init: $filmed, strength: {STRENGTH}, prediction: $guided, steps: {STEPS}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.video, latent: $sampler}}
outputs: [filmed, sampler, made]
"""


@dataclass(frozen=True)
class Task:
    """A pipeline, and how its latents differ from flowgen's."""

    pipeline: Any
    sampler: str
    size: tuple[int, int]
    """width and height"""
    length: int
    """the texts' tokens"""
    encoded: Callable[[Any, Tensor], Tensor]
    """a latent [B, C, F, H, W] as the autoencoder has it"""
    ordered: Callable[[Tensor], Tensor] = lambda latents: latents
    """what the pipeline returns as [B, C, F, H, W]"""


def wan(vae: Any, latent: Tensor) -> Tensor:
    """Wan's autoencoder normalises by channel."""
    mean, std = (torch.tensor(each)[:, None, None, None] for each in (vae.latents_mean, vae.latents_std))
    return latent * std + mean


FAMILIES = {
    "wan": Task(diffusers.WanVideoToVideoPipeline, "scheduler.euler", (16, 16), 512, wan),
    "cogvideox": Task(
        diffusers.CogVideoXVideoToVideoPipeline,
        "scheduler.ddim",
        (64, 48),
        226,
        lambda vae, latent: latent / vae.scaling_factor,
        lambda latents: latents.transpose(1, 2),
    ),
}


def gaps(parent: Path, folders: Path, family: str) -> tuple[float, float]:
    """The largest differences: of latents relative to max(1, |reference|), of pictures in 0..1 absolute."""
    task, folder, text = FAMILIES[family], tiny_models.folder(family, folders), GRAPH
    width, height = task.size
    for old, new in (("WIDTH", width), ("HEIGHT", height), ("SAMPLER", task.sampler), ("FOLDER", folder)):
        text = text.replace(old, str(new))
    (parent / "g.yaml").write_text(text)
    run = load(parent / "g.yaml").run(parent / "store", parent / "runs", batch=4)
    latents, made = both(run)
    pipe = task.pipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    latent = task.encoded(pipe.vae.config, torch.tensor(run.results.filmed.values)[None])
    pipe.vae.encode = lambda video: SimpleNamespace(latents=latent)
    # the texts by the pipeline from text alone: Wan's from videos can't without an optional package
    texts = pipeline(folder).encode_prompt("a red cat", "a dog", max_sequence_length=task.length)
    told = {"video": [photo(0).resize(task.size)] * 9, "height": height, "width": width, "strength": STRENGTH}
    told |= dict(zip(("prompt_embeds", "negative_prompt_embeds"), texts, strict=True))
    theirs, shown = (
        torch.cat([made_by(pipe, seed, output_type=kind, **told) for seed in SEEDS]) for kind in ("latent", "pt")
    )
    return gap(latents, task.ordered(theirs)), float(((made / 2 + 0.5).clamp(0, 1) - shown).abs().max())


def made_by(pipe: Any, seed: int, **told: Any) -> Tensor:
    """What a pipeline makes of a seed."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return pipe(**told, num_inference_steps=STEPS, guidance_scale=4.0, generator=generator).frames
