"""Numbers of dtypes that the store can't hold: refused where they would be stored, by the check if it sees them."""

from __future__ import annotations

import pytest
import torch
from small import Lab, computed
from toys import Count, CountState, Number, Result, Shown

from flowgen.errors import UserError
from flowgen.node import node
from flowgen.values import PerItem
from flowgen.values.random import is_abstract

ODD = {"complex": torch.complex64, "float8": torch.float8_e4m3fn, "unsigned": torch.uint16}


@node("dtypes.as")
def as_dtype(x: Number, kind: str) -> Number:
    """x in another dtype."""
    return Number(x.data.to(ODD[kind]))


@node("dtypes.real")
def real(x: Number) -> Number:
    """x as float64 again."""
    return Number(x.data.to(torch.float64))


@node("dtypes.late", stored=True)
def late(x: Number, kind: PerItem[str]) -> Number:
    """x in another dtype, of which the check hears nothing."""
    return Number(x.data if is_abstract() or not kind.values[0] else x.data.to(ODD[kind.values[0]]))


@node("dtypes.count")
class Complex(Count):
    """A loop whose state is complex."""

    def begin(self) -> CountState:
        return CountState(self.start.data.to(torch.complex128))

    def emit(self, state: CountState, i: PerItem[int]) -> Shown:
        return Shown(Number(state.x.real))

    def finish(self, state: CountState) -> Result:
        return Result(Number(state.x.real))


GRAPH = """\
flowgen: 1
nodes:
  n: {type: toy.number, value: 3}
  odd: {type: dtypes.as, x: $n, kind: KIND}
  back: {type: dtypes.real, x: $odd}
outputs: [back]
"""
STORED = "what can be stored is bool, uint8, int8, int16, int32, int64, float16, float32, float64, bfloat16"


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


@pytest.mark.parametrize("kind", ODD)
def test_what_cannot_be_stored_is_refused_when_it_is_checked(lab, kind):
    said = f"'odd' (dtypes.as): 'value.data' is of {str(ODD[kind])[6:]}, which can't be stored\n  {STORED}"
    for change in (("kind: KIND", "kind: KIND, store: always"), ("outputs: [back]", "outputs: [odd]")):
        with pytest.raises(UserError) as caught:
            lab.load(GRAPH, change, ("KIND", kind)).check()
        assert str(caught.value) == f"{lab.folder / 'g.yaml'}:4:3: {said}"


@pytest.mark.parametrize("kind", ODD)
def test_what_is_not_stored_may_be_of_any_dtype(lab, kind):
    assert float(lab.run(GRAPH, ("KIND", kind)).results.back[0]) == 3


def test_a_dtype_that_appears_in_the_run_fails_its_items(lab):
    text = """\
flowgen: 1
sweep: {kind: ["", complex, float8]}
nodes:
  n: {type: toy.number, value: 3}
  odd: {type: dtypes.late, x: $n, kind: $kind}
outputs: [odd]
"""
    run = lab.run(text, options={"batch": 1})
    assert computed(run) == {"odd": 1}
    assert [str(failure) for failure in run.failures] == [
        "odd[kind=complex]: 'value.data' is of complex64, which can't be stored",
        "odd[kind=float8]: 'value.data' is of float8_e4m3fn, which can't be stored",
    ]


LOOP = """\
flowgen: 1
nodes:
  n: {type: toy.number, value: 3}
  c: {type: dtypes.count, start: $n, change: $same, steps: 3}
  same: {type: dtypes.real, x: $c.x}
outputs: [c]
"""


def test_a_state_is_refused_where_it_would_be_stored(lab):
    marked = ("steps: 3", "steps: 3, checkpoint: {every: 1}")
    with pytest.raises(UserError, match=r"g\.yaml:4:3: 'state.x' is of complex128, which can't be stored"):
        lab.load(LOOP, marked).check()
    assert float(lab.run(LOOP).results.c[0]) == 24
