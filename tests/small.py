"""A small text-to-image graph that many tests vary, and short ways to run it."""

from __future__ import annotations

from pathlib import Path

import torch

from flowgen.experiment import Experiment, Run, load
from flowgen.store import Store, processes
from flowgen.store import store as store_module
from flowgen.values import Record

SMALL = """\
flowgen: 1
sweep:
  prompt: [a red three, a blue seven on a yellow background]
  guidance: [1, 4]
  seed: {range: 3}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  judge: {type: model, from: ZOO/digits-clip}
  eye: {type: model, from: ZOO/digits-classifier}
  text: {type: encoder.text, text: $prompt}
  empty: {type: encoder.text, text: ""}
  noise: {type: noise, seed: $seed, per: [prompt]}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $guided, steps: 4}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  uncond: {type: denoiser, x: $sampler.x, context: $empty}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance}
  image: {type: decoder.vae, latent: $sampler.sample}
  clip: {type: score.clip, model: $judge, image: $image, text: $prompt}
  features: {type: features, model: $eye, image: $image}
  real: {type: reference, model: $eye, from: ZOO/digits-test}
  fid: {type: metric.fid, features: $features, reference: $real, over: [prompt, seed]}
outputs: [image, clip, fid]
"""


class Lab:
    """A folder with a zoo, a store and runs, where graphs are written and run."""

    def __init__(self, folder: Path, zoo: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.runs = folder / "runs"
        (folder / "ZOO").symlink_to(zoo)

    def load(self, text: str = SMALL, *changes: tuple[str, str], name: str = "g.yaml", **inputs: object) -> Experiment:
        """A graph from a text with replacements made."""
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        file = self.folder / name
        file.write_text(text)
        return load(file, inputs)

    def plan(self, *arguments, **inputs):
        """What a run would compute."""
        return self.load(*arguments, **inputs).plan(self.store)

    def run(self, *arguments, options: dict | None = None, **inputs) -> Run:
        """Run a graph."""
        return self.load(*arguments, **inputs).run(self.store, self.runs, **(options or {}))


def computed(run: Run) -> dict[str, int]:
    """Items computed, by node."""
    return {name: run.tally.computed(name) for name, node in run.plan.nodes.items() if run.tally.computed(name)}


def to_compute(plan) -> dict[str, int]:
    """Items that a plan would compute, by node."""
    return {name: node.compute for name, node in plan.nodes.items() if node.compute}


def close(mine: torch.Tensor, reference: torch.Tensor, bound: float = 1e-4) -> bool:
    """Whether two tensors agree within ``bound`` times max(1, |reference|)."""
    return bool(((mine - reference).abs() <= bound * reference.abs().clamp(min=1)).all())


def tensors(record: Record) -> list[torch.Tensor]:
    """A record's tensors."""
    return list(record.tensors().values())


def on_machine(monkeypatch, place: Path | str, name: str, home: Path) -> Store:
    """A store as another machine opens it: its own name, index and copies."""
    with monkeypatch.context() as patch:
        patch.setattr(processes, "place", lambda: name)
        patch.setattr(store_module, "machine", lambda: name)
        patch.setenv("XDG_CACHE_HOME", str(home / name))
        opened = Store(place)
        opened.leases.look()  # the process takes its name
    return opened
