"""What the parity tests share: one graph for every family, diffusers' own pipeline beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tiny_models
import torch
from PIL import Image as Pillow
from tiny_models import pipeline
from torch import Tensor

from flowgen.experiment import load

PROMPTS = ["a red cat", "four blue dogs, seven"]
SEEDS = [3, 5]
GUIDANCE = 4.0
STEPS = 3
GRAPH = """\
flowgen: 1
sweep: {{prompt: {prompts}, seed: {seeds}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  text: {{type: {text}}}
  empty: {{type: {empty}}}
  noise: {{type: noise, seed: $seed{noise}}}
  sampler: {{type: {sampler}, start: $noise, prediction: $guided, steps: {steps}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text{denoiser}}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty{denoiser}}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: {guidance}}}
  made: {{type: {decoder}, latent: $sampler}}
{more}outputs: [sampler, made]
"""
Both = tuple[Tensor, Tensor]
"""latents and what was decoded, a row for each prompt and seed"""


def pictures(pipe: Any, options: dict[str, Any]) -> Both:
    """What a pipeline makes, its pictures in 0..1."""
    return pipe(**asked("latent", **options)).images, pipe(**asked("pt", **options)).images


def videos(pipe: Any, options: dict[str, Any]) -> Both:
    """The same of a video pipeline: [B, F, C, H, W]."""
    return pipe(**asked("latent", **options)).frames, pipe(**asked("pt", **options)).frames


def photo(number: int, size: int = 32) -> Any:
    """A picture of random pixels; ``Case.mine`` writes the first four beside the graph as photo0.png, ..."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Pillow.fromarray(pixels)


@dataclass(frozen=True)
class Case:
    """One family: what differs in the graph, and in the call of diffusers' pipeline."""

    family: str
    sampler: str = "scheduler.ddim"
    decoder: str = "decoder.vae"
    guidance: float = GUIDANCE
    text: str = "encoder.text, text: $prompt"
    empty: str = 'encoder.text, text: ""'
    noise: str = ""
    denoiser: str = ""
    more: str = ""
    """more nodes, lines of the graph"""
    note: str = ""
    """for the table"""
    prompts: tuple[Any, ...] = tuple(PROMPTS)
    options: dict[str, Any] = field(default_factory=dict)
    """of the pipeline's call"""
    loading: dict[str, Any] = field(default_factory=dict)
    """of ``from_pretrained``"""
    theirs: Callable[[Any, dict[str, Any]], Both] = pictures
    shown: Callable[[Tensor], Tensor] = lambda made: (made / 2 + 0.5).clamp(0, 1)
    """what flowgen decodes, as the pipeline returns it"""

    def __str__(self) -> str:
        return f"{self.family}-{self.sampler}"

    def told(self) -> str:
        """What this case says beside the prompt."""
        said = [f"guidance {self.guidance:g}"] if self.guidance != 1 else []
        return ", ".join(said + [text.strip(", ") for text in (self.note, self.noise, self.denoiser) if text])

    def folder(self, parent: Path) -> Path:
        """The tiny folder."""
        return tiny_models.folder(self.family, parent)

    def mine(self, parent: Path, folder: Path) -> Both:
        """What flowgen makes."""
        file = parent / "g.yaml"
        for number in range(4):
            photo(number).save(parent / f"photo{number}.png")
        about = {
            name: getattr(self, name) for name in ("sampler", "decoder", "guidance", "text", "empty", "noise", "more")
        }
        file.write_text(
            GRAPH.format(
                prompts=list(self.prompts), seeds=SEEDS, folder=folder, steps=STEPS, denoiser=self.denoiser, **about
            )
        )
        return both(load(file).run(parent / "store", parent / "runs", batch=4))

    def reference(self, folder: Path) -> Both:
        """What diffusers makes."""
        pipe = pipeline(folder, **self.loading)
        return self.theirs(pipe, {"num_inference_steps": STEPS, "guidance_scale": self.guidance, **self.options})

    def gaps(self, parent: Path, folders: Path) -> tuple[float, float]:
        """The largest differences: of latents relative to max(1, |reference|), of what is decoded absolute."""
        folder = self.folder(folders)
        (latents, made), (their_latents, theirs) = self.mine(parent, folder), self.reference(folder)
        return gap(latents, their_latents), float((self.shown(made) - theirs).abs().max())


def both(run: Any) -> Both:
    """The outputs ``sampler`` and ``made`` of a run, one row for each point."""
    results = run.results.load()
    return tuple(  # type: ignore[return-value]
        torch.tensor(results[name].values).flatten(0, len(results[name].attrs["axes"]) - 1)
        for name in ("sampler", "made")
    )


def asked(output_type: str, **options: Any) -> dict[str, Any]:
    """The arguments of a pipeline's call for every prompt and seed, in the order of flowgen's rows."""
    generators = [torch.Generator("cpu").manual_seed(seed) for _ in PROMPTS for seed in SEEDS]
    texts = [prompt for prompt in PROMPTS for _ in SEEDS]
    return {"prompt": texts, "generator": generators, "output_type": output_type, **options}


def gap(mine: Tensor, reference: Tensor) -> float:
    """The largest difference relative to max(1, |reference|)."""
    assert mine.shape == reference.shape, (mine.shape, reference.shape)
    return float(((mine - reference).abs() / reference.abs().clamp(min=1)).max())
