"""The loop runner: items of one batch at different steps, places that waiting items take, beginnings shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowgen.execute.body import Body
from flowgen.execute.branches import Parked, branches, family
from flowgen.execute.held import Held, hold
from flowgen.graph.model import Wire
from flowgen.node import Loop, Stretch
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
        self.stretches: list[Stretch] = []
        self.carried: dict[tuple[str, str], Tensor] = {}
        self.leaving: dict[int, list[tuple[int, int]]] = {}
        """by item, the steps at which others leave its lane"""
        self.parked: list[Parked] = []
        """items that left a lane when no place was free"""
        self.twins: dict[int, int] = {}
        """items that left a lane just now, and the item whose state theirs still equals"""
        self.bodies: list[Body] | None = None
        """the body of each phase, prepared for the active items"""
        self.own = own = step.name == stage.code.stage
        """whether it is the stage's, not one within another's body"""
        self.share = stage.parcel.share if own else []
        self.resume = stage.parcel.resume if own else []
        self.saves = stage.parcel.saves if own else []
        self.scheduled = any(stage.has_schedule(stage.code.steps[name]) for name in step.body)

    def run(self, items: list[int]) -> tuple[list[int], dict[str, Record]]:
        """These items and the loop's results for them; where the run is stopped, of those that came to their end."""
        waiting, self.leaving = branches(items, self.share, [start.step if start else 0 for start in self.resume])
        results: list[tuple[list[int], dict[str, Record]]] = []
        state: Record | None = None
        while waiting or self.parked or self.active:
            if self.own and self.stage.caller.stop.asked():
                waiting, self.parked = [], []
                if self.stage.caller.stop.over() or not self.active:
                    break
            while self.parked and len(self.active) < self.slots:
                parked = self.parked.pop(0)
                state = self.enter([parked.item], [parked.step], parked.state, parked.carried, state)
            if entering := self.next(waiting):
                state = self.begin(entering, state)
            assert state is not None
            state = self.release(state, results)  # those whose stored state is their last
            if not self.active:
                continue
            state = self.advance(self.branch(state))
            self.at = [i + 1 for i in self.at]
            self.save(state)
            state = self.release(state, results)
        names = results[0][1] if results else ()
        outputs = {k: type(results[0][1][k]).concat([found[k] for _, found in results]) for k in names}
        order = [item for done, _ in results for item in done]
        place = {item: n for n, item in enumerate(order)}
        items = [item for item in items if item in place]
        return items, {k: v.take([place[item] for item in items]) for k, v in outputs.items()}

    def next(self, waiting: list[int]) -> list[int]:
        """Take from those that wait the items to begin: as many as there are places for all that will leave them."""
        taken: list[int] = []
        if not waiting:
            return taken
        room = self.slots - len(self.active) - sum(family(item, self.leaving) - 1 for item in self.active)
        while waiting and (room >= (size := family(waiting[0], self.leaving)) or not (self.active or taken)):
            taken.append(waiting.pop(0))
            room -= size
        return taken

    def loop(self, items: list[int]) -> Loop:
        """The node with its arguments set for some items."""
        feedback = frozenset(n for n, port in self.step.type.signature.ports.items() if port.feedback)
        made = self.stage.call(self.step, items, feedback, self.outer)
        found: Loop = instance(self.step.type, {**made.ports, **made.params})
        return found

    def begin(self, items: list[int], state: Record | None) -> Record:
        """Start some items, from a stored state where there is one."""
        fresh = [item for item in items if not self.resume or self.resume[item] is None]
        if fresh:
            state = self.enter(fresh, [0] * len(fresh), self.loop(fresh).begin(), {}, state)
            self.save(state)
        starts = {item: start for item in items if self.resume and (start := self.resume[item])}
        if starts:
            rows, carried = self.stage.states.read(list(starts.values()))
            steps = [start.step for start in starts.values()]
            state = self.enter(list(starts), steps, rows, carried, state)
        assert state is not None
        return state

    def save(self, state: Record) -> None:
        """Store the marked states that items have come to; what two items share is stored once."""
        rows: dict[str, int] = {}
        for row, (item, at) in enumerate(zip(self.active, self.at, strict=True) if self.saves else ()):
            for save in self.saves[item]:
                if save.step == at and save.key not in self.stage.states.written:
                    rows.setdefault(save.key, row)
        if not rows:
            return
        chosen = list(rows.values())
        some = state.take(chosen)
        outputs = named(self.loop([self.active[row] for row in chosen]).finish(some), self.step.type.signature.outputs)
        carried = {place: kept[chosen] for place, kept in self.carried.items()}
        self.stage.states.write(list(rows), some, outputs[next(iter(outputs))], carried)

    def enter(
        self,
        items: list[int],
        steps: list[int],
        rows: Record,
        carried: Mapping[tuple[str, str], Tensor],
        state: Record | None,
    ) -> Record:
        """Give items places; what a node of the body carries begins at zero unless they bring it along."""
        for place in {**self.carried, **carried}:
            some = carried[place] if place in carried else self.carried[place]
            old = self.carried.get(place, some.new_zeros(len(self.active), *some.shape[1:]))
            new = carried.get(place, some.new_zeros(len(items), *some.shape[1:]))
            self.carried[place] = torch.cat([old, new])
        self.active += items
        self.at += steps
        self.stretches += self.loop(items).stretch()
        self.now, self.bodies = self.loop(self.active), None
        return rows if state is None or not len(state) else type(state).concat([state, rows])

    def branch(self, state: Record) -> Record:
        """Let items leave their lanes with a copy of the state; those without a place are parked."""
        self.twins = {}
        rows: list[int] = []
        items: list[int] = []
        for row, (lane, at) in enumerate(zip(list(self.active), list(self.at), strict=True)):
            leaving = self.leaving.get(lane, [])
            for step, item in list(leaving):
                if min(step, self.stretches[row].steps - 1) != at:
                    continue
                leaving.remove((step, item))
                if len(self.active) + len(items) < self.slots:
                    rows.append(row)
                    items.append(item)
                    self.twins[item] = lane
                else:
                    carried = {place: kept[row : row + 1] for place, kept in self.carried.items()}
                    self.parked.append(Parked(item, at, state.take([row]), carried))
        if not items:
            return state
        carried = {place: kept[rows] for place, kept in self.carried.items()}
        return self.enter(items, [self.at[row] for row in rows], state.take(rows), carried, state)

    def advance(self, state: Record) -> Record:
        """One step of every active item."""
        i = PerItem(self.at)
        values: dict[Wire, Held] = dict(self.outer)
        todo = list(self.step.body)
        fresh = self.bodies is None or self.scheduled
        bodies: list[Body] = [] if fresh else self.bodies or []
        for n, phase in enumerate(self.step.type.signature.used_phases(self.step.wires)):
            suffix = f"_{phase.name}" if phase.name else ""
            emitted = getattr(self.now, f"emit{suffix}")(state, i)
            for output, value in named(emitted, dict.fromkeys(phase.emits)).items():
                values[Wire(self.step.name, output)] = hold(value, self.active, self.count)
            wanted = {port: self.step.wires[port][0] for port in phase.takes if port in self.step.wires}
            if fresh:
                bodies.append(Body(self, todo, list(wanted.values()), values))
            bodies[n].evaluate(values)
            todo = bodies[n].left
            feedback = {port: values[wire].rows(self.active) for port, wire in wanted.items()}
            state = getattr(self.now, f"advance{suffix}")(state, i, **feedback)
            self.twins = {}  # they were alike for the first phase alone
        self.bodies = None if any(body.has_twins for body in bodies) else bodies
        return state

    def release(self, state: Record, results: list[tuple[list[int], dict[str, Record]]]) -> Record:
        """Finish the items that are at their end; their places are free."""
        done = [n for n, (i, way) in enumerate(zip(self.at, self.stretches, strict=True)) if i >= way.steps]
        if not done:
            return state
        items = [self.active[n] for n in done]
        outputs = self.loop(items).finish(state.take(done))
        results.append((items, named(outputs, self.step.type.signature.outputs)))
        kept = [n for n in range(len(self.active)) if n not in set(done)]
        self.active, self.at = [self.active[n] for n in kept], [self.at[n] for n in kept]
        self.stretches = [self.stretches[n] for n in kept]
        self.carried = {k: v[kept] for k, v in self.carried.items()}
        if kept:
            self.now, self.bodies = self.loop(self.active), None
        return state.take(kept)
