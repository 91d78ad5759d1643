"""The loop runner: items of one batch at different steps, places that waiting items take, one call for siblings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from flowgen.execute.caller import Call, fits, merge
from flowgen.execute.held import Held, hold
from flowgen.graph.model import Wire
from flowgen.language.expressions import Schedule, at_step
from flowgen.node import Loop, Phase
from flowgen.node.call import instance, named
from flowgen.plan.program import Step
from flowgen.values import PerItem, Record

if TYPE_CHECKING:
    from flowgen.execute.stage import StageRun


class LoopRun:
    """A loop over some items of a parcel. ``slots`` items are on their way at once."""

    def __init__(self, stage: StageRun, step: Step, values: Mapping[Wire, Held]) -> None:
        self.stage = stage
        self.step = step
        self.outer = values
        """values from outside the loop; those of an outer loop's step too"""
        self.slots = stage.parcel.batch
        self.count = len(stage.parcel)
        self.active: list[int] = []
        """items on their way, in the order of the state's rows"""
        self.at: list[int] = []
        """the step that each is at"""
        self.lengths: list[int] = []
        self.carried: dict[tuple[str, str], Tensor] = {}
        self.scheduled = any(stage.has_schedule(stage.code.steps[name]) for name in step.body)

    def run(self, items: list[int]) -> dict[str, Record]:
        """The loop's results for these items, in their order."""
        waiting = list(items)
        results: list[tuple[list[int], dict[str, Record]]] = []
        state: Record | None = None
        while waiting or self.active:
            if waiting and len(self.active) < self.slots:
                room = self.slots - len(self.active)
                state = self.admit(waiting[:room], state)
                waiting = waiting[room:]
            assert state is not None
            state = self.advance(state)
            self.at = [i + 1 for i in self.at]
            state = self.release(state, results)
        outputs = {k: type(v).concat([found[k] for _, found in results]) for k, v in results[0][1].items()}
        order = [item for done, _ in results for item in done]
        place = {item: n for n, item in enumerate(order)}
        return {k: v.take([place[item] for item in items]) for k, v in outputs.items()}

    def loop(self, items: list[int]) -> Loop:
        """The node with its arguments set for some items."""
        feedback = frozenset(n for n, port in self.step.type.signature.ports.items() if port.feedback)
        made = self.stage.call(self.step, items, feedback, self.outer)
        found: Loop = instance(self.step.type, {**made.ports, **made.params})
        return found

    def admit(self, items: list[int], state: Record | None) -> Record:
        """Begin some items and give them the free places."""
        loop = self.loop(items)
        begun: Record = loop.begin()
        self.active += items
        self.at += [0] * len(items)
        self.lengths += loop.length()
        self.carried = {k: torch.cat([v, v.new_zeros(len(items), *v.shape[1:])]) for k, v in self.carried.items()}
        self.now = self.loop(self.active)
        return begun if state is None or not len(state) else type(state).concat([state, begun])

    def advance(self, state: Record) -> Record:
        """One step of every active item."""
        i = PerItem(self.at)
        values: dict[Wire, Held] = dict(self.outer)
        todo = list(self.step.body)
        for phase in self.step.type.signature.phases:
            suffix = f"_{phase.name}" if phase.name else ""
            emitted = getattr(self.now, f"emit{suffix}")(state, i)
            for output, value in named(emitted, dict.fromkeys(phase.emits)).items():
                values[Wire(self.step.name, output)] = hold(value, self.active, self.count)
            wanted = {port: self.step.wires[port][0] for port in phase.takes if port in self.step.wires}
            Body(self, todo, values).evaluate(list(wanted.values()))
            feedback = {port: values[wire].rows(self.active) for port, wire in wanted.items()}
            state = getattr(self.now, f"advance{suffix}")(state, i, **feedback)
        return state

    def release(self, state: Record, results: list[tuple[list[int], dict[str, Record]]]) -> Record:
        """Finish the items that are at their end; their places are free."""
        done = [n for n, (i, length) in enumerate(zip(self.at, self.lengths, strict=True)) if i >= length]
        if not done:
            return state
        items = [self.active[n] for n in done]
        outputs = self.loop(items).finish(state.take(done))
        results.append((items, named(outputs, self.step.type.signature.outputs)))
        kept = [n for n in range(len(self.active)) if n not in set(done)]
        for held in (self.active, self.at, self.lengths):
            held[:] = [held[n] for n in kept]
        self.carried = {k: v[kept] for k, v in self.carried.items()}
        if kept:
            self.now = self.loop(self.active)
        return state.take(kept)


