"""The experiment as a script around a diffusers pipeline."""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from networks import Judges
from sweep import SCALES, STEPS, prompts


def diffusers_script(chosen: argparse.Namespace, size: int, out: Path) -> dict[str, Any]:
    """What a user would write: loops over configurations and batches around the pipeline, then the scores."""
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline

    from flowgen.node.registry import find_source
    from flowgen.values.random import seed_stream

    rows: Counter[str] = Counter()
    folder = find_source("zoo:digits", Path()).path
    items = list(itertools.product(prompts(chosen.prompts), range(chosen.seeds)))
    pictures, means, distances = [], [], []

    def load() -> Any:
        pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    load()(["a red three"], num_inference_steps=2)
    started = time.perf_counter()
    pipe, judges = load(), Judges(rows)
    for part, kind in ((pipe.unet, "denoiser"), (pipe.text_encoder, "texts"), (pipe.vae.decoder, "decodes")):
        part.register_forward_pre_hook(lambda _, inputs, k=kind: rows.update({k: len(inputs[0])}))
    for scale, steps in itertools.product(SCALES, STEPS):
        scores, features = [], []
        for first in range(0, len(items), size):
            group = items[first : first + size]
            salts = [json.dumps({"prompt": prompt}, sort_keys=True, separators=(",", ":")) for prompt, _ in group]
            streams = [seed_stream(seed, salt) for (_, seed), salt in zip(group, salts, strict=True)]
            images = pipe(
                [prompt for prompt, _ in group],
                generator=[torch.Generator("cpu").manual_seed(stream) for stream in streams],
                guidance_scale=scale,
                num_inference_steps=steps,
                output_type="np",
            ).images.transpose(0, 3, 1, 2)
            score, feature = judges.judge(torch.from_numpy(images), [prompt for prompt, _ in group])
            pictures.append(images)
            scores.append(score)
            features.append(feature)
        means.append(float(torch.cat(scores).double().mean()))
        distances.append(judges.fid(torch.cat(features)))
    seconds = time.perf_counter() - started
    np.savez(out, images=np.concatenate(pictures), clip=means, fid=distances)
    return {"seconds": seconds, "rows": rows}
