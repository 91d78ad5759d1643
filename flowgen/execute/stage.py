"""One parcel of a stage, computed: what is read, the cheap nodes before it, then the node itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flowgen.execute.caller import Call, Caller, chunks
from flowgen.execute.files import Files
from flowgen.execute.held import Held
from flowgen.execute.reduction import reduce_items
from flowgen.execute.states import Publish, States
from flowgen.graph.model import Wire
from flowgen.language.expressions import Schedule
from flowgen.node.registry import element
from flowgen.plan.program import Parcel, Program, Step
from flowgen.values import PerItem, Record
from flowgen.values.model import Reference


class Reader(Protocol):
    """Where parents' results come from."""

    def read(self, keys: Sequence[str], output: str) -> list[tuple[list[int], Record]]:
        """Items in groups of equal signature."""

    def file_digest(self, path: Path) -> str:
        """A file's content, hashed."""


class StageRun:
    """The computation of some items of a parcel; all have parents of one shape."""

    def __init__(
        self,
        code: Program,
        parcel: Parcel,
        caller: Caller,
        device: str,
        values: dict[Wire, Held],
        states: States,
        files: Files,
    ) -> None:
        self.code = code
        self.states = states
        self.files = files
        self.parcel = parcel
        self.caller = caller
        self.device = device
        self.values = values

    def compute(self, items: list[int]) -> tuple[list[int], dict[str, Record]]:
        """These items and their outputs of the stage's node; where the run is stopped, of those that are done."""
        for name, step in self.code.steps.items():
            if step.body_of is None and name != self.code.stage:
                self.cheap(step, self.needed(name, items))
        step = self.code.steps[self.code.stage]
        if step.type.kind == "loop":
            from flowgen.execute.loop import LoopRun

            return LoopRun(self, step, self.values).run(items)
        done: list[int] = []
        pieces = []
        for rows in chunks(len(items), self.parcel.batch):
            if self.caller.stop.asked():
                break
            pieces.append(self.function(step, batch := [items[n] for n in rows]))
            done += batch
            self.caller.strides.went(len(batch))
        names = pieces[0] if pieces else ()
        return done, {name: type(pieces[0][name]).concat([p[name] for p in pieces]) for name in names}

    def needed(self, name: str, items: list[int]) -> list[int]:
        """The items for which a cheap node's value is read, by the ports that they leave unused."""
        found: set[int] = set()
        for step in self.code.steps.values():
            unused = self.parcel.unused.get(step.name)
            for port, wires in step.wires.items():
                for n, wire in enumerate(wires):
                    if wire.node == name:
                        found |= {item for item in items if unused is None or element(port, n, unused[item])}
        return sorted(found)

    def cheap(self, step: Step, items: list[int]) -> None:
        """Compute a node that is not stored, equal items once, and keep its values."""
        if not items:
            return
        keys = self.parcel.shared[step.name]
        first: dict[str, int] = {}
        for item in items:
            first.setdefault(keys[item], item)
        distinct = list(first.values())
        pieces = [self.function(step, [distinct[n] for n in rows]) for rows in chunks(len(distinct), self.parcel.batch)]
        place = {key: n for n, key in enumerate(first)}
        index = np.full(len(self.parcel), -1, dtype=np.int64)
        for item in items:
            index[item] = place[keys[item]]
        for output, value in pieces[0].items():
            record = type(value).concat([p[output] for p in pieces]).to(self.device)
            self.values[Wire(step.name, output)] = Held(record, len(index), index=index)

    def function(self, step: Step, items: list[int]) -> dict[str, Record]:
        """A function's outputs for some items, in calls of those that may be in one."""
        outputs: dict[str, list[Record]] = {}
        order: list[int] = []
        for (unused, *_), rows in self.alike(step, items).items():
            made = self.call(step, rows, unused, self.values)
            try:
                found, _ = self.caller.run(made)
            finally:  # a picture that breaks off may be one that is being changed
                self.files.end()
            order += rows
            for name, value in found.items():
                outputs.setdefault(name, []).append(value)
        joined = {name: type(values[0]).concat(values) for name, values in outputs.items()}
        if order == items:
            return joined
        place = {item: n for n, item in enumerate(order)}
        back = [place[item] for item in items]
        return {name: value.take(back) for name, value in joined.items()}

    def alike(self, step: Step, items: list[int]) -> dict[tuple[Any, ...], list[int]]:
        """Items grouped by the ports that they leave unread, then by what a call has one value of."""
        unused = self.parcel.unused.get(step.name)
        params, columns = step.type.signature.params, self.parcel.per_item[step.name]
        apart = [column for name, column in columns.items() if name not in params or not params[name].per_item]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for item in items:
            said = unused[item] if unused else frozenset(), *(repr(column[item]) for column in apart)
            groups.setdefault(said, []).append(item)
        return groups

    def call(self, step: Step, items: list[int], unused: frozenset[str], values: Mapping[Wire, Held]) -> Call:
        """A function's call for some items."""
        ports: dict[str, Any] = {}
        for name, port in step.type.signature.ports.items():
            if (models := self.shared(step, name, items)) is not None:
                ports[name] = models
                continue
            wires = step.wires.get(name, ())
            found = [values[wire].rows(items) for n, wire in enumerate(wires) if element(name, n, unused)]
            ports[name] = found if port.many else found[0] if found else None
        params = self.params(step, items)
        self.files.begin(params.values())
        return Call(step.type, {**ports, **params}, len(items))

    def params(self, step: Step, items: list[int]) -> dict[str, Any]:
        """A node's parameters for some items."""
        declared = step.type.signature.params
        made: dict[str, Any] = {}
        for name, param in declared.items():
            if param.per_item:
                column = self.parcel.per_item[step.name].get(name)
                made[name] = PerItem([column[item] for item in items] if column else [param.default] * len(items))
            else:
                made[name] = self.shared(step, name, items, param.default)
        return made

    def shared(self, step: Step, name: str, items: list[int], default: Any = None) -> Any:
        """What the items of a call have in common of a node's arguments."""
        column = self.parcel.per_item[step.name].get(name)
        return column[items[0]] if column else self.parcel.statics[step.name].get(name, default)

    def has_schedule(self, step: Step) -> bool:
        """Whether a parameter of a node depends on the step."""
        return any(isinstance(v, Schedule) for column in self.parcel.per_item[step.name].values() for v in column)


