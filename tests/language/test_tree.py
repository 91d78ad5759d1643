"""YAML to data with positions: typed as YAML 1.2 says, strict, and safe against hostile files."""

import pytest

from flowgen.errors import UserError
from flowgen.language.tree import read_tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("no", "no"),
        ("012", 12),
        ("1:30", "1:30"),
        ("'7'", "7"),
        ("~", None),
        ("-.inf", float("-inf")),
        (".5", 0.5),
        ("0x1F", 31),
        ("true", True),
        ("2001-99-99", "2001-99-99"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    data = read_tree(f"a: {text}", "g.yaml").data
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


def test_every_key_and_value_has_a_position():
    tree = read_tree("a:\n  - 1\n  - {b: $c}\n", "g.yaml")
    assert str(tree.at(("a", 1, "b"))) == "g.yaml:3:9"
    assert str(tree.at(("a", 1, "b"), key=True)) == "g.yaml:3:6"
    assert str(tree.at(("a", "missing"))) == "g.yaml:2:3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "g.yaml:2:1: duplicate key 'a'"),
        ("a: &x 1\nb: *x", "g.yaml:1:4: anchors and aliases"),
        ("<<: {a: 1}", "g.yaml:1:1: merge keys"),
        ("a: !!python/object:os.system 1", "g.yaml:1:4: the tag"),
        ("[" * 500, "nested deeper than 24 levels"),
        ("a: [1, 2", "not valid YAML"),
        ("a: 1\n---\nb: 2", "g.yaml:2:1: a graph file holds one YAML document"),
        ("a: b: c", "g.yaml:1:5: not valid YAML"),
        ("? [1]\n: 2", "a key must be a name"),
        ("a:\n\t- 1", "indent with spaces, not tabs"),
        ("\x00", "not valid YAML"),
    ],
)
def test_bad_text_is_an_error_with_a_place(text, message):
    with pytest.raises(UserError) as caught:
        read_tree(text, "g.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["9" * 301, "-" + "9" * 5000, "0x" + "f" * 300])
def test_a_huge_whole_number_is_an_error_at_its_place(text):
    with pytest.raises(UserError) as caught:
        read_tree(f"a: [1, {text}]", "g.yaml")
    assert str(caught.value) == "g.yaml:1:8: a whole number has at most 300 digits\n  in quotes it is a text"


def test_any_other_whole_number_has_a_float_beside_it():
    assert float(read_tree("a: -" + "9" * 300, "g.yaml").data["a"]) == -1e300
