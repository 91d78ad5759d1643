"""JSON that every reader takes."""

import json
from pathlib import Path

import pytest

from flowgen.language.strict_json import json_text, strict


def refused(constant):
    """For a reader that knows JSON alone."""
    raise ValueError(constant)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([1, 0.5, True, None, "é"], [1, 0.5, True, None, "é"]),
        ({"a": (float("inf"), -float("inf"))}, {"a": ["inf", "-inf"]}),
        ({1: [{"b": float("nan")}]}, {"1": [{"b": "nan"}]}),
        (Path("a/b"), "a/b"),
    ],
)
def test_what_json_has_nothing_for_is_text(value, wanted):
    assert strict(value) == wanted
    assert json.loads(json_text(value), parse_constant=refused) == wanted
