"""Graph 01's images: flowgen against a plain diffusers script, one image at a time and batched per configuration.

    python benchmarks/graph01.py [--seeds 8] [--threads 2]

Each contestant runs in a process of its own, on the same weights, prompts, noises, guidance scales and steps, and its
pictures are compared. Printed are ratios to flowgen: wall time (loading included, imports not) and denoiser calls.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLOURS = ["red", "green", "blue", "yellow"]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SCALES = [1, 2, 4]
STEPS = 25
GRAPH = """\
flowgen: 1
sweep: {{colour: {colours}, digit: {digits}, guidance: {scales}, seed: {{range: {seeds}}}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  text: {{type: encoder.text, text: "a ${{colour}} ${{digit}}"}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed, per: [colour, digit]}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $guided, steps: {steps}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance}}
  image: {{type: decoder.vae, latent: $sampler.sample}}
outputs: [image]
"""


def diffusers_script(seeds: int, batched: bool, out: Path) -> dict[str, float]:
    """What a user would write: a loop over configurations around the pipeline."""
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline

    from flowgen.node.registry import find_source
    from flowgen.values.random import seed_stream

    calls = 0

    def count(*arguments: object) -> None:
        nonlocal calls
        calls += 1

    folder = find_source("zoo:digits", Path()).path
    started = time.perf_counter()
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.register_forward_pre_hook(count)
    groups = [range(seeds)] if batched else [[seed] for seed in range(seeds)]
    pictures = []
    for colour, digit, scale in itertools.product(COLOURS, DIGITS, SCALES):
        salt = json.dumps({"colour": colour, "digit": digit}, sort_keys=True, separators=(",", ":"))
        for group in groups:
            generators = [torch.Generator("cpu").manual_seed(seed_stream(seed, salt)) for seed in group]
            images = pipe(
                [f"a {colour} {digit}"] * len(generators),
                generator=generators,
                guidance_scale=scale,
                num_inference_steps=STEPS,
                output_type="np",
            ).images
            pictures.append(images)
    seconds = time.perf_counter() - started
    np.save(out, np.concatenate(pictures).transpose(0, 3, 1, 2))
    return {"seconds": seconds, "calls": calls}


def flowgen_run(seeds: int, out: Path) -> dict[str, float]:
    """The same as a graph, with an empty store."""
    import numpy as np

    import flowgen

    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.yaml"
        text = GRAPH.format(colours=COLOURS, digits=DIGITS, scales=SCALES, seeds=seeds, steps=STEPS)
        graph.write_text(text, encoding="utf-8")
        started = time.perf_counter()
        run = flowgen.load(graph).run(Path(folder) / "store", Path(folder) / "runs")
        seconds = time.perf_counter() - started
        images = run.results.image.transpose("colour", "digit", "guidance", "seed", ...).values
        np.save(out, (images.reshape(-1, *images.shape[4:]) / 2 + 0.5).clip(0, 1))
        return {"seconds": seconds, "calls": run.tally.calls()["denoiser"][0]}


def contestant(name: str, seeds: int, threads: int, out: Path) -> None:
    """One contestant in this process; prints its figures as the last line."""
    import diffusers
    import torch

    diffusers.utils.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    found = flowgen_run(seeds, out) if name == "flowgen" else diffusers_script(seeds, name == "batched", out)
    print(json.dumps(found))


def main() -> None:
    """Run every contestant and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=8, help="images for each prompt and scale")
    options.add_argument("--threads", type=int, default=2, help="torch threads of every contestant")
    options.add_argument("--contestant", help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.contestant:
        contestant(chosen.contestant, chosen.seeds, chosen.threads, chosen.out)
        return
    import numpy as np

    names = {
        "flowgen": "flowgen, empty store",
        "batched": "diffusers, 1 batch a setting",
        "single": "diffusers, 1 by 1",
    }
    figures: dict[str, dict[str, float]] = {}
    pictures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            out = Path(folder) / f"{name}.npy"
            command = [sys.executable, __file__, "--contestant", name, "--out", str(out)]
            command += ["--seeds", str(chosen.seeds), "--threads", str(chosen.threads)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            figures[name] = json.loads(done.stdout.strip().splitlines()[-1])
            pictures[name] = np.load(out)
    count = len(pictures["flowgen"])
    print(f"{count} images, {STEPS} steps, {chosen.threads} threads")
    print(f"{'':30}{'seconds':>9}{'ratio':>8}{'calls':>9}{'ratio':>8}{'largest difference':>20}")
    for name, label in names.items():
        mine, base = figures[name], figures["flowgen"]
        gap = float(np.abs(pictures[name] - pictures["flowgen"]).max())
        print(
            f"{label:30}{mine['seconds']:9.1f}{mine['seconds'] / base['seconds']:8.2f}"
            f"{mine['calls']:9.0f}{mine['calls'] / base['calls']:8.2f}{gap:20.1e}"
        )


if __name__ == "__main__":
    main()
