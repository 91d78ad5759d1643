"""Graph and store to Plan. Pure: nothing is computed, nothing is written."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.check import Check
from flowgen.graph.columns import Column, spread
from flowgen.graph.model import Graph, GraphNode
from flowgen.graph.stages import stages
from flowgen.graph.trajectory import shown_loop
from flowgen.plan.checkpoints import Checkpoints, state_keys
from flowgen.plan.claims import Claims
from flowgen.plan.cuts import Cut, Pace, cuts
from flowgen.plan.keying import Keying
from flowgen.plan.needs import propagate, want
from flowgen.plan.numerics import Numerics
from flowgen.plan.parcels import Cutter
from flowgen.plan.program import Parcel, Program, program
from flowgen.plan.rows import Rows, body_rows
from flowgen.plan.summary import NodePlan, describe, summary
from flowgen.store.key_columns import DTYPE, Distinct, distinct

Mask = NDArray[np.bool_]
Needs = dict[str, Mask]
"""by node, the points that are needed of it"""


class Known(Protocol):
    """What planning asks of a store."""

    def has(self, keys: NDArray[np.bytes_]) -> Mask:
        """Which of the keys are known."""

    def find(self, keys: Iterable[str]) -> dict[str, Any]:
        """The keys that are known, of some."""

    def file_digest(self, path: Path) -> str:
        """A file's content, hashed."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say about how to compute; none of it changes a result, except in strict numerics."""

    batch: int | None = None
    """items a node's code is given at once; None: from the memory estimate"""
    workers: int = 1
    memory: int = 8 << 30
    """bytes that a batch may take"""
    whose: str = "unless told otherwise"
    """what they are a part of, in words"""
    limits: Mapping[str, int] = field(default_factory=dict)
    """by call, its node type first, the most items where memory ran out in earlier runs"""
    pace: Pace | None = None
    """what earlier runs took"""


@dataclass(slots=True, repr=False)
class Plan:
    """Which items a run computes, and how."""

    graph: Graph
    check: Check
    numerics: Numerics
    options: Options
    keying: Keying
    keys: dict[str, Column]
    nodes: dict[str, NodePlan]
    programs: dict[str, Program]
    parcels: list[Cut] = field(default_factory=list)
    """in an order in which parents come before children; ``parcel`` makes what travels"""
    cutters: dict[str, Cutter] = field(default_factory=dict)
    """by stage"""
    bodies: dict[str, Rows] = field(default_factory=dict)
    """rows of the nodes in loop bodies, where they are known"""
    makers: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """by stage, the parcel that computes each point's item; -1 where none does"""

    def __repr__(self) -> str:
        items = sum(node.items for node in self.nodes.values() if node.stored)
        return f"<Plan of {self.graph.document.file}: {self.compute} of {items} items to compute>"

    @property
    def compute(self) -> int:
        """Items to compute, over all stages."""
        return sum(node.compute for node in self.nodes.values())

    @property
    def seconds(self) -> float | None:
        """Expected time of all stages; None if one isn't known."""
        each = [node.seconds for node in self.nodes.values() if node.compute]
        return None if None in each else sum(s for s in each if s is not None)

    def parcel(self, cut: Cut) -> Parcel:
        """All that a task needs to compute a cut. Made when it is about to be sent: it is large."""
        return self.cutters[cut.stage].parcel(cut)

    def depends(self, cut: Cut) -> list[tuple[str, int]]:
        """The parcels that make what a parcel reads, by stage and number."""
        cutter = self.cutters[cut.stage]
        numbers = {
            number
            for name in self.programs[cut.stage].reads
            for number in cutter.makers(name, cut.rows, self.makers[name]).tolist()
        }
        return [(self.parcels[n].stage, self.parcels[n].number) for n in sorted(numbers)]

    def stored_keys(self) -> dict[str, NDArray[np.bytes_]]:
        """What a run of this plan stands on: the distinct keys of every stored node, and of loops' states."""
        stored = (name for name, node in self.nodes.items() if node.stored)
        return {name: unlike(self.keys[name].values.ravel()) for name in stored} | self.state_keys()

    def state_keys(self) -> dict[str, NDArray[np.bytes_]]:
        """The distinct keys of the states that checkpoints store, and of those that items start from, by loop."""
        starts: dict[str, list[str]] = {name: [] for name in self.keying.trajectories}
        for cut in self.parcels:
            if cut.states:
                starts[cut.stage] += [start.key for start in cut.states.resume if start]
        found = {}
        for name, trajectories in self.keying.trajectories.items():
            begun = np.array(starts[name], dtype=DTYPE)
            marked = state_keys(self.graph.nodes[name], trajectories, self.graph)
            if len(every := np.concatenate([begun, *marked])):
                found[states_of(name)] = unlike(every)
        return found


def states_of(loop: str) -> str:
    """What a loop's states are listed under, beside the nodes' names."""
    return f"{loop}.states"


def unlike(keys: NDArray[Any]) -> NDArray[np.bytes_]:
    """The distinct keys of a flat column."""
    return np.asarray(keys[distinct(keys).first], dtype=DTYPE)


