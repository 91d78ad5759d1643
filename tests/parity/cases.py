"""Every family with its default scheduler, against diffusers' own pipeline."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from comparing import PROMPTS, SEEDS, Both, Case, asked, videos
from flowgen_nodes.families.flux import unpacked

CLASSES = (7, 250)


def one_by_one(pipe: Any, options: dict[str, Any]) -> Both:
    """SDXL's pipeline mixes up the sizes of the prompts and of the negative prompts of a batch."""
    rows = []
    for prompt, seed in itertools.product(PROMPTS, SEEDS):
        rows.append([])
        for kind in ("latent", "pt"):
            generator = torch.Generator("cpu").manual_seed(seed)
            alone = asked(kind, **{**options, "prompt": prompt, "generator": generator})
            rows[-1].append(pipe(**alone).images)
    latents, made = (torch.cat(each) for each in zip(*rows, strict=True))
    return latents, made


def packed_pictures(pipe: Any, options: dict[str, Any]) -> Both:
    """Flux returns latents in patches."""
    latents = pipe(**asked("latent", **options)).images
    return unpacked(latents, 16, 16), pipe(**asked("pt", **options)).images


def packed_videos(pipe: Any, options: dict[str, Any]) -> Both:
    """LTX returns latents as a list of tokens."""
    latents = pipe(**asked("latent", **options)).frames
    return latents.transpose(1, 2).unflatten(2, (3, 8, 8)), pipe(**asked("pt", **options)).frames


def videos_by_frame(pipe: Any, options: dict[str, Any]) -> Both:
    """CogVideoX has latents as [B, F, C, H, W]."""
    latents, made = videos(pipe, options)
    return latents.transpose(1, 2), made


def classes(pipe: Any, options: dict[str, Any]) -> Both:
    """DiT takes classes, and returns no latents."""
    kept = []
    decode = pipe.vae.decode
    pipe.vae.decode = lambda latents: kept.append(latents) or decode(latents)
    generators = [torch.Generator("cpu").manual_seed(seed) for _ in CLASSES for seed in SEEDS]
    labels = [label for label in CLASSES for _ in SEEDS]
    pictures = pipe(class_labels=labels, generator=generators, output_type="np", **options).images
    return kept[0] * pipe.vae.config.scaling_factor, torch.tensor(pictures).movedim(-1, 1)


def sounds(pipe: Any, options: dict[str, Any]) -> Both:
    """Sounds aren't clipped."""
    return pipe(**asked("latent", **options)).audios, pipe(**asked("pt", **options)).audios


SMALL = {"height": 32, "width": 32}
FEW = {"height": 16, "width": 16, "num_frames": 9}
CASES = [
    Case("sd1", loading={"safety_checker": None}),
    Case("sd2", empty='encoder.text, text: "a dog"', options={"negative_prompt": ["a dog"] * 4}),
    Case("sdxl", "scheduler.euler"),
    Case(
        "sdxl",
        "scheduler.euler",
        text="condition.size, context: $encoded, original_width: 50, crop_top: 3",
        more="  encoded: {type: encoder.text, text: $prompt}\n",
        note="original width 50, crop from 3",
        empty='encoder.text, text: "", empty: encode',
        options={"original_size": (32, 50), "crops_coords_top_left": (3, 0), "negative_prompt": ""}
        | {"negative_original_size": (32, 32), "negative_target_size": (32, 32)},
        theirs=one_by_one,
    ),
    Case(
        "sdxl",
        "scheduler.euler",
        text="encoder.text, text: $prompt, text_2: a black house, clip_skip: 1",
        note="a text for each encoder, clip_skip 1",
        options={"prompt_2": ["a black house"] * 4, "clip_skip": 1},
    ),
    Case("sd3", "scheduler.euler"),
    Case(
        "sd3",
        "scheduler.euler",
        text="encoder.text, text: $prompt, text_2: a black house, text_3: one, clip_skip: 1",
        note="a text for each encoder, clip_skip 1",
        options={"prompt_2": ["a black house"] * 4, "prompt_3": ["one"] * 4, "clip_skip": 1},
    ),
    Case("flux", "scheduler.euler", guidance=1.0, denoiser=", guidance: 5.5", noise=", width: 32, height: 32",
         theirs=packed_pictures, options={**SMALL, "guidance_scale": 5.5}),
    Case("flux-schnell", "scheduler.euler", noise=", width: 32, height: 32", theirs=packed_pictures,
         options={**SMALL, "negative_prompt": [""] * 4, "true_cfg_scale": 4.0}),
    Case("pixart", "scheduler.dpm_2m", options={"use_resolution_binning": False}),
    Case("dit", text="condition.class, label: $prompt", empty="condition.class", prompts=CLASSES, theirs=classes),
    Case("wan", "scheduler.euler", "decoder.video", noise=", width: 16, height: 16, frames: 9", theirs=videos,
         options=FEW),
    Case("wan-2.2", "scheduler.euler", "decoder.video", noise=", width: 16, height: 16, frames: 9", theirs=videos,
         options=FEW, note="two networks"),
    Case("ltx", "scheduler.euler", "decoder.video", noise=", width: 32, height: 32, frames: 9", theirs=packed_videos,
         options={**FEW, **SMALL}),
    Case("cogvideox", decoder="decoder.video", theirs=videos_by_frame),
    Case("cogvideox-5b", decoder="decoder.video", noise=", width: 48, height: 32, frames: 5", theirs=videos_by_frame,
         options={"width": 48, "height": 32, "num_frames": 5}),
    Case("animatediff", decoder="decoder.video", noise=", frames: 4", theirs=videos, options={"num_frames": 4}),
    Case("stable-audio", "scheduler.dpm_2m", "decoder.audio", text="encoder.text, text: $prompt, seconds: 5",
         empty='encoder.text, text: "", seconds: 5', theirs=sounds, options={"audio_end_in_s": 5.0},
         shown=lambda made: made[..., :20]),
]  # fmt: skip
