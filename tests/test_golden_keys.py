"""Keys of one small graph, a node of each kind, and digests of model parts: literal values that guard users' caches."""

from __future__ import annotations

import dataclasses

import pytest
import toys  # noqa: F401  (registers the nodes)
from small import Lab
from test_key_mutations import keys

from flowgen.values.model import Part

GRAPH = """\
flowgen: 1
sweep:
  prompt: [a red three, a blue one]
  guidance: [1, 4]
  solver: {cases: {ddim: {type: scheduler.ddim, eta: 0.5}, ddpm: scheduler.ddpm}}
  seed: [5, 6]
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  judge: {type: model, from: ZOO/digits-clip}
  text: {type: encoder.text, text: $prompt}
  empty: {type: encoder.text, text: ""}
  noise: {type: noise, seed: $seed, per: [prompt]}
  sampler: {type: $solver, start: $noise, prediction: $guided, steps: 4, trajectory: {at: [0.5, 1]}}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  uncond: {type: denoiser, x: $sampler.x, context: $empty}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond,
           scale: {during: [0.25, 0.75], value: $guidance, else: 1}}
  states: {type: decoder.vae, latent: $sampler.trajectory}
  image: {type: decoder.vae, latent: $sampler.sample}
  clip: {type: score.clip, model: $judge, image: $image, text: $prompt}
  all: {type: mean, of: $clip, over: [seed]}
  some: {type: mean, of: $clip, over: [seed], missing: skip}
  first: {type: scheduler.ddim, start: $noise, prediction: $early, steps: 10, until: 0.6}
  early: {type: denoiser, x: $first.x, context: $text}
  second: {type: scheduler.ddim, start: $noise, init: $first, after: 0.6, prediction: $late, steps: 10}
  late: {type: denoiser, x: $second.x, context: $empty}
  ended: {type: decoder.vae, latent: $second.sample}
outputs: [image, states, all, some, ended]
"""
NESTED = """\
flowgen: 1
sweep: {by: [0.5, 2]}
nodes:
  one: {type: toy.number, value: 1}
  sum: {type: toy.count, start: $one, change: $inner}
  inner: {type: toy.count, start: $sum.x, change: $more, steps: 2}
  more: {type: toy.scale, x: $inner.x, by: $by}
outputs: [sum]
"""


def literal(part: str, found: Part) -> Part:
    """A part that is the same whatever the libraries write into its configuration."""
    config = '{"num_train_timesteps": 1000}' if part == "scheduler" else f'{{"part": "{part}"}}'
    return dataclasses.replace(found, loader=f"golden:{part}", config=config, files=(f"{part}.bin",), folder="golden")


def made(lab: Lab, text: str) -> dict[str, list[str]]:
    """The keys of each node's first and last item; every node counts as version 1, so that a new version of one changes
    nothing here.
    """
    graph = lab.load(text).check().graph
    first = {
        name: dataclasses.replace(node, type=dataclasses.replace(node.type, version=1))
        for name, node in graph.nodes.items()
    }
    references = {
        name: column.map(
            lambda model: dataclasses.replace(model, parts={p: literal(p, found) for p, found in model.parts.items()})
        )
        for name, column in graph.references.items()
    }
    columns = keys(dataclasses.replace(graph, nodes=first, references=references))
    return {name: [key.decode() for key in column.values.ravel()[[0, -1]]] for name, column in columns.items()}


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


GOLDEN = {
    "text": ["0fa8b3d750b190a28e173ed5748ab14b5e5e521c", "d864d7180d381c0b1fecac8af1f85368c2f7d706"],
    "noise": ["3c18fb6208f5439878c15c59764fb1b1fd086bea", "d5724b5d0155943576222f0d5f07d279c810c893"],
    "sampler": ["d1488ebd593e8d785c29944ea1c0344286cab1c2", "ecd14847b3372cb9a89d98a88e838abf688ee929"],
    "sampler.trajectory": ["92270a55081dd98e26cdccfccab8d26e00924220", "97bdc387031e24a1f03d6a27853c1a8bc8d0c0be"],
    "first": ["f0240af80385eeeeb1566f3e337d01ce57c2ec2a", "f6b67fe75c358b2d4825dc93c304521b8c69006d"],
    "second": ["87b3694f68681262672b2684e0dc7f960e3d38e9", "0e8196b80908161c2f73fa588831edb619177178"],
    "image": ["470adbc0b12409d7fac955fb550dd9cb549294d8", "95641d8b04a0338ec2f26b3a4131025cee6706a2"],
    "clip": ["e0bfd9e1e0e66e40bdaa0adfc90e26d2b6603547", "75ad1427cd8f07c46f1a1f924e4278e50f30dca8"],
    "all": ["01d7561a59acfafb88c5d9fc5af8f088272f57a7", "49d1fa08059c00dfcf547bddce9ef19f80692b0b"],
    "some": ["fff640ea646e2c34c20356505a520c992597424c", "d8fbfbe0491b5ef1463e5600a208eac11a9b9d87"],
}
"""by node, the keys of its first and last item: who changes them raises FORMAT in store/keys.py"""


def test_golden_keys_of_nodes(lab):
    found = made(lab, GRAPH)
    assert {name: found[name] for name in GOLDEN} == GOLDEN


def test_golden_keys_of_a_loop_in_a_loop(lab):
    found = made(lab, NESTED)
    assert found["sum"] == ["0bb538f7d8a6d15c0c51a8421d73807957bf7e73", "790885baa8ce6d3c761b4df674a8a4d81cac05a0"]


def test_golden_digests_of_parts():
    """They are in the keys of all that reads the part."""
    part = Part("pack:Loader", "folder", '{"depth": 2}', ("a.bin", "b.bin"))
    update = dataclasses.replace(part, files=("update.bin",), dtype="float16")
    built = dataclasses.replace(part, of=(update,), numerics='{"tiles": 64}')
    found = [each.digest(lambda path: f"digest of {path.name}") for each in (part, built)]
    assert found == [
        "f70357e45fe47d987fa77e9f93c2977a75bff7c6cd6b338c326846e828978a13",
        "3e97c65b5c3dcbda2c02956fca69f36b1cdb9cb4333d9f7de992872538f98981",
    ]
