"""A graph that starts from another one: what is merged, where each part stands, which folder paths mean."""

import pytest

from flowgen.errors import UserError
from flowgen.experiment import load
from flowgen.language.document import document_from_text, load_document
from flowgen.language.expressions import Ref

BASE = """\
flowgen: 1
description: the base
inputs: {scale: 2.0, file: ./own}
sweep:
  item: {lines: items.txt}
  seed: [1, 2]
defaults: {model: $m}
nodes:
  m: {type: model, from: ./weights}
  a: {type: noise, seed: $seed, width: 8, store: always}
  b: {type: encoder.text, text: $item}
outputs: [a, b]
"""

OVER = """\
flowgen: 1
extends: ./base/base.yaml
inputs: {scale: 3.0}
sweep: {seed: null, guidance: [1, 4]}
nodes:
  a: {seed: 7, store: null, height: $scale}
  b: null
  c: {type: mix, x: $a, amount: $guidance}
outputs: [c]
"""


@pytest.fixture
def over(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.yaml").write_text(BASE)
    (tmp_path / "base" / "items.txt").write_text("x\ny\n")
    (tmp_path / "over.yaml").write_text(OVER)
    return tmp_path / "over.yaml"


def test_names_and_keys_are_merged(over):
    found = load_document(over)
    assert found.description == "the base"
    assert found.inputs == {"scale": 3.0, "file": "./own"}
    assert {name: axis.labels for name, axis in found.axes.items()} == {"item": ("x", "y"), "guidance": (1, 4)}
    assert list(found.nodes) == ["m", "a", "c"]
    assert found.nodes["a"].arguments == {"seed": 7, "width": 8, "height": Ref("scale")}
    assert found.nodes["a"].store is None
    assert [output.name for output in found.outputs] == ["c"]
    assert found.defaults == {"model": Ref("m")}
    assert found.folder == over.parent


def test_every_part_stands_in_its_own_file(over):
    places = load_document(over).nodes["a"].places
    base = over.parent / "base" / "base.yaml"
    assert str(places["seed"]) == f"{over}:6:13"
    assert str(places["width"]) == f"{base}:10:40"
    assert str(places["type"]) == f"{base}:10:13"
    assert "store" not in places


def test_the_record_holds_what_was_extended(over):
    source = load_document(over).source
    assert source.startswith(OVER.rstrip())
    assert "# ---- extends " in source
    assert "#   a: {type: noise, seed: $seed, width: 8, store: always}" in source


def test_paths_are_relative_to_the_file_that_names_them(over):
    base = over.parent / "base"
    over.write_text(
        OVER.replace("  b: null", "  m: {lora: ./l}\n  b: {text: $file, font: $near}").replace(
            "scale: 3.0", "scale: 3.0, near: ./n"
        )
    )
    found = load_document(over)
    assert found.folder_of(found.nodes["m"], "from") == base
    assert found.folder_of(found.nodes["m"], "lora") == over.parent
    assert found.folder_of(found.nodes["b"], "text") == base  # the argument is new, the path is the base's
    assert found.folder_of(found.nodes["b"], "font") == over.parent
    found = load_document(over, {"file": "./mine"})
    assert found.folder_of(found.nodes["b"], "text") == over.parent
    found = load_document(over, sweep={"file": ["./mine"]})
    assert found.folder_of(found.nodes["b"], "text") == over.parent


def test_a_path_of_a_swept_input_is_the_axis_file_s(over):
    over.write_text(OVER.replace("  b: null", "  b: {text: null, font: $item}"))
    found = load_document(over)
    assert found.folder_of(found.nodes["b"], "font") == over.parent / "base"


def test_a_default_s_path_is_its_file_s(over):
    over.write_text(OVER.replace("inputs:", "defaults: {tokens: ./t}\ninputs:"))
    found = load_document(over)
    assert found.folder_of(found.nodes["a"], "tokens") == over.parent


def test_a_source_is_sought_beside_the_base(over):
    over.write_text("flowgen: 1\nextends: base/base.yaml\n")
    with pytest.raises(UserError) as caught:
        load(over).check()
    base = over.parent / "base"
    assert str(caught.value) == (
        f"{base}/base.yaml:9:26: there is no file or folder './weights'\n  looked at {base}/weights"
    )


def test_three_files(over):
    (over.parent / "top.yaml").write_text("flowgen: 1\nextends: over.yaml\nsweep: {guidance: [9]}\noutputs: [c, a]\n")
    found = load_document(over.parent / "top.yaml")
    assert found.axes["guidance"].labels == (9,)
    assert found.axes["item"].labels == ("x", "y")
    assert list(found.folders.values()) == [over.parent, over.parent, over.parent / "base"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("b: null", "bb: null", "over.yaml:7:3: there is no node 'bb' to remove\n  did you mean 'b'?"),
        ("seed: null", "sed: null", "over.yaml:4:9: there is no axis 'sed' to remove\n  did you mean 'seed'?"),
        ("store: null", "stoer: null", "over.yaml:6:16: 'a' has no 'stoer' to remove\n  did you mean 'store'?"),
        (
            "seed: 7",
            "seed: $sed",
            "over.yaml:6:13: '$sed' refers to nothing\n  known: a, c, file, guidance, item, m, scale",
        ),
        (
            "seed: 7, ",
            "",
            "base/base.yaml:10:26: '$seed' refers to nothing\n  known: a, c, file, guidance, item, m, scale",
        ),
        ("outputs: [c]", "", "base/base.yaml:12:14: '$b' refers to nothing\n  known: a, c, m"),
        (
            "./base/base.yaml",
            "./base/bas.yaml",
            "over.yaml:2:10: can't read DIR/base/bas.yaml: No such file or directory",
        ),
        (
            "./base/base.yaml",
            "[a]",
            "over.yaml:2:10: 'extends' takes the name of one graph file\n  extends: ./base.yaml",
        ),
        ("./base/base.yaml", '"std:x"', "over.yaml:2:10: 'std:x' is not available yet\n  extends: ./base.yaml"),
        ("./base/base.yaml", "over.yaml", "over.yaml:2:10: 'extends' goes in a circle: over.yaml → over.yaml"),
        ("nodes:", "nodes: 3\nx:", "over.yaml:5:8: 'nodes' should be a mapping, not a whole number"),
        ("nodes:", "node:", "over.yaml:5:1: unknown key 'node'\n  did you mean 'nodes'?"),
        ("flowgen: 1\n", "", "over.yaml:1:1: 'flowgen' is missing\n  write 'flowgen: 1'"),
        (
            "flowgen: 1\n",
            "flowgen: 2\n",
            "over.yaml:1:10: this version of flowgen reads language version 1\n  write 'flowgen: 1'",
        ),
    ],
)
def test_wrong(over, old, new, message):
    assert old in OVER
    over.write_text(OVER.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        load_document(over)
    said = str(caught.value).replace(f"{over.parent}/over.yaml:", "over.yaml:")
    assert said.replace(f"{over.parent}/base/base.yaml:", "base/base.yaml:").replace(str(over.parent), "DIR") == message


def test_mistakes_in_the_base_stand_there(over):
    base = over.parent / "base" / "base.yaml"
    base.write_text(BASE.replace("nodes:", "nodes: 3\nx:"))
    with pytest.raises(UserError) as caught:
        load_document(over)
    assert str(caught.value) == f"{base}:8:8: 'nodes' should be a mapping, not a whole number"
    base.write_text("[1, 2]")
    with pytest.raises(UserError) as caught:
        load_document(over)
    assert str(caught.value) == f"{base}:1:1: a graph file is a mapping\n  start with 'flowgen: 1' and 'nodes:'"
    base.write_text("flowgen: 1\nflowgen: 1\n")
    with pytest.raises(UserError) as caught:
        load_document(over)
    assert str(caught.value) == f"{base}:2:1: duplicate key 'flowgen'\n  it stands first at line 1"


def test_circles_and_long_ways(tmp_path):
    for n in range(12):
        (tmp_path / f"{n}.yaml").write_text(f"flowgen: 1\nextends: {n + 1}.yaml\n")
    with pytest.raises(UserError) as caught:
        load_document(tmp_path / "0.yaml")
    assert str(caught.value) == f"{tmp_path}/7.yaml:2:10: 'extends' goes through more than 8 files"
    (tmp_path / "2.yaml").write_text("flowgen: 1\nextends: ../" + tmp_path.name + "/1.yaml\n")
    with pytest.raises(UserError) as caught:
        load_document(tmp_path / "0.yaml")
    assert str(caught.value) == f"{tmp_path}/2.yaml:2:10: 'extends' goes in a circle: 1.yaml → 2.yaml → 1.yaml"


def test_a_text_extends_from_its_folder(over):
    found = document_from_text("flowgen: 1\nextends: base/base.yaml\nsweep: {seed: [5]}\n", "<text>", over.parent)
    assert found.axes["seed"].labels == (5,)
    assert found.axes["item"].labels == ("x", "y")
