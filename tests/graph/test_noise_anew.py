"""What noise is drawn anew for: the axes and inputs under ``per``, in graphs, their parts and other points."""

from flowgen.graph.build import salt


def test_equal_numbers_are_drawn_for_alike():
    assert salt({"a": 1.0, "b": "1.0"}) == salt({"a": 1, "b": "1.0"}) == '{"a":1,"b":"1.0"}'
    assert salt({"a": 0.5}) == '{"a":0.5}'
    assert salt({"a": True}) == '{"a":true}'
    assert salt({"a": 1e300}) == salt({"a": int(1e300)})
    assert salt({}) == ""