def plan(checked: Check, store: Known, numerics: Numerics, options: Options | None = None) -> Plan:
    """What a run of a checked graph would compute, given what the store knows."""
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples, no cycles: the collector would take half of the time
    try:
        return planned(checked, store, numerics, options or Options())
    finally:
        if collecting:
            gc.enable()


def planned(checked: Check, store: Known, numerics: Numerics, options: Options) -> Plan:
    """What is left to compute, marked from the outputs backwards; then parcels of it, in the order of the stages."""
    graph = checked.graph
    keying = Keying(graph, checked.stretches, numerics, store.file_digest)
    keys = keying.run()
    kept = stages(graph)
    stored = {node.name for node in kept}
    made = Plan(graph, checked, numerics, options, keying, keys, {}, {})
    items = {node.name: distinct(keys[node.name].values.ravel()) for node in graph.top()}
    missing = {node.name: ~known(keys[node.name], items[node.name], store) for node in kept}
    for node in graph.top():
        made.nodes[node.name] = summary(graph, node, len(items[node.name]), node.name in stored)
    for node in kept:
        made.programs[node.name] = program(graph, node, stored, numerics, keying.trajectories.get(node.name))
        made.nodes[node.name].known = len(items[node.name]) - int(missing[node.name].sum())
    wanted = {name: np.zeros(graph.shape(graph.nodes[name].axes), dtype=bool) for name in stored}
    for wire in graph.outputs.values():
        want(graph, wire, np.ones(graph.shape(graph.nodes[wire.node].axes), dtype=bool), wanted)
    claims = Claims(kept, keys, wanted)
    todo, shown = mark(made, kept, claims, {name: missing[name][items[name].item] for name in stored})
    for node in kept:
        compute, needs = todo[node.name]
        cut = cut_up(made, node, items[node.name], compute, needs, store, shown.get(node.name))
        claims.lend(node, made.makers)
        unneeded = missing[node.name][items[node.name].item] & (made.makers[node.name].ravel() < 0)
        made.nodes[node.name].whole = not unneeded.any()
        describe(made.nodes[node.name], checked, node, wanted[node.name], cut, made.bodies)
    return made


def mark(
    made: Plan, kept: list[GraphNode], claims: Claims, missing: Mapping[str, Mask]
) -> tuple[dict[str, tuple[Mask, Needs]], dict[str, Mask]]:
    """By stage, the points left to compute and what they need of each node; by loop, the points that show states."""
    graph = made.graph
    todo: dict[str, tuple[Mask, Needs]] = {}
    shown: dict[str, Mask] = {}
    for node in reversed(kept):
        wanted = claims.wanted[node.name]
        compute = claims.left(node, missing[node.name].reshape(wanted.shape) & wanted)
        if node.name in shown:  # also where another node has the result: its loop shows no states
            compute = compute | shown[node.name]
        needs = propagate(graph, made.programs[node.name], node, compute, made.keying)
        for name in made.programs[node.name].reads:
            claims.wanted[name] |= needs[name]
        todo[node.name] = (compute, needs)
        if loop := shown_loop(node):
            shown[loop] = needs[loop]
    return todo, shown


def cut_up(
    made: Plan, node: GraphNode, items: Distinct, compute: Mask, needs: Needs, store: Known, shown: Mask | None
) -> list[Cut]:
    """The parcels of a stage, noted in the plan; none where a loop stores its states on its way."""
    graph, checked, code = made.graph, made.check, made.programs[node.name]
    code.parts.update(made.keying.parts)
    code.sizes.update(checked.sizes)
    made.cutters[node.name] = Cutter(checked, code, node, made.keys, made.keying, needs)
    if loop := shown_loop(node):
        made.makers[node.name] = spread(made.makers[loop], graph.nodes[loop].axes, node.axes, graph.lengths).copy()
        return []
    way = made.keying.trajectories.get(node.name)
    states = Checkpoints(graph, node, way, store.find, shown) if way else None
    cut = cuts(checked, code, first_points(items, compute), made.options, way, states)
    made.makers[node.name] = makers(items, cut, len(made.parcels)).reshape(compute.shape)
    made.parcels += cut
    if way:
        made.bodies |= body_rows(graph, node, way, cut)
    return cut


def known(keys: Column, items: Distinct, store: Known) -> Mask:
    """Which items the store has."""
    return store.has(keys.values.reshape(-1)[items.first])


def first_points(items: Distinct, compute: Mask) -> NDArray[np.int64]:
    """The first point of each item to compute, in the order of the sweep."""
    chosen = np.flatnonzero(compute.ravel())
    _, first = np.unique(items.item[chosen], return_index=True)
    return chosen[np.sort(first)]


def makers(items: Distinct, cut: list[Cut], first: int) -> NDArray[np.int64]:
    """The parcel that computes each point's item, counted from ``first``; -1 where none does."""
    made = np.full(len(items), -1, dtype=np.int64)
    for n, part in enumerate(cut, first):
        made[items.item[part.rows]] = n
    return made[items.item]


__all__ = ["Options", "Plan", "plan"]
