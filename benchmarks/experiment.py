"""An experiment with FID and CLIP curves, three ways, and what one more of anything costs.

    python benchmarks/experiment.py [--prompts 4] [--seeds 4] [--threads 2]      (--seeds 64 is the whole experiment)

The sweep: prompts x seeds x 6 guidance scales x 2 numbers of steps. The contestants, each in a process of its own:

* single: image after image for every scale, as mosaicml/diffusion's evaluator does it (clean_fid_eval.py), each
  scored as it comes;
* batched: a diffusers pipeline, every configuration (scale, steps) in batches;
* flowgen: the graph, with an empty store.

They must draw the same images (within 1e-4). Wall time is taken after a small warm-up: imports apart, loading included.

Rows of the denoiser, by hand. One (prompt, seed, steps = S) has one start noise. In the first step all scales share its
two predictions; scale 1 needs no unconditional one. So with G scales of which one is 1 the least is

    2 + (S - 1) * (2 * (G - 1) + 1)

*allowed* is what the machine's own gain from batching allows: the seconds that the networks take for the least number
of rows, measured at flowgen's own mean batch in the same process, over flowgen's wall time. They are measured after the
run, on a machine that is never quite the same; so the seconds inside the networks' calls are counted in the run too.

The second table adds something to the finished experiment. Its cost is wall time less that of a run which finds
everything in the store, over the same of the run from scratch; its own share is the networks' seconds of the new rows
over those of all. New rows of the denoiser, by hand, for one (prompt, seed, steps = S): one more scale 2 S; guidance
from 40% of the loop on, with k = 0.4 S rounded up: the k steps before it are common to all G - 1 scales other than 1,
which is known, and so are the two predictions of the step in which they part: k + 2 + (S - 1 - k) * 2 * (G - 1).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from networks import KINDS, Judges, network_seconds, spent_in_networks, timed_networks

COLOURS = ["red", "green", "blue", "yellow"]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SCALES = [1, 1.5, 2, 3, 4, 6]
STEPS = [10, 25]
GRAPH = """\
flowgen: 1
sweep: {{guidance: {scales}, steps: {steps}, prompt: {prompts}, seed: {{range: {seeds}}}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  judge: {{type: model, from: "zoo:digits-clip"}}
  eye: {{type: model, from: "zoo:digits-classifier"}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed, per: [prompt]}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $guided, steps: $steps}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance}}
  image: {{type: decoder.vae, latent: $sampler.sample}}
  clip: {{type: score.clip, model: $judge, image: $image, text: $prompt}}
  clip_mean: {{type: mean, of: $clip, over: [prompt, seed]}}
  features: {{type: features, model: $eye, image: $image}}
  real: {{type: reference, model: $eye, from: "zoo:digits-test"}}
  fid: {{type: metric.fid, features: $features, reference: $real, over: [prompt, seed]}}
