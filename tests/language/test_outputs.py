"""What ``outputs`` can say, and what is wrong with it in words."""

import pytest

from flowgen.errors import UserError
from flowgen.language.document import document_from_text
from flowgen.language.labels import readable, safe_name
from flowgen.language.patterns import read_pattern

GRAPH = """\
flowgen: 1
sweep: {seed: [1, 2], m: [a, b]}
nodes:
  a: {type: noise, seed: $seed}
  b: {type: noise, seed: $seed, m: $m}
outputs: OUTPUTS
"""


def outputs(text):
    return document_from_text(GRAPH.replace("OUTPUTS", text), "g.yaml")


def test_a_list_and_a_mapping_of_names_are_the_same():
    listed, mapped = outputs("[a, $b.extra]"), outputs("{a: $a, c: $b.extra}")
    assert [(o.name, str(o.ref), o.making) for o in listed.outputs] == [
        ("a", "$a", None),
        ("b.extra", "$b.extra", None),
    ]
    assert [(o.name, str(o.ref), o.making) for o in mapped.outputs] == [("a", "$a", None), ("c", "$b.extra", None)]


def test_entries_say_what_is_made():
    found = outputs('{p: {from: $a, save: "png/{m}/{seed:03}.png"}, s: {from: $a, grid: [m, seed]}, '
                    'w: {from: $a, save: w.gif, time: seed, fps: 4}, c: {x: $a, y: $b, along: seed}}')  # fmt: skip
    files, sheet, walk, extra = found.outputs
    assert files.making.save.axes == ("m", "seed") and files.making.save.kind == ".png"
    assert files.making.save.fill({"m": "a/b", "seed": 7}) == "png/a_b/007.png"
    assert sheet.making.grid == ("m", "seed") and (walk.making.time, walk.making.fps) == ("seed", 4.0)
    (curve,) = found.curves
    assert (curve.name, str(curve.x), str(curve.y), curve.along) == ("c", "$a", "$b", "seed")
    assert (extra.name, str(extra.ref)) == ("b", "$b")  # the curve needs it and nobody named it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{p: {from: $a, sav: x.png}}", "6:25: unknown key 'sav'\n  did you mean 'save'?"),
        ("{p: {x: $a, z: $b}}", "6:22: unknown key 'z'\n  known: along, x, y"),
        ("{p: {save: x.png}}", "6:11: the output 'p' doesn't say from which node"),
        ("{p: {x: $a}}", "6:11: the curve 'p' has no 'y'"),
        ("{p: 3}", "6:11: the output 'p' should be a reference or a mapping, not a whole number"),
        ("{p: a}", "6:14: 'a' is not the name of a node\n  write $a"),
        ("{p q: $a}", "6:11: 'p q' is not a name"),
        ("[3]", "6:11: 'outputs.0' should be a text, not a whole number"),
        ("[{p: $a}]", "6:11: 'outputs.0' should be a text, not a mapping\n  outputs that say more are a mapping"),
        ("3", "6:10: 'outputs' should be a list or a mapping, not a whole number"),
        ("{p: {from: $z}}", "6:11: '$z' refers to nothing\n  known: a, b"),
        ("{a: $aa, c: {x: $a, y: $b}}", "6:11: '$aa' refers to nothing"),
        ("{c: {x: $a, y: $z}}", "6:25: '$z' refers to nothing\n  known: a, b"),
        ("[seed]", "6:11: '$seed' is set by the axis 'seed', and outputs are nodes\n  every result has the labels"),
        ("{c: {x: $seed, y: $b}}", "6:18: '$seed' is set by the axis 'seed', and outputs are nodes"),
        ("{p: {from: $a, grid: [m, seed], save: x.png}}", "6:31: 'grid' and 'save' are two outputs"),
        ("{p: {from: $a, grid: [m, m]}}", "6:31: 'grid' has 'm' along rows and columns"),
        ("{p: {from: $a, grid: m}}", "6:31: 'grid' takes two axes, rows and columns"),
        ("{p: {from: $a, save: x.gif, fps: 3}}", "6:43: 'fps' belongs to an animation"),
        ("{p: {from: $a, save: x.gif, time: m, fps: 0}}", "6:52: 'fps' is a number of frames per second"),
        ("{a: $b, c: {x: $a, y: $b}}", "6:25: 'a' names another output\n  name '$a' under outputs too"),
        ("{p: {from: $a, save: /x.png}}", "6:31: '/x.png' leaves the run's folder"),
        ("{p: {from: $a, save: C:/x.png}}", "leaves the run's folder"),
        ("{p: {from: $a, save: ~/x.png}}", "leaves the run's folder"),
        ("{p: {from: $a, save: 'a/../../{seed}.png'}}", "leaves the run's folder"),
        ("{p: {from: $a, save: 'a//{seed}.png'}}", "'' in 'a//label.png' is no name of a file or folder"),
        ("{p: {from: $a, save: '.hid/{seed}.png'}}", "'.hid' in '.hid/label.png' is no name"),
        ("{p: {from: $a, save: 'a\\b{seed}.png'}}", "holds a character that file names can't"),
        ("{p: {from: $a, save: 'Images/{seed}.png'}}", "'Images/label.png' is in 'Images'\n  a run's folder has that"),
        ("{p: {from: $a, save: '${seed}.png'}}", "places for labels have no dollar here"),
        ("{p: {from: $a, save: '{}.png'}}", "'{}' is no place for a label"),
        ("{p: {from: $a, save: '{seed.x}.png'}}", "'{seed.x}' is no place for a label"),
        ("{p: {from: $a, save: '{seed.png'}}", "a brace without its other half"),
        ("{p: {from: $a, save: [x]}}", "'save' is the name of a file"),
    ],
)
def test_mistakes_have_places(text, message):
    with pytest.raises(UserError) as caught:
        outputs(text)
    assert message in str(caught.value) and caught.value.at.line == 6


def test_labels_in_names_are_safe_and_tell_points_apart():
    pattern = read_pattern("{{x}}_{a}_{b:.2f}.txt")
    assert pattern.fill({"a": "../c: é", "b": 1}) == "{x}__c_ é_1.00.txt"
    assert read_pattern("{a}.txt").fill({"a": 0.1 + 0.2}) == "0.3.txt"
    one, other = safe_name("a" * 500 + "1"), safe_name("a" * 500 + "2")
    assert one != other and len(one.encode()) == len(other.encode()) == 120
    assert safe_name("日" * 200).encode().decode() and safe_name(" .. ") == "_"
    with pytest.raises(UserError, match="the format 'd' doesn't suit 'x' of the axis 'a'"):
        read_pattern("{a:d}.txt").fill({"a": "x"})


def test_long_labels_keep_both_ends():
    assert readable("a red three on the left of a blue seven", 21) == "a red thre…blue seven"
    assert [len(readable("x" * 50, n)) for n in (1, 2, 3, 10, 49, 50)] == [1, 2, 3, 10, 49, 50]
    assert readable(1 / 3) == "0.333333" and readable(True) == "true" and readable("a\nb") == "a b"
    assert [readable(x) for x in (1.0000001, 1.0000002, 0.1 + 0.2, 1e-7, 123456789.0, 4.0)] == [
        "1.0000001", "1.0000002", "0.3", "1e-07", "123456789", "4",
    ]  # fmt: skip
