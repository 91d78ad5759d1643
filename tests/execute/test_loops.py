"""Loops of toy nodes, against the closed forms of what they compute: places, schedules, carries, phases, nesting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pytest
from small import Lab
from torch import Tensor

from flowgen.errors import UserError
from flowgen.node import Carry, Feedback, Loop, Phase, node
from flowgen.values import PerItem, Record
from flowgen.values.value import Value


@dataclass(frozen=True)
class Number(Value):
    """One number."""

    data: Tensor


@dataclass(frozen=True)
class CountState(Record):
    """Where each item is."""

    x: Tensor


class Shown(NamedTuple):
    x: Number


class Result(NamedTuple):
    total: Number


@node("toy.number", stored=False)
def number(value: PerItem[float]) -> Number:
    """A number."""
    return Number(value.tensor[:, None].double())


@node("toy.count")
class Count(Loop):
    """x becomes x + change."""

    start: Number
    change: Feedback[Number]
    steps: PerItem[int] = 3

    def length(self) -> list[int]:
        return self.steps.values

    def begin(self) -> CountState:
        return CountState(self.start.data)

    def emit(self, state: CountState, i: PerItem[int]) -> Shown:
        return Shown(Number(state.x))

    def advance(self, state: CountState, i: PerItem[int], change: Number) -> CountState:
        return CountState(state.x + change.data)

    def finish(self, state: CountState) -> Result:
        return Result(Number(state.x))


@node("toy.scale")
def scaled(x: Number, by: PerItem[float] = 1.0) -> Number:
    """x times by."""
    return x * by


@node("toy.momentum")
def momentum(x: Number, by: PerItem[float], kept: Carry[Tensor]) -> tuple[Number, Tensor]:
    """A running sum that forgets half of itself each step."""
    now = kept.or_zeros(x.data) / 2 + x.data
    return Number(now) * by, now


@node("toy.two_phases")
class TwoPhases(Loop):
    """x becomes (x + first) * second, where second is made from x + first."""

    start: Number
    first: Feedback[Number]
    second: Feedback[Number] | None
    steps: PerItem[int] = 3
    phases: ClassVar[tuple[Phase, ...]] = (Phase("", ("x",), ("first",)), Phase("second", ("y",), ("second",)))

    def length(self) -> list[int]:
        return self.steps.values

    def begin(self) -> CountState:
        return CountState(self.start.data)

    def emit(self, state: CountState, i: PerItem[int]) -> Number:
        return Number(state.x)

    def advance(self, state: CountState, i: PerItem[int], first: Number) -> CountState:
        return CountState(state.x + first.data)

    def emit_second(self, state: CountState, i: PerItem[int]) -> Number:
        return Number(state.x)

    def advance_second(self, state: CountState, i: PerItem[int], second: Number | None = None) -> CountState:
        return state if second is None else CountState(state.x * second.data)

    def finish(self, state: CountState) -> Result:
        return Result(Number(state.x))


@node("toy.grows")
class Grows(Count):
    """A loop that breaks its contract."""

    def advance(self, state: CountState, i: PerItem[int], change: Number) -> CountState:
        return CountState(state.x.repeat(1, 2))


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


HEAD = "flowgen: 1\nsweep: {by: [0.5, 2], steps: [1, 3, 6], start: [1, 2, 3]}\nnodes:\n"


def totals(lab, body, batch=4, output="sum"):
    """The output at every point, by its coordinates."""
    results = lab.run(HEAD + body + f"\noutputs: [{output}]\n", options={"batch": batch}).results[output].load()
    stacked = results.stack(point=[d for d in results.dims if d in ("by", "steps", "start")])
    return {point: float(value) for point, value in zip(stacked.point.values, stacked.values.ravel(), strict=True)}


BODY = """\
  one: {type: toy.number, value: $start}
  sum: {type: toy.count, start: $one, change: $more, steps: $steps}
"""


def test_waiting_items_take_the_places_of_finished_ones(lab):
    found = totals(lab, BODY + "  more: {type: toy.scale, x: $sum.x, by: $by}", batch=4)
    assert found == {(by, n, s): s * (1 + by) ** n for by in (0.5, 2) for n in (1, 3, 6) for s in (1, 2, 3)}


def test_a_parameter_changes_with_the_step(lab):
    body = BODY + "  more: {type: toy.scale, x: $sum.x, by: {during: [0, 0.5], value: $by, else: 0}}"
    found = totals(lab, body, batch=5)
    for (by, steps, start), value in found.items():
        early = sum(i / steps < 0.5 for i in range(steps))
        assert value == start * (1 + by) ** early


def test_carries_go_with_their_items(lab):
    found = totals(lab, BODY + "  more: {type: toy.momentum, x: $sum.x, by: $by}", batch=4)
    for (by, steps, start), value in found.items():
        x, kept = start, 0.0
        for _ in range(steps):
            kept = kept / 2 + x
            x += kept * by
        assert value == x


TWO = """\
  one: {type: toy.number, value: $start}
  sum: {type: toy.two_phases, start: $one, first: $a, SECOND steps: $steps}
  a: {type: toy.scale, x: $sum.x, by: $by}
"""


def test_phases_are_evaluated_one_after_the_other(lab):
    body = TWO.replace("SECOND", "second: $b,") + "  b: {type: toy.scale, x: $sum.y, by: 0.25}"
    for (by, steps, start), value in totals(lab, body).items():
        x = start
        for _ in range(steps):
            x = x + by * x
            x = x * (0.25 * x)
        assert value == x


def test_an_optional_feedback_port_may_be_left_open(lab):
    for (by, steps, start), value in totals(lab, TWO.replace("SECOND", "")).items():
        assert value == start * (1 + by) ** steps


def test_a_loop_inside_a_loop(lab):
    body = BODY + (
        "  more: {type: toy.count, start: $sum.x, change: $inner, steps: 2}\n"
        "  inner: {type: toy.scale, x: $more.x, by: $by}\n"
    )
    for (by, steps, start), value in totals(lab, body).items():
        x = start
        for _ in range(steps):
            x += x * (1 + by) ** 2
        assert value == x


def test_a_state_that_changes_its_shape_is_found_before_running(lab):
    text = HEAD + BODY.replace("toy.count", "toy.grows") + "  more: {type: toy.scale, x: $sum.x}\noutputs: [sum]\n"
    with pytest.raises(UserError, match=r"g\.yaml:5:3: the state of 'toy\.grows' changes from step to step"):
        lab.load(text).check()


def test_keys_of_a_body_hold_no_names(lab):
    body = BODY + "  more: {type: toy.scale, x: $sum.x, by: $by}"
    totals(lab, body)
    renamed = body.replace("more", "change_of_x").replace("one", "first")
    assert lab.plan(HEAD + renamed + "\noutputs: [sum]\n").compute == 0
    assert lab.plan(HEAD + body.replace("by: $by", "by: 3") + "\noutputs: [sum]\n").compute == 9
