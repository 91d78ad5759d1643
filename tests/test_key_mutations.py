"""Every field that determines a result, changed one at a time, changes the keys below it and no other.

The graph has every node type of the standard pack. Fields are changed in the typed graph itself, so that any value will
do; what lies below is found by following the wires.
"""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import networkx as nx
import numpy as np
import pytest
from small import Lab

from flowgen.graph.columns import Column, constant
from flowgen.graph.model import Wire
from flowgen.graph.stretches import loop_stretches, settings
from flowgen.language.expressions import Schedule
from flowgen.node import Source
from flowgen.plan.keying import Keying
from flowgen.plan.numerics import Numerics
from flowgen.values.model import Part

GRAPH = """\
flowgen: 1
sweep: {prompt: [a red three, a blue one], guidance: [1, 4], seed: [5, 6]}
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
  ancestral: {type: scheduler.ddpm, start: $noise, prediction: $late, steps: 4}
  with: {type: denoiser, x: $ancestral.x, context: $text}
  without: {type: denoiser, x: $ancestral.x, context: $empty}
  late: {type: guidance.cfg, cond: $with, uncond: $without, scale: {during: [0.25, 0.75], value: 3, else: 2}}
  image: {type: decoder.vae, latent: $sampler.sample}
  other: {type: decoder.vae, latent: $ancestral.sample}
  clip: {type: score.clip, model: $judge, image: $image, text: $prompt}
  clip_mean: {type: mean, of: $clip, over: [seed]}
  features: {type: features, model: $eye, image: $other}
  real: {type: reference, model: $eye, from: ZOO/digits-test}
  fid: {type: metric.fid, features: $features, reference: $real, over: [prompt, seed]}
outputs: [image, other, clip_mean, fid]
"""
IMAGES, OTHERS = {"image", "clip", "clip_mean"}, {"other", "features", "fid"}
BOTH = {"sampler", "ancestral"} | IMAGES | OTHERS
USED = {
    ("digits", "unet"): BOTH,
    ("digits", "scheduler"): BOTH,
    ("digits", "vae"): IMAGES | OTHERS,
    ("digits", "text_encoder"): {"text", "empty"} | BOTH,
    ("digits", "tokenizer"): {"text", "empty"} | BOTH,
    ("digits", "latent"): {"noise"} | BOTH,
    ("digits", "family"): {"text", "empty"} | BOTH,
    ("judge", "clip"): {"clip", "clip_mean"},
    ("judge", "tokenizer"): {"clip", "clip_mean"},
    ("judge", "image_processor"): {"clip", "clip_mean"},
    ("eye", "features"): {"features", "real", "fid"},
}
"""what lies below each part of each model, by hand"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory, zoo_folder):
    return Lab(tmp_path_factory.mktemp("keys"), zoo_folder).load(GRAPH).check()


def keys(graph, numerics=None):
    """Every node's keys."""
    stretches = {name: loop_stretches(settings(graph, graph.nodes[name])) for name in graph.bodies}
    return Keying(graph, stretches, numerics or Numerics(), lambda path: f"{path.parent.name}/{path.name}").run()


def changed(before, after):
    """The nodes of which some key is new."""
    return {name for name in before if not np.array_equal(before[name].values, after[name].values)}


def with_node(graph, name, **fields):
    """The graph with one node changed."""
    return dataclasses.replace(graph, nodes={**graph.nodes, name: dataclasses.replace(graph.nodes[name], **fields)})


def below(graph, name):
    """The node and all that follows, without bodies: they have no keys of their own."""
    return {n for n in {name} | nx.descendants(graph.networkx(), name) if graph.nodes[n].body_of is None}


def another(annotation: Any, value: Any) -> Any:
    """A different value of the same kind."""
    if isinstance(value, Source):
        return Source(value.text, value.path.parent / "digits-clip")
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    words = [word for word in (*get_args(annotation), *map(get_args, get_args(annotation))) if word != value]
    words = [w for word in words for w in (word if isinstance(word, tuple) else (word,)) if isinstance(w, str)]
    return next((word for word in words if word != value), f"{value}x")


VALID = {"strength": 0.5, "after": 0.5, "until": 0.5, "calls": 3}
"""Other values of parameters for which not any will do."""


def parameters(graph):
    """Every parameter of every node that isn't a model."""
    return [(node.name, param) for node in graph.nodes.values() if not node.is_reference for param in node.params]


