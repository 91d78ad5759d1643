"""Samples of an axis, points chosen from outside, axes and values given from outside, types of inputs."""

import hashlib

import pytest

from flowgen.cli.options import read_settings, read_sweep, read_where
from flowgen.errors import UserError
from flowgen.language.axes import Axis, Points, read_axis
from flowgen.language.document import load_document
from flowgen.language.draw import restricted, unique
from flowgen.language.labels import all_readable

GRAPH = """\
flowgen: 1
inputs: {scale: 2.0, who: {type: text, default: cat}}
sweep:
  seed: {range: 10}
  guidance: [1, 4.0, 7.5]
  colour: [red, "blue, dark", a|b, green]
  interval: {rows: {full: {lo: 0, hi: 1}, late: {lo: 0.5, hi: 1}}}
nodes:
  a: {type: noise, seed: $seed, x: $lo, y: $hi, z: $steps}
  b: {type: mix, text: "${colour} ${who}", scale: $scale, guidance: $guidance}
outputs: [b]
"""


@pytest.fixture
def graph(tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text(GRAPH.replace(", z: $steps", ""))
    return file


def axis(spec):
    return read_axis("n", spec, None, None)


def labels(document):
    return {name: found.labels for name, found in document.axes.items()}


def test_a_sample_is_what_the_documented_hashes_say():
    def value(n):
        return hashlib.sha256(f"7:{n}".encode()).digest()[:8]

    expected = sorted(range(100), key=value)[:5]
    assert list(axis({"draw": {"range": 100}, "n": 5, "seed": 7}).labels) == expected
    drawn = [int.from_bytes(value(n), "big") % 100 for n in range(5)]
    assert [p["n"] for p in axis({"draw": {"range": 100}, "n": 5, "seed": 7, "replace": True}).points] == drawn


def test_a_sample_never_changes():
    assert axis({"draw": {"range": 1000}, "n": 5}).labels == (392, 942, 404, 87, 923)


@pytest.mark.parametrize("replace", [True, False])
def test_a_small_sample_begins_a_large_one(replace):
    small, large = (axis({"draw": {"range": 50}, "n": n, "seed": 3, "replace": replace}) for n in (20, 40))
    assert small.labels == large.labels[:20]
    assert small.points == large.points[:20]


def test_a_point_knows_how_often_it_was_drawn_before():
    found = axis({"draw": ["red", "blue"], "n": 6, "replace": True})
    counted = [int(label.partition("#")[2] or 1) - 1 for label in found.labels]
    assert [*found.repeats] == counted == [*found.take([0, 1, 2, 3, 4, 5]).repeats]
    assert axis({"draw": ["red", "blue"], "n": 2}).repeats == ()


def test_without_replacement_nothing_is_drawn_twice():
    assert sorted(axis({"draw": {"range": 50}, "n": 50}).labels) == list(range(50))


def test_drawn_twice_has_two_labels():
    found = axis({"draw": ["a", "b"], "n": 9, "replace": True})
    assert len(set(found.labels)) == 9
    assert {p["n"] for p in found.points} == {"a", "b"}
    assert unique(["a", "a", "a #2", 1, 1]) == ("a", "a #2", "a #2 #2", 1, "1 #2")


def test_rows_can_be_drawn(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,a\n2,b\n3,c\n")
    found = read_axis("n", {"draw": {"csv": "a.csv", "labels": "y"}, "n": 2}, tmp_path, None)
    assert [p["y"] for p in found.points] == list(found.labels)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"draw": {"range": 9}}, "the axis 'n': 'draw' needs 'n', how many points"),
        (
            {"draw": {"range": 9}, "n": 10},
            "the axis 'n': 10 of 9 points can't be drawn\n  replace: true draws a point more than once",
        ),
        ({"draw": {"range": 9}, "n": True}, "the axis 'n': 'n' is a whole number of at least 1, not True"),
        ({"draw": {"range": 9}, "n": 1, "seed": "x"}, "the axis 'n': 'seed' is a whole number, not 'x'"),
        ({"draw": {"range": 9}, "n": 1, "replace": 1}, "the axis 'n': 'replace' is true or false, not 1"),
        ({"draw": {"rnage": 9}, "n": 1}, "the axis 'n' can't be made from 'rnage'\n  did you mean 'range'?"),
        (
            {"draw": {"range": 9}, "n": 10**9, "replace": True},
            "the axis 'n' would have more than 10000000 points",
        ),
    ],
)
def test_wrong_samples(spec, message):
    with pytest.raises(UserError) as caught:
        axis(spec)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["guidance=4"], {"guidance": (4.0,)}),
        (["guidance=4,seed=0..2"], {"guidance": (4.0,), "seed": (0, 1, 2)}),
        (["seed=7|1", "seed=8..20"], {"seed": (1, 7, 8, 9)}),
        (["colour=blue, dark,seed=3"], {"colour": ("blue, dark",), "seed": (3,)}),
        (["colour=a|b"], {"colour": ("a|b",)}),
        (["colour=red|green"], {"colour": ("red", "green")}),
        (["interval=late"], {"interval": ("late",)}),
    ],
)
def test_where_keeps_points(graph, texts, kept):
    whole = load_document(graph)
    found = load_document(graph, where=read_where(tuple(texts)))
    assert labels(found) == labels(whole) | kept
    for name in kept:
        full = dict(zip(whole.axes[name].labels, whole.axes[name].points, strict=True))
        assert list(found.axes[name].points) == [full[label] for label in kept[name]]