def compute(
    code: Program, parcel: Parcel, caller: Caller, reader: Reader, device: str, publish: Publish
) -> list[tuple[list[int], dict[str, Record]]]:
    """A parcel's results: groups of items (positions in the parcel) with their outputs by name.

    ``publish`` stores states of a loop on the way. Where the run is stopped, the results of items that are done.
    """
    step = code.steps[code.stage]
    files = Files(parcel.files, reader.file_digest)

    def as_planned(keys: list[str], outputs: dict[str, Record]) -> None:
        files.check()
        publish(keys, outputs)

    states = States(reader, as_planned, code.carries, device)
    found = []
    for items, values in read_inputs(code, parcel, reader, device):
        if caller.stop.asked():
            break
        run = StageRun(code, parcel, caller, device, values, states, files)
        if step.type.kind == "reduce":
            found += reduce_items(run, step, items, reader)
        else:
            found.append(run.compute(items))
        files.end()
    return [(items, {name: value.to("cpu") for name, value in outputs.items()}) for items, outputs in found]


def read_inputs(code: Program, parcel: Parcel, reader: Reader, device: str) -> list[tuple[list[int], dict[Wire, Held]]]:
    """What a parcel reads, in groups of items whose parents have one shape; usually there is one group."""
    count = len(parcel)
    groups: dict[tuple[int, ...], list[int]] = {}
    shape_of: list[list[int]] = [[] for _ in range(count)]
    read: dict[Wire, list[tuple[list[int], Record]]] = {}
    for wire in sorted(wires_read(code, parcel), key=str):
        items = [n for n, key in enumerate(parcel.inputs[wire.node]) if key is not None]
        keys = [key for key in parcel.inputs[wire.node] if key is not None]
        distinct = list(dict.fromkeys(keys))
        read[wire] = []
        place = {key: n for n, key in enumerate(distinct)}
        group_of: dict[int, tuple[int, int]] = {}
        for number, (positions, record) in enumerate(reader.read(distinct, wire.output) if distinct else []):
            read[wire].append((positions, record))
            group_of |= {position: (number, row) for row, position in enumerate(positions)}
        rows = np.full(count, -1, dtype=np.int64)
        for item, key in zip(items, keys, strict=True):
            number, rows[item] = group_of[place[key]]
            shape_of[item].append(number)
        read[wire] = [(rows.tolist(), record) for _, record in read[wire]]
        for item in set(range(count)) - set(items):
            shape_of[item].append(-1)
    for item, shape in enumerate(shape_of):
        groups.setdefault(tuple(shape), []).append(item)
    wires = sorted(wires_read(code, parcel), key=str)
    return [(items, pick(wires, shape, items, read, device)) for shape, items in merged(groups).items()]


def merged(groups: dict[tuple[int, ...], list[int]]) -> dict[tuple[int, ...], list[int]]:
    """Groups that differ only in parents that some items don't read, as one."""
    found: dict[tuple[int, ...], list[int]] = {}
    for shape, items in sorted(groups.items(), key=lambda g: g[0].count(-1)):
        for other in found:
            if all(a == b or a == -1 for a, b in zip(shape, other, strict=True)):
                found[other] = sorted([*found[other], *items])
                break
        else:
            found[shape] = items
    return found


def pick(
    wires: list[Wire],
    shape: tuple[int, ...],
    items: list[int],
    read: dict[Wire, list[tuple[list[int], Record]]],
    device: str,
) -> dict[Wire, Held]:
    """The values of one group of items."""
    values: dict[Wire, Held] = {}
    for wire, number in zip(wires, shape, strict=True):
        if number < 0:
            continue
        rows, record = read[wire][number]
        index = np.full(len(rows), -1, dtype=np.int64)
        index[items] = np.asarray(rows)[items]
        values[wire] = Held(record.to(device), len(index), index=index)
    return values


def wires_read(code: Program, parcel: Parcel) -> set[Wire]:
    """The stored outputs that a stage reads."""
    wires = {w for step in code.steps.values() for ws in step.wires.values() for w in ws}
    return {wire for wire in wires if wire.node in parcel.inputs}


__all__ = ["Reader", "Reference", "StageRun", "compute"]
