"""Graph files to Documents: references, axes, and each mistake with its line."""

import pytest

from flowgen.errors import UserError
from flowgen.language.document import document_from_text
from flowgen.language.expressions import Ref, Template, at_step, evaluate, parse
from flowgen.node.signature import check_bounds

GOOD = """
flowgen: 1
inputs: {scale: 2.0, who: {type: text, default: cat}}
sweep: {seed: {range: 3}, colour: [red, blue]}
nodes:
  a: {type: noise, seed: $seed}
  b: {type: encoder.text, text: "a ${colour} ${who}, $$5"}
  c: {type: mix, x: $a.sample, scale: {during: [0, 0.5], value: $scale, else: 1}}
outputs: [c]
"""


def test_a_document_is_read():
    found = document_from_text(GOOD)
    assert {name: len(axis) for name, axis in found.axes.items()} == {"seed": 3, "colour": 2}
    assert found.inputs == {"scale": 2.0, "who": "cat"}
    assert found.nodes["a"].arguments["seed"] == Ref("seed")
    assert found.nodes["c"].arguments["x"] == Ref("a", "sample")
    text = found.nodes["b"].arguments["text"]
    assert isinstance(text, Template)
    assert evaluate(text, {"colour": "red", "who": "cat"}) == "a red cat, $5"


def test_a_schedule_ends_before_its_upper_bound():
    value = evaluate(parse({"during": [0.2, 0.5], "value": "$g", "else": 1}), {"g": 7})
    assert [at_step(value, i, 10) for i in range(10)] == [1, 1, 7, 7, 7, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("off", [-1e-16, 1e-16])
def test_a_fraction_that_was_rounded_is_the_step_that_it_was_computed_for(off):
    value = parse({"during": [0.3 + off, 0.6 + off], "value": 7, "else": 1})
    assert [at_step(value, i, 10) for i in range(10)] == [1, 1, 1, 7, 7, 7, 1, 1, 1, 1]
    check_bounds("scale", parse({"during": [0.1 + off - 0.1, 0.1 + 0.2 + 0.7 + off], "value": 5, "else": 1}))


def test_pieces_of_a_schedule_are_tried_in_order():
    value = parse([{"step": [0, 2], "value": 5}, {"sigma": [0.5, 9], "value": 6, "else": 0}])
    assert [at_step(value, i, 4, sigma=s) for i, s in enumerate([1, 1, 1, 0.1])] == [5, 5, 6, 0]


def test_a_bound_may_be_larger_than_any_float():
    check_bounds("scale", parse({"step": [2, 10**400], "value": 5, "else": 1}))
    with pytest.raises(UserError, match="'during' of 'scale' takes fractions"):
        check_bounds("scale", parse({"during": [0, 10**400], "value": 5, "else": 1}))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flowgen: 1", "flowgen: 2", "g.yaml:2:10: this version of flowgen reads language version 1"),
        ("sweep:", "sweeps:", "g.yaml:4:1: unknown key 'sweeps'\n  did you mean 'sweep'?"),
        ("outputs: [c]", "output: [c]", "g.yaml:9:1: unknown key 'output'\n  did you mean 'outputs'?"),
        ("$a.sample", "$aa.sample", "g.yaml:8:21: '$aa.sample' refers to nothing"),
        ("${who}", "${whom}", "did you mean 'who'?"),
        ("${who}", "${a}", "'${a}' is a node, not an input"),
        ("$seed", "$ seed", "a lone '$'"),
        ("{range: 3}", "{rnage: 3}", "g.yaml:4:9: the axis 'seed' can't be made from 'rnage'\n  did you mean 'range'?"),
        ("{range: 3}", "[]", "the axis 'seed' has no values"),
        ("{range: 3}", "[1, 1]", "holds 1 twice"),
        ("{range: 3}", '[12, x, "12"]', "holds '12' twice"),
        ("{range: 3}", '["true", 1.5, true]', "holds True twice"),
        ("{range: 3}", "{cases: {}}", "the axis 'seed': cases takes {label: piece of a node, ...}"),
        ("else: 1}", "}", "needs 'else'"),
        ("[0, 0.5]", "0.5", "'during' takes two bounds"),
        ("outputs: [c]", "outputs: [d]", "g.yaml:9:11: '$d' refers to nothing"),
        ("  a: {type: noise", "  a: {typ: noise", "g.yaml:6:3: the node 'a' has no type"),
        ("  b: {", "  scale: {", "g.yaml:7:3: 'scale' names an input and a node"),
        ("inputs: {scale: 2.0,", "inputs: {seed: 2.0, scale: 1,", ""),
        ("nodes:", "nodes: 3\nx:", "'nodes' should be a mapping, not a whole number"),
    ],
)
def test_mistakes_have_places(old, new, message):
    text = GOOD.replace(old, new)
    if not message:
        assert document_from_text(text, "g.yaml").setters["seed"] == "seed"
        return
    with pytest.raises(UserError) as caught:
        document_from_text(text, "g.yaml")
    assert message in str(caught.value)