def test_where_from_python(graph):
    found = load_document(graph, where={"seed": [0, 3], "guidance": 7.5, "interval": "full"})
    assert labels(found) == {
        "seed": (0, 3),
        "guidance": (7.5,),
        "colour": ("red", "blue, dark", "a|b", "green"),
        "interval": ("full",),
    }
    assert labels(load_document(graph, where={"seed": range(2)}))["seed"] == (0, 1)


def test_where_takes_numbers_as_results_show_them():
    thirds = tuple(n / 3 for n in range(4))
    axes = {"t": Axis("t", thirds, Points({"t": thirds}))}
    assert restricted(axes, {"t": "0.333333"})["t"].labels == (1 / 3,)
    texts = ("07", "8", "x")
    axes = {"t": Axis("t", texts, Points({"t": texts}))}
    assert restricted(axes, {"t": "7..9"})["t"].labels == ("07", "8")


def test_near_numbers_are_found_by_the_digits_that_tell_them_apart(graph):
    near = (0.123456781111111, 0.123456791111111)
    axes = {"t": Axis("t", near, Points({"t": near}))}
    assert all_readable(near) == ["0.12345678", "0.12345679"]
    assert [restricted(axes, {"t": text})["t"].labels for text in all_readable(near)] == [(near[0],), (near[1],)]
    assert all_readable([1 / 3, 2 / 3, 0.25]) == ["0.333333", "0.666667", "0.25"]


def test_known_points_keep_their_order():
    points = (1, 2, 10)
    with pytest.raises(UserError, match="known: 1, 2, 10"):
        restricted({"n": Axis("n", points, Points({"n": points}))}, {"n": "777777"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("guidence=4", "--where: there is no axis 'guidence'\n  did you mean 'guidance'?"),
        ("guidance=5", "--where: the axis 'guidance' has no point '5'\n  known: 1, 4.0, 7.5"),
        ("colour=gren", "--where: the axis 'colour' has no point 'gren'\n  did you mean 'green'?"),
        ("colour=red|gren", "--where: the axis 'colour' has no point 'gren'\n  did you mean 'green'?"),
        ("seed=10..12", "--where: the axis 'seed' has no point '10..12'\n  it has 10: 0, 1, 2, 3, 4, 5, 6, 7, ..."),
        ("seed", "--where takes NAME=POINTS, not 'seed'"),
        ("=3", "--where takes NAME=POINTS, not '=3'"),
    ],
)
def test_wrong_where(graph, text, message):
    with pytest.raises(UserError) as caught:
        load_document(graph, where=read_where((text,)))
    assert str(caught.value) == message


def test_no_point_left(graph):
    with pytest.raises(UserError, match="--where: no point of the axis 'seed' is left"):
        load_document(graph, where={"seed": []})


def test_an_axis_from_outside_replaces_or_is_added(graph):
    graph.write_text(GRAPH)
    given = read_sweep(("steps=10,20", "seed={range: [5, 7]}", "scale=[1]", 'who="a, b", c'))
    found = labels(load_document(graph, sweep=given))
    assert list(found) == ["seed", "guidance", "colour", "interval", "steps", "scale", "who"]
    assert {name: found[name] for name in given} == {
        "steps": (10, 20),
        "seed": (5, 6),
        "scale": (1,),
        "who": ("a, b", "c"),
    }
    assert labels(load_document(graph, sweep={"steps": (1, 2)}))["steps"] == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede=1,2", "--sweep: nothing in the graph uses 'sede'\n  did you mean 'seed'?"),
        ("seed={rnage: 3}", "--sweep: the axis 'seed' can't be made from 'rnage'\n  did you mean 'range'?"),
        ("seed=", "--sweep: the axis 'seed' has no values"),
        ("seed=1,1", "--sweep: the axis 'seed' holds 1 twice"),
        ("a=1,2", "g.yaml:9:3: 'a' names an input and a node\n  rename one of them"),
        ("a b=1,2", "--sweep: 'a b' is not a name\n  the letters a to z and A to Z, digits and _, no digit first"),
        ("seed", "--sweep takes NAME=VALUES, not 'seed'"),
        ("lo=1,2", "the axes 'interval' and 'lo' both set 'lo'"),
        ("who=1,2", "the input 'who' is a text, the axis 'who' sets it to 1"),
    ],
)
def test_wrong_axes_from_outside(graph, text, message):
    with pytest.raises(UserError) as caught:
        load_document(graph, sweep=read_sweep((text,)))
    assert str(caught.value).replace(str(graph), "g.yaml") == message