outputs: [image, clip_mean, fid]
"""


def prompts(count: int) -> list[str]:
    """The first of the forty prompts, digits going round fastest and colours with them."""
    every = [f"a {COLOURS[(n + n // 10) % 4]} {DIGITS[n % 10]}" for n in range(40)]
    return every[:count]


def least_rows(scales: int, steps: list[int]) -> int:
    """Denoiser rows of one (prompt, seed), by the formula above."""
    return sum(2 + (s - 1) * (2 * (scales - 1) + 1) for s in steps)


def later_rows(scales: int, steps: list[int], start: float = 0.4) -> int:
    """New denoiser rows of one (prompt, seed) for guidance that starts later, by the formula above."""
    first = [(s, math.ceil(start * s)) for s in steps]
    return sum(k + 2 + (s - 1 - k) * 2 * (scales - 1) for s, k in first)


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


def rows_of(run: Any) -> dict[str, int]:
    """Rows by kind of a flowgen run."""
    calls = run.tally.calls()
    return {label: calls[kind][1] for kind, label in KINDS.items() if kind in calls}


def second_graph(text: str, scale: int = 8) -> dict[str, str]:
    """The experiment with one thing added, by name."""
    later = "scale: {during: [0.4, 1], value: $guidance, else: 1}"
    metric = '  clip2: {type: score.clip, model: $judge, image: $image, text: "a number"}\n'
    metric += "  clip2_mean: {type: mean, of: $clip2, over: [prompt, seed]}\n"
    return {
        "one more scale": text.replace(f"{SCALES}", f"{[*SCALES, scale]}"),
        "one more prompt": text,
        "a new metric": text.replace("outputs: [", metric + "outputs: [clip2_mean, "),
        "guidance from 40%": text.replace("scale: $guidance", later),
    }


def flowgen_run(chosen: argparse.Namespace, out: Path) -> dict[str, Any]:
    """The same as a graph, with an empty store; then one more of this and that."""
    import numpy as np

    import flowgen

    def graph(count: int) -> str:
        return GRAPH.format(scales=SCALES, steps=STEPS, prompts=prompts(count), seeds=chosen.seeds)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def timed(text: str, store: str, **where: Any) -> tuple[float, Any]:
            (folder / "graph.yaml").write_text(text, encoding="utf-8")
            started = time.perf_counter()
            run = flowgen.load(folder / "graph.yaml", where=where).run(folder / store, folder / "runs")
            return time.perf_counter() - started, run

        timed(graph(1), "warm", seed=[0], steps=[10], guidance=[1, 2])
        with timed_networks() as inside:
            seconds, run = timed(graph(chosen.prompts), "store")
        known, _ = timed(graph(chosen.prompts), "store")
        cost, calls = network_seconds(run)
        found = run.results.transpose("guidance", "steps", "prompt", "seed", ...)
        images = found.image.values.reshape(-1, *found.image.shape[4:])
        np.savez(
            out, images=(images / 2 + 0.5).clip(0, 1), clip=found.clip_mean.values.ravel(), fid=found.fid.values.ravel()
        )
        added = {}
        each = chosen.prompts * chosen.seeds
        least = {
            "one more scale": each * 2 * sum(STEPS),
            "one more prompt": chosen.seeds * least_rows(len(SCALES), STEPS),
            "a new metric": 0,
            "guidance from 40%": each * later_rows(len(SCALES), STEPS),
        }
        for label, text in second_graph(graph(chosen.prompts)).items():
            text = graph(chosen.prompts + 1) if label == "one more prompt" else text
            spent, more = timed(text, "store")
            rows = rows_of(more)
            share = spent_in_networks(rows, cost) / spent_in_networks(rows_of(run), cost)
            added[label] = {
                "items": more.tally.computed(),
                "rows": rows.get("denoiser", 0),
                "least": least[label],
                "cost": (spent - known) / (seconds - known),
                "share": share,
                "seconds": spent,
            }
    allowed = spent_in_networks({**rows_of(run), "denoiser": each * least_rows(len(SCALES), STEPS)}, cost)
    return {
        "seconds": seconds, "rows": rows_of(run), "added": added, "known": known, "allowed": allowed, "calls": calls,
        "items": run.tally.computed(), "per row": cost, "inside": sum(inside),
    }  # fmt: skip


def contestant(chosen: argparse.Namespace) -> None:
    """One contestant in this process; prints its figures as the last line."""
    import diffusers
    import torch
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    torch.set_num_threads(chosen.threads)
    if chosen.contestant == "flowgen":
        found = flowgen_run(chosen, chosen.out)
    else:
        found = diffusers_script(chosen, chosen.batch if chosen.contestant == "batched" else 1, chosen.out)
    print(json.dumps(found))


def main() -> None:
    """Run every contestant and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--prompts", type=int, default=4, help="of 39")
    options.add_argument("--seeds", type=int, default=4, help="images for each prompt, scale and number of steps")
    options.add_argument("--threads", type=int, default=2, help="torch threads of every contestant")
    options.add_argument("--batch", type=int, default=16, help="images a batch of the batched diffusers script")
    options.add_argument("--contestant", help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.contestant:
        contestant(chosen)
        return
    figures, results = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("flowgen", "batched", "single"):
            out = Path(folder) / f"{name}.npz"
            command = [sys.executable, __file__, "--contestant", name, "--out", str(out), "--batch", str(chosen.batch)]
            command += [f"--{name}={getattr(chosen, name)}" for name in ("prompts", "seeds", "threads")]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures[name] = json.loads(done.stdout.strip().splitlines()[-1])
            results[name] = read_npz(out)
    print_tables(chosen, figures, results)


def read_npz(path: Path) -> dict[str, Any]:
    """A contestant's images and scores."""
    import numpy as np

    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def print_tables(chosen: argparse.Namespace, figures: dict[str, Any], results: dict[str, Any]) -> None:
    """Both tables."""
    import numpy as np

    mine = figures["flowgen"]
    kinds = list(KINDS.values())
    least = chosen.prompts * chosen.seeds * least_rows(len(SCALES), STEPS)
    print(
        f"{len(results['flowgen']['images'])} images of {STEPS} steps at {len(SCALES)} scales, {chosen.threads} threads"
    )
    print(
        f"{'':10}{'seconds':>9}{'ratio':>7}" + "".join(f"{k:>10}" for k in kinds) + f"{'image gap':>11}{'FID gap':>9}"
    )
    for name, found in figures.items():
        gap = float(np.abs(results[name]["images"] - results["flowgen"]["images"]).max())
        far = float(np.abs(results[name]["fid"] / results["flowgen"]["fid"] - 1).max())
        counts = "".join(f"{found['rows'].get(kind, 0):10}" for kind in kinds)
        print(f"{name:10}{found['seconds']:9.1f}{found['seconds'] / mine['seconds']:7.2f}{counts}{gap:11.1e}{far:9.0e}")
        if gap > 1e-4:
            sys.exit(f"{name} draws other images")
    print(f"least number of denoiser rows, by hand: {least}")
    size = mine["calls"]["denoiser"]
    print(f"a denoiser row alone (2 in a call) over one of {size} in a call: {mine['calls']['gain']:.2f}")
    print(f"allowed by the networks: {mine['allowed']:.1f} s, {mine['allowed'] / mine['seconds']:.2f} of the wall time")
    known = mine["known"]
    over = mine["seconds"] - known
    print(f"... {mine['allowed'] / over:.2f} of it without the {known:.1f} s of a run that finds everything")
    inside = mine["inside"]
    shares = f"{inside / mine['seconds']:.2f} of the wall time, {inside / over:.2f} of it without those"
    print(f"in the networks in that run itself: {inside:.1f} s, {shares}\n")
    print(f"{'added':20}{'items':>7}{'rows':>7}{'by hand':>9}{'seconds':>9}{'cost':>8}{'own share':>11}")
    for label, row in mine["added"].items():
        print(
            f"{label:20}{row['items']:7}{row['rows']:7}{row['least']:9}{row['seconds']:9.1f}"
            f"{row['cost']:8.3f}{row['share']:11.3f}"
        )


if __name__ == "__main__":
    main()