def test_the_graph_has_the_pack(checked):
    types = {node.type.name for node in checked.graph.nodes.values()}
    assert types >= {
        "model", "encoder.text", "noise", "scheduler.ddim", "scheduler.ddpm", "denoiser", "guidance.cfg", "decoder.vae",
        "score.clip", "features", "reference", "metric.fid", "mean",
    }  # fmt: skip
    assert len(parameters(checked.graph)) >= 20


def test_every_parameter(checked):
    graph, before = checked.graph, keys(checked.graph)
    for name, param in parameters(graph):
        node = graph.nodes[name]
        annotation = node.type.signature.params[param].annotation
        column = node.params[param].map(
            lambda v, a=annotation, p=param: (
                v.otherwise + 7.0 if isinstance(v, Schedule) else VALID.get(p, another(a, v))
            )
        )
        instead = {"steps": constant(None)} if param == "calls" else {}
        mutated = with_node(graph, name, params={**node.params, param: column, **instead})
        assert changed(before, keys(mutated)) == below(graph, name), (name, param)


def test_younger_parameters_leave_older_keys(checked):
    """Without them, and with them at their defaults, keys are the same; an older one is missed."""
    graph, before = checked.graph, keys(checked.graph)
    younger = [(name, param) for name, param in parameters(graph) if param in graph.nodes[name].type.added]
    assert {name for name, _ in younger} >= {"text", "empty"}
    for name, param in [*younger, ("text", "empty"), ("cond", "rate")]:
        left = {p: column for p, column in graph.nodes[name].params.items() if p != param}
        expected = set() if (name, param) in younger else below(graph, name)
        assert changed(before, keys(with_node(graph, name, params=left))) == expected, (name, param)


def test_one_point_of_a_parameter_changes_the_items_of_that_point(checked):
    graph, before = checked.graph, keys(checked.graph)
    tried = 0
    for name, param in parameters(graph):
        node = graph.nodes[name]
        column = node.params[param]
        if not column.axes:
            continue
        tried += 1
        values = column.values.copy()
        values.flat[-1] = another(node.type.signature.params[param].annotation, values.flat[-1])
        after = keys(with_node(graph, name, params={**node.params, param: Column(column.axes, values)}))
        for other in below(graph, name):
            axes = graph.nodes[other].axes
            expected = np.ones(before[other].values.shape, dtype=bool)
            for place, axis in enumerate(axes):
                if axis in column.axes:
                    last = np.arange(graph.lengths[axis]) == graph.lengths[axis] - 1
                    expected &= last.reshape([-1 if n == place else 1 for n in range(len(axes))])
            assert np.array_equal(before[other].values != after[other].values, expected), (name, param, other)
    assert tried >= 5  # prompt twice, seed, per, guidance


def test_every_version_and_type(checked):
    graph, before = checked.graph, keys(checked.graph)
    for node in graph.nodes.values():
        if node.is_reference:
            continue
        for field in ({"version": node.type.version + 1}, {"name": "somebody.elses"}):
            newer = dataclasses.replace(node.type, **field)
            assert changed(before, keys(with_node(graph, node.name, type=newer))) == below(graph, node.name), node.name


@pytest.mark.parametrize(("model", "part"), USED)
@pytest.mark.parametrize("field", ["loader", "config", "dtype", "files", "of", "numerics"])
def test_every_part_of_every_model(checked, model, part, field):
    graph, before = checked.graph, keys(checked.graph)
    column = graph.references[model]
    held = column.values[()]
    found = held.parts[part]
    update = Part("another:Loader", found.folder, "{}", ("update.bin",))
    other = {
        "loader": "another:Loader",
        "config": '{"other": 1}',
        "dtype": "bfloat16",
        "files": ("other.bin",),
        "of": (update,),
        "numerics": '{"attention": "other"}',
    }[field]
    if field == "config" and part == "scheduler":
        other = found.config.replace('"beta_end": ', '"beta_end": 1')
    mutated = dataclasses.replace(held, parts={**held.parts, part: dataclasses.replace(found, **{field: other})})
    references = {**graph.references, model: column.map(lambda _: mutated)}
    assert changed(before, keys(dataclasses.replace(graph, references=references))) == USED[model, part]


