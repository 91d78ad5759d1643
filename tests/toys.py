"""Toy nodes whose results have closed forms: numbers, loops that count, carries, phases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from flowgen.node import Carry, Feedback, Loop, Phase, node
from flowgen.values import PerItem, Record
from flowgen.values.random import draw, is_abstract, start
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


@dataclass(frozen=True)
class WalkState(Record):
    """Where each item is, where it was, and its random stream: a multistep, stochastic loop."""

    x: Tensor
    before: Tensor
    stream: Tensor


@node("toy.walk")
class Walk(Loop):
    """x becomes 0.5 x + 0.25 x_before + change + a normal number of the item's own."""

    seed: PerItem[int]
    change: Feedback[Number]
    steps: PerItem[int] = 3

    def length(self) -> list[int]:
        return self.steps.values

    def begin(self) -> WalkState:
        first, stream = draw(start(self.seed.values), (1,), torch.float64)
        return WalkState(first, torch.zeros_like(first), stream)

    def emit(self, state: WalkState, i: PerItem[int]) -> Shown:
        return Shown(Number(state.x))

    def advance(self, state: WalkState, i: PerItem[int], change: Number) -> WalkState:
        noise, stream = draw(state.stream, (1,), torch.float64)
        return WalkState(0.5 * state.x + 0.25 * state.before + change.data + noise.to(state.x), state.x, stream)

    def finish(self, state: WalkState) -> Result:
        return Result(Number(state.x))


calls: list[int] = []
"""items of each call of toy.counted"""
fail_after: list[int] = []
"""a number here makes toy.counted raise once that many items have been seen"""


@node("toy.counted")
def counted(x: Number, by: PerItem[float] = 0.1) -> Number:
    """x times by; every call is noted."""
    if is_abstract():
        return x * by
    calls.append(len(x.data))
    if fail_after and sum(calls) > fail_after[0]:
        raise RuntimeError("out of luck")
    return x * by
