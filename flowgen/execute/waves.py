"""What runs in one step of a loop's body: calls prepared once, those of one model and shape as one batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flowgen.execute.caller import Call, fit, together
from flowgen.execute.held import Held
from flowgen.graph.model import Wire
from flowgen.plan.program import Step
from flowgen.values import Record


@dataclass(slots=True)
class Prepared:
    """A node's call for the items that leave the same ports unread."""

    step: Step
    items: list[int]
    call: Call
    """complete but for the ports in ``fresh``"""
    fresh: dict[str, tuple[Wire, ...]]
    """ports whose values are made in this step"""

    def port(self, name: str, values: Mapping[Wire, Held]) -> Any:
        """What a port takes in this step."""
        wires = self.fresh.get(name)
        if wires is None:
            return self.call.arguments.get(name)
        if self.step.type.signature.ports[name].many:
            return [values[wire].rows(self.items) for wire in wires]
        return values[wires[0]].rows(self.items)

    def joins(self, other: Prepared, values: Mapping[Wire, Held]) -> bool:
        """Whether it can run with another as one batch: whether they have one model and equal shapes."""
        type = self.step.type
        if other.step.type is not type or not type.uses_model or type.signature.carries:
            return False
        names = {*self.call.arguments, *self.fresh}
        return all(fit(self.port(name, values), other.port(name, values)) for name in names)


class Group:
    """Calls that run as one batch: what stays the same from step to step is put together once."""

    def __init__(self, calls: list[Prepared]) -> None:
        self.calls = calls
        self.nodes = len({prepared.step.name for prepared in calls})
        self.sizes = [prepared.call.count for prepared in calls]
        made = [prepared.call for prepared in calls]
        self.fresh = sorted({name for prepared in calls for name in prepared.fresh})
        names = [name for name in made[0].arguments if name not in self.fresh]
        constant = {name: together([call.arguments[name] for call in made]) for name in names}
        self.constant = Call(made[0].type, constant, sum(self.sizes))
        self.joined: dict[int, list[Record]] = {}
        """by identity of a value of this step's batch, the values of the calls that it was put together of"""

    def filled(self, values: Mapping[Wire, Held]) -> Call:
        """The batch with this step's values."""
        arguments = dict(self.constant.arguments)
        self.joined = {}
        for name in self.fresh:
            pieces = [prepared.port(name, values) for prepared in self.calls]
            arguments[name] = together(pieces)
            self.joined[id(arguments[name])] = pieces
        return Call(self.constant.type, arguments, self.constant.count)

    def parted(self, outputs: dict[str, Record]) -> list[dict[str, Record]]:
        """Each call's part of what the batch gave; an argument that is part of it is the call's own again."""
        if len(self.calls) == 1:
            return [outputs]
        parts: list[dict[str, Record]] = [{} for _ in self.calls]
        for name, value in outputs.items():
            for part, own in zip(parts, value.split(self.sizes, self.joined), strict=True):
                part[name] = own
        return parts


@dataclass(slots=True)
class Wave:
    """Nodes that wait for no other of the body's: inner loops, and calls of which some may run as one."""

    loops: list[tuple[Step, list[int]]]
    calls: list[Prepared]
    groups: list[Group] | None = None
    """found with the first step's values; shapes stay as they are"""

    def grouped(self, values: Mapping[Wire, Held]) -> Iterable[Group]:
        """Calls of one model with equal static arguments and shapes together; each other call alone."""
        if self.groups is None:
            alike: list[list[Prepared]] = []
            for prepared in self.calls:
                for calls in alike:
                    if prepared.joins(calls[0], values):
                        calls.append(prepared)
                        break
                else:
                    alike.append([prepared])
            self.groups = [Group(calls) for calls in alike]
        return self.groups
