"""Axes of numbers between two ends: each number is the float that its exact value would be written as."""

from fractions import Fraction

import pytest

from flowgen.errors import UserError
from flowgen.language.document import document_from_text


def axis(spec):
    """The labels of one axis."""
    text = f"flowgen: 1\nsweep: {{a: {spec}}}\nnodes: {{n: {{type: toy.number, value: $a}}}}\noutputs: [n]\n"
    return list(document_from_text(text).axes["a"].labels)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{linspace: [0.1, 0.9, 9]}", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("{linspace: [0.9, 0.3, 3]}", [0.9, 0.6, 0.3]),
        ("{linspace: [-0.3, 0.3, 3]}", [-0.3, 0, 0.3]),
        ("{linspace: [0, 8, 3]}", [0, 4, 8]),
        ("{linspace: [-1.7e+308, 1.7e+308, 3]}", [-1.7e308, 0, 1.7e308]),
        ("{logspace: [0.001, 10, 5]}", [0.001, 0.01, 0.1, 1, 10]),
        ("{logspace: [4, 0.25, 5]}", [4, 2, 1, 0.5, 0.25]),
        ("{logspace: [1.0e-300, 1.0e+300, 4]}", [1e-300, 1e-100, 1e100, 1e300]),
        ("{logspace: [0.07, 0.9, 2]}", [0.07, 0.9]),
    ],
)
def test_numbers_are_those_that_would_be_written(spec, expected):
    found = axis(spec)
    assert found == expected
    assert all(type(number) is float for number in found)


def test_thirds_are_the_nearest_floats():
    assert axis("{linspace: [0.1, 0.2, 4]}") == [float(Fraction(3 + n, 30)) for n in range(4)]


@pytest.mark.parametrize("ends", ["0, .inf", "true, 3", ".nan, 1", "a, 2"])
@pytest.mark.parametrize("kind", ["linspace", "logspace"])
def test_ends_are_numbers(kind, ends):
    with pytest.raises(UserError, match=rf"{kind} takes \[first, last, how many\]"):
        axis(f"{{{kind}: [{ends}, 3]}}")