@pytest.mark.parametrize(
    ("read", "given", "message"),
    [
        (
            read_settings,
            ("seed=1", "scale=2", "seed=1"),
            "--set gives 'seed' twice\n  several values are an axis: --sweep",
        ),
        (
            read_sweep,
            ("seed=1", " seed=2"),
            "--sweep gives 'seed' twice\n  write all its values in one: --sweep seed=1,2",
        ),
    ],
)
def test_a_name_is_set_and_swept_once(read, given, message):
    with pytest.raises(UserError, match=f"^{message}"):
        read(given)


def test_set_and_swept(graph):
    with pytest.raises(UserError, match="'seed' is both set and swept"):
        load_document(graph, {"seed": 1}, sweep={"seed": [1]})


TYPED = """\
flowgen: 1
inputs:
  x: INPUT
nodes:
  a: {type: noise, seed: $x}
outputs: [a]
"""


def typed(tmp_path, spec, overrides=None):
    file = tmp_path / "g.yaml"
    file.write_text(TYPED.replace("INPUT", spec))
    return load_document(file, overrides)


@pytest.mark.parametrize(
    ("spec", "given", "value"),
    [
        ("{type: number, default: 1}", None, 1),
        ("{type: number, default: 1}", "x=2.5", 2.5),
        ("{type: integer}", "x=3", 3),
        ("{type: text, default: a, description: what for}", "x=b", "b"),
        ("{type: text}", 'x="7"', "7"),
        ("{type: text, default: a}", "x=", ""),
        ("{type: boolean, default: false}", "x=true", True),
        ("4", "x=any", "any"),
        ("{a: 1}", None, {"a": 1}),
    ],
)
def test_typed_inputs(tmp_path, spec, given, value):
    assert typed(tmp_path, spec, read_settings((given,)) if given else None).inputs == {"x": value}


@pytest.mark.parametrize(
    ("spec", "given", "message"),
    [
        ("{type: number, default: a}", "", "3:30: the input 'x' is a number, its default is 'a'"),
        ("{type: integer, default: 1.0}", "", "3:31: the input 'x' is a whole number, its default is 1.0"),
        ("{type: integer, default: true}", "", "3:31: the input 'x' is a whole number, its default is true"),
        ("{type: boolean, default: 1}", "", "3:31: the input 'x' is true or false, its default is 1"),
        ("{type: text, default: }", "", "3:27: the input 'x' is a text, its default is nothing"),
        (
            "{type: float, default: 1}",
            "",
            "3:13: the input 'x' can't be of type 'float'\n  the types are number, integer, text, boolean, axes; "
            "an input that a node feeds names its value: Latent, Model, ...",
        ),
        (
            "{default: 1}",
            "",
            "3:6: the input 'x' has no type\n  the types are number, integer, text, boolean, axes; "
            "an input that a node feeds names its value: Latent, Model, ...",
        ),
        (
            "{type: text, defualt: a}",
            "",
            "3:19: an input takes no 'defualt'\n  write {type: ..., default: ...}",
        ),
        ("{type: text}", "", "3:6: the input 'x' (text) has no value\n  --set x=VALUE, or give it a default"),
        ("{type: number, default: 1}", "x=a", "3:6: the input 'x' is a number, not 'a'"),
        (
            "{type: Model}",
            "x=zoo:digits",
            "3:6: the input 'x' (Model) is fed by a node\n"
            "  its nodes can run as a part of another graph: {type: ./FILE.yaml, x: $NODE}",
        ),
        ("{type: boolean, default: true}", "x=no", "3:6: the input 'x' is true or false, not 'no'"),
        (
            "{type: text, default: a}",
            "x=7",
            "3:6: the input 'x' is a text, not 7\n  quote it twice: --set 'x=\"7\"'",
        ),
    ],
)
def test_wrong_values_of_inputs(tmp_path, spec, given, message):
    with pytest.raises(UserError) as caught:
        typed(tmp_path, spec, read_settings((given,)) if given else None)
    assert str(caught.value).replace(f"{tmp_path}/g.yaml:", "") == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "interval",
            "full",
            "the axis 'interval' sets several inputs and can't be set to 'full'\n"
            "  --where interval=LABEL chooses one of its points",
        ),
        (
            "lo",
            0.5,
            "the axis 'interval' sets 'lo', so it can't be set alone\n"
            "  --where interval=LABEL chooses one of its points",
        ),
    ],
)
@pytest.mark.parametrize("drawn", [False, True])
def test_an_input_of_a_row_is_not_set_alone(graph, name, value, message, drawn):
    if drawn:
        rows = "{rows: {full: {lo: 0, hi: 1}, late: {lo: 0.5, hi: 1}}}"
        graph.write_text(graph.read_text().replace(rows, f"{{draw: {rows}, n: 1}}"))
    graph.write_text(graph.read_text().replace("inputs: {", "inputs: {lo: 0, "))
    with pytest.raises(UserError) as caught:
        load_document(graph, {name: value})
    assert str(caught.value) == message


def test_an_axis_gives_values_of_the_input_s_type(tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text(TYPED.replace("INPUT", "{type: integer}").replace("nodes:", "sweep: {x: [1, b]}\nnodes:"))
    with pytest.raises(UserError) as caught:
        load_document(file)
    assert str(caught.value) == f"{file}:4:9: the input 'x' is a whole number, the axis 'x' sets it to 'b'"
