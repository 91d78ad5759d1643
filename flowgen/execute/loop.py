"""The loop runner: items of one batch at different steps, places that waiting items take, beginnings shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowgen.execute.body import Body
from flowgen.execute.held import Held
from flowgen.execute.parked import Parked
from flowgen.graph.model import Wire
from flowgen.node import Loop, Phase, Stretch
from flowgen.node.call import instance, named
from flowgen.plan.branches import Leaving, branches, family
from flowgen.plan.program import Step
from flowgen.values import PerItem, Record

if TYPE_CHECKING:
    from flowgen.execute.stage import StageRun


HELD = 4
"""states for each place that may come of the items that have begun: those that leave a lane together wait for places,
and a state is small beside what a network holds for an item"""


class Way:
    """One phase of a step: from what the loop shows to what it is fed with."""

    def __init__(self, step: Step, phase: Phase) -> None:
        suffix = f"_{phase.name}" if phase.name else ""
        self.emit, self.advance = f"emit{suffix}", f"advance{suffix}"
        self.shown = {output: Wire(step.name, output) for output in phase.emits}
        self.fed = {port: step.wires[port][0] for port in phase.takes if port in step.wires}


class LoopRun:
    """A loop over some items of a parcel.

    ``slots`` different states are on their way at once. Items that leave a lane are there beside them in the step in
    which they leave, while their states are still equal; then those without a place are parked.
    """

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
        self.stretches: dict[int, Stretch] = {}
        """by item"""
        self.carried: dict[tuple[str, str], Tensor] = {}
        self.leaving: Leaving = {}
        """by item, the steps at which others leave its lane"""
        self.parked: list[Parked] = []
        """items that left a lane and wait for a place"""
        self.twins: dict[int, int] = {}
        """items that left a lane just now, and the item whose state theirs still equals"""
        self.items: list[int] = []
        """those that ``node`` is set for"""
        self.node: Loop
        self.phases = [Way(step, phase) for phase in step.type.signature.used_phases(step.wires)]
        self.bodies: list[Body] | None = None
        """the body of each phase, prepared for the active items"""
        self.own = own = step.name == stage.code.stage
        """whether it is the stage's, not one within another's body"""
        self.share = stage.parcel.share if own else []
        self.resume = stage.parcel.resume if own else []
        self.saves = list(stage.parcel.saves) if own else []
        self.scheduled = [name for name in step.body if stage.has_schedule(stage.code.steps[name])]
        """nodes of the body that change with the step"""
        self.carries = any(stage.code.steps[name].type.signature.carries for name in step.body)

    def run(self, items: list[int]) -> tuple[list[int], dict[str, Record]]:
        """These items and the loop's results for them; where the run is stopped, of those that came to their end."""
        starts = [start.step if start else 0 for start in self.resume]
        self.stretches = dict(zip(items, self.loop(items).stretch(), strict=True))
        lengths = {item: stretch.steps for item, stretch in self.stretches.items()}
        waiting, self.leaving = branches(items, self.share, starts, lengths)
        for item in waiting if self.saves else ():
            self.pass_by(item)
        first = dict(enumerate(starts))
        waiting.sort(key=lambda item: -self.left(item, first.get(item, 0)))  # so that the last ones end together
        results: list[tuple[list[int], dict[str, Record]]] = []
        state: Record | None = None
        while waiting or self.parked or self.active:
            if self.own and self.stage.caller.stop.asked():
                waiting, self.parked = [], []
                if self.stage.caller.stop.over() or not self.active:
                    break
            while self.parked and (free := self.slots - len(self.active)):
                parked, *rest = self.parked.pop(0).cut(free)
                self.parked[:0] = rest
                state = self.enter(parked.items, parked.steps, parked.state, parked.carried, state)
            if entering := self.next(waiting):
                state = self.begin(entering, state)
            assert state is not None
            state = self.release(state, results)  # those whose stored state is their last
            if not self.active:
                continue
            state = self.branch(state)
            for _ in range(self.quiet()):
                if self.own and self.stage.caller.stop.over():
                    break
                state = self.advance(state)
                self.at = [i + 1 for i in self.at]
                if self.own:
                    self.stage.caller.strides.went(len(self.at))
            self.save(state)
            state = self.park(self.release(state, results))
        names = results[0][1] if results else ()
        outputs = {k: type(results[0][1][k]).concat([found[k] for _, found in results]) for k in names}
        order = [item for done, _ in results for item in done]
        if order == items:
            return items, outputs
        place = {item: n for n, item in enumerate(order)}
        items = [item for item in items if item in place]
        return items, {k: v.take([place[item] for item in items]) for k, v in outputs.items()}

    def pass_by(self, item: int) -> None:
        """Let an item store also the marked states of those that leave its lane later: their programs, of another
        length, may mark others.
        """
        passed = {save.key: save for save in self.saves[item]}
        for step, child in self.leaving.get(item, ()):
            self.pass_by(child)
            passed |= {save.key: save for save in self.saves[child] if save.step <= step}
        self.saves[item] = tuple(passed.values())

    def next(self, waiting: list[int]) -> list[int]:
        """Take from those that wait the items to begin: as many as there are places, while there is room for the states
        of all that will leave their lanes.
        """
        taken: list[int] = []
        if not waiting:
            return taken
        on_their_way = [*self.active, *(item for parked in self.parked for item in parked.items)]
        room = self.slots * (1 if self.carries else HELD) - sum(family(item, self.leaving) for item in on_their_way)
        while waiting and len(self.active) + len(taken) < self.slots:
            size = family(waiting[0], self.leaving)
            if size > room and (on_their_way or taken):
                break
            taken.append(waiting.pop(0))
            room -= size
        return taken

    def loop(self, items: list[int]) -> Loop:
        """The node with its arguments set for some items; that for the active ones is kept."""
        if items == self.items:
            return self.node
        feedback = frozenset(n for n, port in self.step.type.signature.ports.items() if port.feedback)
        made: Loop = instance(self.step.type, self.stage.call(self.step, items, feedback, self.outer).arguments)
        if not self.active or items == self.active:
            self.items, self.node = items, made
        return made

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
        self.active, self.at = [*self.active, *items], [*self.at, *steps]
        self.bodies = None
        return rows if state is None or not len(state) else type(state).concat([state, rows])

    def branch(self, state: Record) -> Record:
        """Let items leave their lanes with a copy of the state."""
        self.twins = {}
        rows: list[int] = []
        for row, (lane, at) in enumerate(zip(self.active, self.at, strict=True)):
            leaving = self.leaving.get(lane, [])
            for step, item in list(leaving):
                if step == at:
                    leaving.remove((step, item))
                    rows.append(row)
                    self.twins[item] = lane
        if not rows:
            return state
        carried = {place: kept[rows] for place, kept in self.carried.items()}
        return self.enter(list(self.twins), [self.at[row] for row in rows], state.take(rows), carried, state)

    def quiet(self) -> int:
        """The steps until an item ends, leaves its lane or comes to a state that is stored."""
        if self.twins:
            return 1
        least = min(self.left(item, at) for item, at in zip(self.active, self.at, strict=True))
        for item, at in zip(self.active, self.at, strict=True) if self.leaving or self.saves else ():
            ahead = [step for step, _ in self.leaving.get(item, ())]
            ahead += [save.step for save in self.saves[item]] if self.saves else []
            least = min([least, *(step - at for step in ahead if step > at)])
        return least

    def left(self, item: int, at: int) -> int:
        """The steps that an item has to go."""
        return self.stretches[item].steps - at

    def park(self, state: Record) -> Record:
        """Let the items for which there is no place wait, those with the shortest way to go."""
        if len(self.active) <= self.slots:
            return state
        order = sorted(range(len(self.active)), key=lambda n: -self.left(self.active[n], self.at[n]))
        kept, over = sorted(order[: self.slots]), order[self.slots :]
        carried = {place: tensor[over] for place, tensor in self.carried.items()}
        items, steps = [self.active[n] for n in over], [self.at[n] for n in over]
        self.parked.append(Parked(items, steps, state.take(over), carried))
        self.parked.sort(key=lambda parked: -self.left(parked.items[0], parked.steps[0]))
        return self.keep(kept, state)

    def advance(self, state: Record) -> Record:
        """One step of every active item."""
        i, twins, loop = PerItem(self.at), self.twins, self.loop(self.active)
        values: dict[Wire, Held] = dict(self.outer)
        todo: Sequence[str] = self.step.body
        bodies = self.bodies or []
        for n, way in enumerate(self.phases):
            emitted = getattr(loop, way.emit)(state, i)
            for output, value in named(emitted, way.shown).items():
                values[way.shown[output]] = Held(value, self.count, self.active)
            if n < len(bodies) and self.scheduled and not bodies[n].holds(values):
                del bodies[n:]
            if n == len(bodies):
                bodies.append(Body(self, todo, list(way.fed.values()), values))
            bodies[n].evaluate(values)
            todo = bodies[n].left
            feedback = {port: values[wire].rows(self.active) for port, wire in way.fed.items()}
            state = getattr(loop, way.advance)(state, i, **feedback)
            self.twins = {}  # they were alike for the first phase alone
        self.bodies = None if twins else bodies
        return state

    def release(self, state: Record, results: list[tuple[list[int], dict[str, Record]]]) -> Record:
        """Finish the items that are at their end; their places are free."""
        done = [n for n, item in enumerate(self.active) if not self.left(item, self.at[n])]
        if not done:
            return state
        items = [self.active[n] for n in done]
        outputs = self.loop(items).finish(state.take(done))
        results.append((items, named(outputs, self.step.type.signature.outputs)))
        ended = set(done)
        return self.keep([n for n in range(len(self.active)) if n not in ended], state)

    def keep(self, rows: Sequence[int], state: Record) -> Record:
        """Go on with the items at these rows alone."""
        self.active, self.at = [self.active[n] for n in rows], [self.at[n] for n in rows]
        self.carried = {place: tensor[list(rows)] for place, tensor in self.carried.items()}
        self.bodies = None
        return state.take(rows)
