"""Values from Python: what stands for numbers, texts and lists is taken as these; all else is refused by its name."""

from __future__ import annotations

import itertools
from collections import deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
import xarray

from flowgen.errors import UserError
from flowgen.experiment import load
from flowgen.graph_builder import Graph
from flowgen.language import given
from flowgen.language.given import unwrapped

LISTED = [
    [0.5, 2.0],
    (0.5, 2.0),
    deque([0.5, 2.0]),
    np.array([0.5, 2.0]),
    np.array([0.5, 2.0], dtype=np.longdouble),
    np.array([0.5, 2.0], dtype=object),
    list(np.array([0.5, 2.0], dtype=np.float32)),
    torch.tensor([0.5, 2.0], requires_grad=True),
    [torch.tensor(0.5), torch.tensor(2.0, dtype=torch.bfloat16)],
    pandas.Series([0.5, 2.0], index=["b", "a"]),
    pandas.Index([0.5, 2.0]),
    xarray.DataArray([0.5, 2.0]),
    {0.5: "a", 2.0: "b"}.keys(),
    {"b": 0.5, "a": 2.0}.values(),
    {2.0, 0.5},
    frozenset({2.0, 0.5}),
    (number for number in (0.5, 2.0)),
    map(float, ("0.5", "2")),
]


@pytest.mark.parametrize("values", LISTED, ids=lambda values: type(values).__name__)
def test_what_lists_values_is_a_list(values):
    found = unwrapped(values, "sweep['v']")
    assert found == [0.5, 2.0]
    assert set(map(type, found)) == {float}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.longdouble(0.5), 0.5),
        (np.array(3), 3),
        (torch.tensor(3), 3),
        (torch.tensor(True), True),
        (range(3), [0, 1, 2]),
        ({"b", 2, "a", 1}, [1, 2, "a", "b"]),
        (Path("photos") / "a.png", "photos/a.png"),
        ({"draw": range(3), "n": np.int64(2)}, {"draw": [0, 1, 2], "n": 2}),
        ({"rows": {"one": {"v": torch.tensor(1)}}}, {"rows": {"one": {"v": 1}}}),
        (np.zeros((1, 2)), [[0.0, 0.0]]),
        (None, None),
    ],
)
def test_numbers_and_texts_of_libraries_are_plain(value, plain):
    found = unwrapped(value, "set['v']")
    assert (type(found), found) == (type(plain), plain)


GRAPH = """\
flowgen: 1
sweep: {v: [1, 2]}
nodes: {n: {type: noise, seed: $v}}
outputs: [n]
"""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, Decimal("1.5")], "['v'][1] can't be a Decimal\n  values are numbers, texts, true and false, and lists, "
                              "arrays and mappings of these; float(...) makes a number of a Decimal"),
        (Fraction(1, 2), "['v'] can't be a Fraction"),
        (pandas.Series([Decimal(1)]), "['v'][0] can't be a Decimal"),
        (pandas.to_datetime(pandas.Series(["2026-01-01"])), "['v'][0] can't be a Timestamp"),
        ([1j], "['v'][0] can't be a complex"),
        (b"1", "['v'] can't be a bytes"),
        (len, "['v'] can't be a builtin_function_or_method"),
        ({"rows": {"a": {"v": Decimal(1)}}}, "['v']['rows']['a']['v'] can't be a Decimal"),
        ({1, (2,)}, "['v'] is a set, whose values have no order\n  list them in one"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("word", ["set", "sweep", "where"])
def test_other_kinds_are_refused_when_the_graph_is_loaded(tmp_path, word, value, said):
    (tmp_path / "g.yaml").write_text(GRAPH)
    with pytest.raises(UserError) as caught:
        load(tmp_path / "g.yaml", **{word: {"v": value}})
    assert str(caught.value).startswith(word + said)


def test_a_graph_in_python_refuses_them_where_they_are_given():
    graph = Graph()
    for call in (
        lambda: graph.inputs(scale=Decimal(1)),
        lambda: graph.defaults(scale=Decimal(1)),
        lambda: graph.sweep(scale=[Decimal(1)]),
        lambda: graph.node("n", "noise", scale=Decimal(1)),
    ):
        with pytest.raises(UserError, match=r"\['scale'\].* can't be a Decimal"):
            call()
    graph.node("m", "noise", seed=(number for number in (1, 2)))
    assert graph.yaml() == graph.yaml()


def test_what_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(given, "MAX_POINTS", 1000)
    for values in (itertools.count(), range(2000), [0] * 2000):
        with pytest.raises(UserError, match=r"sweep\['v'\] has more than 1000 values"):
            unwrapped(values, "sweep['v']")