@pytest.mark.parametrize("field", ["loader", "config", "dtype", "files", "of", "numerics"])
def test_what_a_part_is_made_of_is_in_its_identity(field):
    update = Part("pack:Update", "folder", "{}", ("update.bin",))
    other = {
        "loader": "pack:Other",
        "config": "[]",
        "dtype": "float16",
        "files": ("b.bin",),
        "of": (update,),
        "numerics": "{}",
    }[field]
    part = Part("pack:Loader", "folder", "{}", ("a.bin",), of=(update,))
    mutated = dataclasses.replace(part, of=(dataclasses.replace(update, **{field: other}),))
    one, another = (each.digest(lambda path: path.name) for each in (part, mutated))
    assert one != another


@pytest.mark.parametrize(
    ("words", "expected"), [("attention: math", BOTH), ("compile: true", BOTH), ("tile: 64", IMAGES | OTHERS)]
)
def test_words_of_a_model_that_decide_how_it_rounds(checked, tmp_path, zoo_folder, words, expected):
    before = keys(checked.graph)
    written = GRAPH.replace("from: ZOO/digits}", f"from: ZOO/digits, {words}}}")
    after = keys(Lab(tmp_path, zoo_folder).load(written).check().graph)
    assert changed(before, after) == expected


def test_all_parts_are_tried(checked):
    graph = checked.graph
    found = {(name, part) for name, column in graph.references.items() for part in column.values[()].parts}
    assert found == set(USED)


def test_every_field_of_the_numerics(checked):
    graph, before = checked.graph, keys(checked.graph)
    for field in dataclasses.fields(Numerics):
        other = 7 if field.type == "int" else "strict" if field.name == "mode" else "other"
        after = keys(graph, dataclasses.replace(Numerics(), **{field.name: other}))
        for name in before:
            assert not np.isin(after[name].values, before[name].values).any(), (field.name, name)


@pytest.mark.parametrize(
    ("node", "port", "wire"),
    [
        ("cond", "context", Wire("empty", "output")),
        ("uncond", "context", Wire("text", "output")),
        ("guided", "uncond", Wire("cond", "output")),
        ("guided", "cond", Wire("uncond", "output")),
        ("image", "latent", Wire("ancestral", "sample")),
        ("clip", "image", Wire("other", "output")),
    ],
)
def test_wires(checked, node, port, wire):
    graph, before = checked.graph, keys(checked.graph)
    wires = {**graph.nodes[node].wires, port: (main(graph, wire),)}
    rewired = with_node(graph, node, wires=wires)
    later = sorted(graph.order, key=lambda name: name in below(graph, node))  # after what it reads now
    assert changed(before, keys(dataclasses.replace(rewired, order=tuple(later)))) == below(graph, node)


def main(graph, wire):
    """A wire from a node's main output, whatever it is called."""
    return Wire(wire.node, next(iter(graph.nodes[wire.node].type.signature.outputs)))


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ({"low": 0.5}, True),
        ({"high": 1.0}, True),
        ({"value": 5.0}, True),
        ({"by": "step", "low": 1, "high": 3}, False),  # the same steps
        ({"low": 0.2}, False),  # the same steps: 1 of 4 is at 0.25
        ({"by": "t"}, True),  # planning doesn't know timesteps: it stays as it is written
    ],
)
def test_pieces_of_a_schedule(checked, written, changes):
    graph, before = checked.graph, keys(checked.graph)
    node = graph.nodes["late"]
    (held,) = node.params["scale"].values.flat
    mutated = Schedule((dataclasses.replace(held.pieces[0], **written),), held.otherwise)
    params = {**node.params, "scale": node.params["scale"].map(lambda _: mutated)}
    expected = below(graph, "late") if changes else set()
    assert changed(before, keys(with_node(graph, "late", params=params))) == expected


def test_what_is_pooled(checked):
    graph, before = checked.graph, keys(checked.graph)
    entry = dataclasses.replace(graph.nodes["fid"].entry, over=("seed",))
    fewer = with_node(graph, "fid", entry=entry, axes=("prompt", "guidance"))
    assert changed(before, keys(fewer)) == {"fid"}


def test_names_change_no_key(checked, tmp_path, zoo_folder):
    words = {"sampler": "walk", "guided": "mix", "cond": "yes", "image": "picture", "text": "words"}
    text = GRAPH
    for old, new in words.items():
        text = text.replace(f"  {old}:", f"  {new}:").replace(f"${old}", f"${new}")
    text = text.replace("[image, ", "[picture, ")
    before, after = keys(checked.graph), keys(Lab(tmp_path, zoo_folder).load(text).check().graph)
    assert {words.get(name, name): column.values.tolist() for name, column in before.items()} == {
        name: column.values.tolist() for name, column in after.items()
    }
