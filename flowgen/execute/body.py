"""A loop's body: prepared once for the items on their way, then evaluated step by step.

Preparing walks backwards from the feedback to see which items need which node, drops ports that are left unread, and
sorts calls into waves. While the same items are on their way and no parameter changes with the step, only the values
that the loop shows are new in a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from flowgen.execute.held import Held
from flowgen.execute.waves import Group, Prepared, Wave
from flowgen.graph.model import Wire
from flowgen.language.expressions import Schedule, at_step
from flowgen.node.registry import element
from flowgen.plan.program import Step
from flowgen.values import PerItem, Record

if TYPE_CHECKING:
    from flowgen.execute.loop import LoopRun


class Body:
    """The nodes between one phase's per-step outputs and its feedback, for the items on their way."""

    def __init__(self, loop: LoopRun, todo: Sequence[str], wanted: list[Wire], values: Mapping[Wire, Held]) -> None:
        self.loop = loop
        self.stage = loop.stage
        self.steps = loop.stage.code.steps
        self.todo = todo
        """nodes that no earlier phase of the step has evaluated"""
        self.params = {name: self.params_now(self.steps[name], values) for name in todo}
        self.unused = {name: self.unread(self.steps[name], self.params[name]) for name in todo}
        self.need = self.needs(wanted)
        self.alike = self.classes() if loop.twins else {}
        """by node and item, the item whose value it shares in this step"""
        self.waves = self.sort()
        self.left = [name for name in todo if not self.need[name]]
        """nodes that a later phase may need"""

    def holds(self, values: Mapping[Wire, Held]) -> bool:
        """Whether what was prepared is good for this step: whether its parameters have the same values."""
        changing = [name for name in self.loop.scheduled if name in self.params]
        return all(self.params_now(self.steps[name], values) == self.params[name] for name in changing)

    def evaluate(self, values: dict[Wire, Held]) -> None:
        """Run the waves and put the values in place."""
        from flowgen.execute.loop import LoopRun

        for wave in self.waves:
            for step, items in wave.loops:
                self.keep(step, items, LoopRun(self.stage, step, values).run(items)[1], values)
            self.run_groups(wave.grouped(values), values)

    def params_now(self, step: Step, values: Mapping[Wire, Held]) -> dict[int, dict[str, Any]]:
        """Each item's per-item parameters at its own step."""
        columns = self.stage.parcel.per_item[step.name]
        found: dict[int, dict[str, Any]] = {}
        for row, item in enumerate(self.loop.active):
            found[item] = {name: self.now(column[item], row, values) for name, column in columns.items()}
        return found

    def now(self, value: Any, row: int, values: Mapping[Wire, Held]) -> Any:
        """A parameter at a row's step."""
        if not isinstance(value, Schedule):
            return value
        timed = any(piece.by in ("t", "sigma") for piece in value.pieces)
        timestep, sigma = self.time(row, values) if timed else (0.0, 0.0)
        return at_step(value, self.loop.at[row], self.loop.stretches[self.loop.active[row]].whole, timestep, sigma)

    def time(self, row: int, values: Mapping[Wire, Held]) -> tuple[float, float]:
        """Timestep and noise level of a row, from what the loop shows."""
        for wire, held in values.items():
            if wire.node == self.loop.step.name and (time := getattr(held.record, "time", None)) is not None:
                return float(time.timestep[row]), float(time.sigma[row])
        return 0.0, 0.0

    def unread(self, step: Step, params: dict[int, dict[str, Any]]) -> dict[int, frozenset[str]]:
        """The ports that each item leaves unread at its step."""
        if step.type.unused is None and not step.type.passes:
            return {}
        statics = self.stage.parcel.statics[step.name]
        return {item: step.type.unread({**statics, **values}, step.wires) for item, values in params.items()}

    def needs(self, wanted: list[Wire]) -> dict[str, list[int]]:
        """The items for which each node must be evaluated."""
        need: dict[str, set[int]] = {name: set() for name in self.todo}
        for wire in wanted:
            if wire.node in need:
                need[wire.node] |= set(self.loop.active)
        for name in reversed(self.todo):
            for port, wires in self.steps[name].wires.items():
                for n, wire in enumerate(wires):
                    if wire.node in need:
                        unused = self.unused[name]
                        need[wire.node] |= {item for item in need[name] if element(port, n, unused.get(item, ()))}
        return {name: [item for item in self.loop.active if item in items] for name, items in need.items()}

    def classes(self) -> dict[str, dict[int, int]]:
        """Items whose states are equal in this step share the values of every node that they feed alike."""
        alike: dict[str, dict[int, int]] = {}
        for name in self.todo:
            step = self.steps[name]
            first: dict[tuple[Any, ...], int] = {}
            alike[name] = {}
            for item in self.need[name]:
                unused = self.unused[name].get(item, frozenset())
                said: tuple[Any, ...] = (repr(self.params[name][item]), unused)
                if step.type.kind == "loop" or step.type.signature.carries:
                    said = (item,)
                for port, wires in sorted(step.wires.items()):
                    if not self.known(step, port):
                        read = [wire for n, wire in enumerate(wires) if element(port, n, unused)]
                        said += tuple(self.source(wire, item, alike) for wire in read)
                alike[name][item] = first.setdefault(said, item)
        return alike

    def source(self, wire: Wire, item: int, alike: Mapping[str, Mapping[int, int]]) -> Any:
        """What tells the values of two items on a wire apart."""
        if wire.node in alike:
            return alike[wire.node][item]
        if wire in self.loop.outer:
            return int(self.loop.outer[wire].index[item])
        return self.loop.twins.get(item, item)

    def sort(self) -> list[Wave]:
        """The needed nodes in waves, each after what it reads; those with models wait until no other node can run, so
        that more of them meet in one.
        """
        left = [name for name in self.todo if self.need[name]]
        waves = []
        while left:
            free = [name for name in left if not self.blocked(name, left)]
            ready = [name for name in free if not self.steps[name].type.uses_model] or free
            loops = [(self.steps[n], self.need[n]) for n in ready if self.steps[n].type.kind == "loop"]
            calls = [made for n in ready if self.steps[n].type.kind != "loop" for made in self.prepare(n)]
            waves.append(Wave(loops, calls))
            left = [name for name in left if name not in ready]
        return waves

    def blocked(self, name: str, left: list[str]) -> bool:
        """Whether a node waits for another."""
        return any(wire.node in left for wires in self.steps[name].wires.values() for wire in wires)

    def prepare(self, name: str) -> list[Prepared]:
        """A node's calls: one for each set of ports left unread."""
        step = self.steps[name]
        groups: dict[frozenset[str], list[int]] = {}
        for item in dict.fromkeys(self.alike.get(name, {}).values()) if self.alike else self.need[name]:
            groups.setdefault(self.unused[name].get(item, frozenset()), []).append(item)
        found = []
        for unused, items in groups.items():
            read = {
                port: tuple(wire for n, wire in enumerate(wires) if element(port, n, unused))
                for port, wires in step.wires.items()
                if not self.known(step, port)
            }
            fresh = {port: wires for port, wires in read.items() if any(w not in self.loop.outer for w in wires)}
            made = self.stage.call(step, items, unused | set(fresh), self.loop.outer)
            for param in self.params[name][items[0]]:
                made.arguments[param] = PerItem([self.params[name][item][param] for item in items])
            found.append(Prepared(step, items, made, fresh))
        return found

    def known(self, step: Step, port: str) -> bool:
        """Whether a port takes a model, which the stage fills in."""
        return port in self.stage.parcel.statics[step.name]

    def carry(self, prepared: Prepared, argument: str) -> Tensor | None:
        """What a node kept from the last step, for some items."""
        kept = self.loop.carried.get((prepared.step.name, argument))
        return None if kept is None else kept[[self.loop.active.index(item) for item in prepared.items]]

    def run_groups(self, groups: Iterable[Group], values: dict[Wire, Held]) -> None:
        """Run the calls of a wave, those of a group as one batch, and keep what they return."""
        parts: dict[str, list[tuple[list[int], dict[str, Record]]]] = {}
        for group in groups:
            made = group.filled(values)
            for argument in made.type.signature.carries:
                made.carried[argument] = self.carry(group.calls[0], argument)
            outputs, carried = self.stage.caller.run(made, self.loop.slots * group.nodes)
            for prepared, own in zip(group.calls, group.parted(outputs), strict=True):
                parts.setdefault(prepared.step.name, []).append((prepared.items, own))
            for argument, value in carried.items():
                self.keep_carry(group.calls[0], argument, value)
        for name, pieces in parts.items():
            items, joined = pieces[0]
            if len(pieces) > 1:
                items = [item for rows, _ in pieces for item in rows]
                joined = {k: type(v).concat([p[k] for _, p in pieces]) for k, v in joined.items()}
            self.keep(self.steps[name], items, joined, values)

    def keep(self, step: Step, items: list[int], outputs: Mapping[str, Record], values: dict[Wire, Held]) -> None:
        """Put a node's values in place for the nodes that read them."""
        for output, value in outputs.items():
            held = Held(value, self.loop.count, items)
            for item, first in self.alike.get(step.name, {}).items():
                held.index[item] = held.index[first]
            values[Wire(step.name, output)] = held

    def keep_carry(self, prepared: Prepared, argument: str, value: Tensor) -> None:
        """Keep a node's state for the next step; items that were not evaluated keep theirs."""
        place = (prepared.step.name, argument)
        kept = self.loop.carried.get(place)
        if kept is None:
            kept = value.new_zeros(len(self.loop.active), *value.shape[1:])
        rows = torch.tensor([self.loop.active.index(item) for item in prepared.items], device=value.device)
        self.loop.carried[place] = kept.index_copy(0, rows, value)
