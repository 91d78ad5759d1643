"""The experiment's graph, what is added to it, and the denoiser's rows of both by hand.

One (prompt, seed, steps = S) has one start noise. In the first step all scales share its two predictions; scale 1 needs
no unconditional one. So with G scales of which one is 1 the least is

    2 + (S - 1) * (2 * (G - 1) + 1)

What is added: one more scale is 2 S rows for one (prompt, seed, steps = S). Guidance from 40% of the loop on, with
k = 0.4 S rounded up: the k steps before it are common to all G - 1 scales other than 1, which is known, and so are the
two predictions of the step in which they part: k + 2 + (S - 1 - k) * 2 * (G - 1).
"""

from __future__ import annotations

import math

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


def graph(prompt_count: int, seeds: int) -> str:
    """The experiment."""
    return GRAPH.format(scales=SCALES, steps=STEPS, prompts=prompts(prompt_count), seeds=seeds)


def additions(prompt_count: int, seeds: int, scale: int = 8) -> dict[str, tuple[str, int]]:
    """The experiment with one thing added, by name; the new rows of the denoiser."""
    text, each = graph(prompt_count, seeds), prompt_count * seeds
    later = "scale: {during: [0.4, 1], value: $guidance, else: 1}"
    metric = '  clip2: {type: score.clip, model: $judge, image: $image, text: "a number"}\n'
    metric += "  clip2_mean: {type: mean, of: $clip2, over: [prompt, seed]}\n"
    return {
        "one more scale": (text.replace(f"{SCALES}", f"{[*SCALES, scale]}"), each * 2 * sum(STEPS)),
        "one more prompt": (graph(prompt_count + 1, seeds), seeds * least_rows(len(SCALES), STEPS)),
        "a new metric": (text.replace("outputs: [", metric + "outputs: [clip2_mean, "), 0),
        "guidance from 40%": (text.replace("scale: $guidance", later), each * later_rows(len(SCALES), STEPS)),
    }
