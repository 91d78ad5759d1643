"""Keys: stable, tagged, and equal only for equal things."""

import pytest

from flowgen.language.expressions import parse
from flowgen.store import keys

HEAD = keys.node_head("guidance.cfg", 1, "fast")


def test_golden_keys():
    """These values guard users' caches: whoever changes them raises FORMAT."""
    assert HEAD == "aa062f5ce2b40f2a4a51d765aca823e6288acd14"
    assert (
        keys.item_key(HEAD, keys.canonical({"scale": 4.0}), [("cond", ["a" * 40])])
        == "a9ce77eacab6fbd38a3442684be4bf6f53b96d5a"
    )
    assert keys.emitted(1, "x") == "a741c611b73cfe29cba2246a1c1eb4bcf80d8d46"
    assert keys.pooled(["b", "a", "a"]) == "5e4bb33daf9deab46a0e09d41379ef4895a04ca1"
    assert keys.output_of("a" * 40, "mask") == "84ff945e3dc04e8e9983ee91e70b8c8be1a47033"
    assert keys.model_digest(["b", "a"]) == "ae4daab11b1051fcb0235fc5495f809f231ebc16"
    told = {"b": [1, 2.5, None, True, "é"], "a": {"x": -0.0}, "s": parse({"during": [0, 0.5], "value": 2, "else": 1})}
    assert keys.canonical(told) == (
        '{"mapping":{"a":{"mapping":{"x":{"number":"-0x0.0p+0"}}},"b":[1,{"number":"0x1.4000000000000p+1"},null,true,"é"]'
        ',"s":{"else":1,"schedule":[["during",0,{"number":"0x1.0000000000000p-1"},2]]}}}'
    )
    assert keys.content([("unet.safetensors", "0" * 64)]) == "31ea57fdacb677213e9ff1e4fae5759ae87f2d2a"


def test_lengths_are_hashed():
    assert keys.digest("t", "ab", "c") != keys.digest("t", "a", "bc")
    assert keys.digest("t", "a", "") != keys.digest("t", "a")
    assert keys.digest("s", "a") != keys.digest("t", "a")


def test_pooling_counts_but_has_no_order():
    assert keys.pooled(["a", "b"]) == keys.pooled(["b", "a"])
    assert keys.pooled(["a", "a", "b"]) != keys.pooled(["a", "b", "b"]) != keys.pooled(["a", "b"])


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ("1", 1), (0.1, 0.1 + 1e-17 * 8), ([1], [1, 1])])
def test_kinds_are_told_apart(one, other):
    assert (keys.canonical(one) == keys.canonical(other)) == (one == other and type(one) is type(other))


def test_a_mapping_is_no_schedule():
    schedule = parse({"during": [0, 0.5], "value": 2, "else": 1})
    assert keys.canonical(schedule) != keys.canonical({"schedule": [["during", 0, 0.5, 2]], "else": 1})
    assert keys.canonical({"a": 1, "b": 2}) == keys.canonical({"b": 2, "a": 1})


def test_what_has_no_canonical_form_is_refused():
    with pytest.raises(TypeError):
        keys.canonical(object())