class Body:
    """One evaluation of a loop's body: backwards for what is needed, forwards in waves of calls that may be merged."""

    def __init__(self, loop: LoopRun, todo: list[str], values: dict[Wire, Held]) -> None:
        self.loop = loop
        self.stage = loop.stage
        self.steps = loop.stage.code.steps
        self.todo = todo
        """nodes not evaluated in this step yet; shared between the phases"""
        self.values = values

    def evaluate(self, wanted: list[Wire]) -> None:
        """Evaluate what the wanted wires need, and put the values in place."""
        params = {name: self.params(self.steps[name]) for name in self.todo}
        unused = {name: self.unread(self.steps[name], params[name]) for name in self.todo}
        need = self.needs(wanted, unused)
        left = [name for name in self.todo if need[name]]
        while left:
            ready = [name for name in left if not self.blocked(name, left)]
            calls = [made for name in ready for made in self.calls(name, need[name], unused[name], params[name])]
            self.run_merged(calls)
            left = [name for name in left if name not in ready]
        self.todo[:] = [name for name in self.todo if not need[name]]

    def blocked(self, name: str, left: list[str]) -> bool:
        """Whether a node waits for another."""
        return any(wire.node in left for wires in self.steps[name].wires.values() for wire in wires)

    def params(self, step: Step) -> dict[int, dict[str, Any]]:
        """Each active item's per-item parameters at its own step."""
        columns = self.stage.parcel.per_item[step.name]
        found: dict[int, dict[str, Any]] = {}
        for row, item in enumerate(self.loop.active):
            values = {name: column[item] for name, column in columns.items()}
            if self.loop.scheduled:
                values = {name: self.now(value, row) for name, value in values.items()}
            found[item] = values
        return found

    def now(self, value: Any, row: int) -> Any:
        """A parameter at a row's step."""
        if not isinstance(value, Schedule):
            return value
        timestep, sigma = self.time(row) if any(p.by in ("t", "sigma") for p in value.pieces) else (0.0, 0.0)
        return at_step(value, self.loop.at[row], self.loop.lengths[row], timestep, sigma)

    def time(self, row: int) -> tuple[float, float]:
        """Timestep and noise level of a row, from what the loop shows."""
        for wire, held in self.values.items():
            if wire.node == self.loop.step.name and (time := getattr(held.record, "time", None)) is not None:
                return float(time.timestep[row]), float(time.sigma[row])
        return 0.0, 0.0

    def unread(self, step: Step, params: dict[int, dict[str, Any]]) -> dict[int, frozenset[str]]:
        """The ports that each active item leaves unread at its step."""
        if step.type.unused is None:
            return {}
        statics = self.stage.parcel.statics[step.name]
        return {item: frozenset(step.type.unused({**statics, **values})) for item, values in params.items()}

    def needs(self, wanted: list[Wire], unused: dict[str, dict[int, frozenset[str]]]) -> dict[str, list[int]]:
        """The items for which each node must be evaluated."""
        need: dict[str, set[int]] = {name: set() for name in self.todo}
        for wire in wanted:
            if wire.node in need:
                need[wire.node] |= set(self.loop.active)
        for name in reversed(self.todo):
            for port, wires in self.steps[name].wires.items():
                reading = {item for item in need[name] if port not in unused[name].get(item, ())}
                for wire in wires:
                    if wire.node in need:
                        need[wire.node] |= reading
        return {name: [item for item in self.loop.active if item in items] for name, items in need.items()}

    def calls(
        self, name: str, items: list[int], unused: dict[int, frozenset[str]], params: dict[int, dict[str, Any]]
    ) -> list[tuple[Step, list[int], Call]]:
        """A node's calls: one for each set of ports left unread. An inner loop is run at once."""
        step = self.steps[name]
        if step.type.kind == "loop":
            outputs = LoopRun(self.stage, step, self.values).run(items)
            self.keep(step, items, outputs)
            return []
        groups: dict[frozenset[str], list[int]] = {}
        for item in items:
            groups.setdefault(unused.get(item, frozenset()), []).append(item)
        found = []
        for ports, rows in groups.items():
            made = self.stage.call(step, rows, ports, self.values)
            if self.loop.scheduled:
                per_item = {n: PerItem([params[item][n] for item in rows]) for n in params[rows[0]]}
                made.params |= per_item
            made.carried = {c: self.carry(name, c, rows) for c in step.type.signature.carries}
            found.append((step, rows, made))
        return found

    def carry(self, name: str, argument: str, items: list[int]) -> Tensor | None:
        """What a node kept from the last step, for some items."""
        kept = self.loop.carried.get((name, argument))
        return None if kept is None else kept[[self.loop.active.index(item) for item in items]]

    def run_merged(self, calls: list[tuple[Step, list[int], Call]]) -> None:
        """Run the calls of a wave; those of one model with equal shapes as one batch."""
        groups: dict[Any, list[tuple[Step, list[int], Call]]] = {}
        for n, entry in enumerate(calls):
            made = entry[2]
            mergeable = made.type.uses_model and not made.type.signature.carries
            groups.setdefault(fits(made) if mergeable else n, []).append(entry)
        parts: dict[str, list[tuple[list[int], dict[str, Record]]]] = {}
        for group in groups.values():
            together = merge([made for _, _, made in group]) if len(group) > 1 else group[0][2]
            outputs, carried = self.stage.caller.run(together)
            start = 0
            for step, items, _ in group:
                rows = range(start, start + len(items))
                start += len(items)
                own = outputs if len(group) == 1 else {k: v.take(rows) for k, v in outputs.items()}
                parts.setdefault(step.name, []).append((items, own))
                for argument, value in carried.items():
                    self.keep_carry(step.name, argument, items, value)
        for name, pieces in parts.items():
            items = [item for rows, _ in pieces for item in rows]
            joined = {k: type(v).concat([p[k] for _, p in pieces]) for k, v in pieces[0][1].items()}
            self.keep(self.steps[name], items, joined)

    def keep(self, step: Step, items: list[int], outputs: Mapping[str, Record]) -> None:
        """Put a node's values in place for the nodes that read them."""
        for output, value in outputs.items():
            self.values[Wire(step.name, output)] = hold(value, items, self.loop.count)

    def keep_carry(self, name: str, argument: str, items: list[int], value: Tensor) -> None:
        """Keep a node's state for the next step; items that were not evaluated keep theirs."""
        kept = self.loop.carried.get((name, argument))
        if kept is None:
            kept = value.new_zeros(len(self.loop.active), *value.shape[1:])
        rows = torch.tensor([self.loop.active.index(item) for item in items], device=value.device)
        self.loop.carried[name, argument] = kept.index_copy(0, rows, value)


__all__ = ["Body", "LoopRun", "Phase"]
