"""Step programs: what a loop does, step by step, so that trajectories which begin alike are seen to.

A program is the sequence of a body's steps with per-step parameters turned into numbers; what comes from outside the
loop is stood for by numbered *slots*. ``chain[k]`` is the digest of the first k steps; a slot that a step leaves unread
(``guidance.cfg`` at scale 1) isn't in it. The state after k steps is determined by ``chain[k]``, by what the loop began
with, and by the slots used in the first k steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgen.graph.model import Graph, GraphNode, Wire
from flowgen.language.expressions import Schedule, at_step
from flowgen.node import Stretch
from flowgen.node.registry import element
from flowgen.store import keys

Values = Mapping[str, Mapping[str, Any]]
"""parameters of a loop's body, by node and name"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A node of the body in one step."""

    digest: str
    """equal for equal code, parameters and inputs, slots numbered"""
    slots: frozenset[int]
    """what it and the nodes before it read from outside, as the program numbers it"""


@dataclass(frozen=True, slots=True)
class Chain:
    """One program."""

    digests: tuple[str, ...]
    """of the first k steps, k = 0 .. length"""
    slots: tuple[int, ...]
    """the slots that it reads, in the order in which it first reads them: what it calls slot 0, 1, ..."""
    first_use: tuple[int, ...]
    """for each of these: the first step that reads it"""
    ends: bool = True
    """whether the loop comes to its end, rather than being left before"""
    steps: tuple[Mapping[str, Reading], ...] = field(default=(), compare=False, repr=False)
    """by step: the nodes of the body that it needs, and what each stands for"""

    @property
    def length(self) -> int:
        """Steps."""
        return len(self.digests) - 1

    def used(self, steps: int | None = None) -> tuple[int, ...]:
        """The slots that the first ``steps`` (all by default) read, in order."""
        done = self.length if steps is None else steps
        return tuple(slot for slot, first in zip(self.slots, self.first_use, strict=True) if first < done)

    def common(self, other: Chain) -> int:
        """How many leading steps two programs share."""
        count = 0
        for mine, theirs in zip(self.digests[1:], other.digests[1:], strict=False):
            if mine != theirs:
                break
            count += 1
        return count


class Programs:
    """The programs of one loop node."""

    def __init__(self, graph: Graph, loop: GraphNode, numerics: str, content: Any) -> None:
        self.graph = graph
        self.loop = loop
        self.numerics = numerics
        self.content = content
        """turns a parameter into what a key holds of it"""
        self.slots: list[tuple[str, str, Wire]] = []
        """(node, port, wire) of what comes from outside, in an order that holds no names"""
        self.visited: list[str] = []
        """the nodes of the body in the same order"""
        self.find_slots(loop)
        self.known: dict[tuple[Any, ...], Chain] = {}

    def feedback(self, loop: GraphNode) -> list[tuple[str, Wire]]:
        """A loop's feedback ports and their sources, in the order of the phases."""
        ports = [port for phase in loop.type.signature.phases for port in phase.takes]
        return [(port, loop.wires[port][0]) for port in ports if port in loop.wires]

    def find_slots(self, loop: GraphNode) -> None:
        """Number what the body reads from outside, walking from the feedback along the ports' names."""
        seen: set[str] = set()
        self.numbers: dict[Any, int] = {}

        def visit(wire: Wire) -> None:
            if wire.node in seen or wire.node not in self.members:
                return
            seen.add(wire.node)
            self.visited.append(wire.node)
            node = self.graph.nodes[wire.node]
            for port, wires in sorted(node.wires.items()):
                for inner in wires:
                    if self.is_outside(inner):
                        if self.identity(node.name, port, inner) not in self.numbers:
                            self.numbers[self.identity(node.name, port, inner)] = len(self.slots)
                            self.slots.append((node.name, port, inner))
                    else:
                        visit(inner)

        self.members = self.inside(loop)
        for _, wire in self.feedback(loop):
            visit(wire)

    def identity(self, node: str, port: str, wire: Wire) -> Any:
        """What makes two wires one slot: the same output; of models, each port reads parts of its own."""
        return (node, port, wire) if wire.node in self.graph.references else wire

    def slot(self, node: str, port: str, wire: Wire) -> int:
        """The number of a wire from outside."""
        return self.numbers[self.identity(node, port, wire)]

    def inside(self, loop: GraphNode) -> set[str]:
        """The nodes of a loop's body, of bodies within it too."""
        found: set[str] = set()
        for name in self.graph.bodies[loop.name]:
            found |= {name} | (self.inside(self.graph.nodes[name]) if name in self.graph.bodies else set())
        return found

    def is_outside(self, wire: Wire) -> bool:
        """Whether a wire comes from outside the loop."""
        return wire.node not in self.members and wire.node != self.loop.name

    def carries(self) -> tuple[tuple[str, str], ...]:
        """(node, argument) of what the body's nodes carry from step to step, in an order that holds no names."""
        nodes = [self.graph.nodes[name] for name in self.visited if self.graph.nodes[name].body_of == self.loop.name]
        return tuple((node.name, argument) for node in nodes for argument in node.type.signature.carries)

    def chain(self, values: Values, params: str, stretch: Stretch) -> Chain:
        """The program with these parameters of the body; ``params`` are the loop's own, canonical."""
        texts = tuple(
            keys.canonical({name: self.content(value) for name, value in values[node].items()})
            for node in sorted(self.members)
        )
        identity = (texts, params, stretch)
        if identity not in self.known:
            self.known[identity] = self.build(values, params, stretch)
        return self.known[identity]

    def build(self, values: Values, params: str, stretch: Stretch) -> Chain:
        """Walk the steps."""
        head = keys.node_head(self.loop.type.name, self.loop.type.version, self.numerics)
        late = [str(stretch.first)] if stretch.first else []
        digests = [keys.digest("begin", head, params, str(stretch.whole), *late)]
        numbers: dict[int, int] = {}
        first_use: list[int] = []
        steps: list[Mapping[str, Reading]] = []
        last: tuple[Any, Step] | None = None
        for i in range(stretch.steps):
            now = {node: {n: resolved(v, i, stretch.whole) for n, v in found.items()} for node, found in values.items()}
            if last is None or last[0] != now:
                last = (now, Step(self, now, numbers))
            first_use += [i] * (len(numbers) - len(first_use))
            digests.append(keys.digest("chain", digests[-1], last[1].digest))
            steps.append(last[1].made)
        return Chain(tuple(digests), tuple(numbers), tuple(first_use), stretch.steps == stretch.whole, tuple(steps))


def resolved(value: Any, step: int, length: int) -> Any:
    """A per-step parameter's number; one by timestep or noise level, which planning doesn't know, stays as it is."""
    if isinstance(value, Schedule) and all(piece.by in ("during", "step") for piece in value.pieces):
        return at_step(value, step, length)
    return value


class Step:
    """One step of a body: its digest. ``numbers`` are what the chain calls the slots read so far; it grows."""

    def __init__(self, programs: Programs, values: Values, numbers: dict[int, int]) -> None:
        self.programs = programs
        self.graph = programs.graph
        self.values = values
        self.numbers = numbers
        """what the program calls each slot, in the order of their first use"""
        self.used: set[int] = set()
        """slots, as the program numbers them, of the nodes that were walked through"""
        self.made: dict[str, Reading] = {}
        wires = programs.feedback(programs.loop)
        self.digest = keys.digest("step", *(field for port, wire in wires for field in (port, self.wire(wire, "", ""))))

    def wire(self, wire: Wire, node: str, port: str) -> str:
        """What a wire stands for: a slot, a per-step output, or a node of the body."""
        source = self.graph.nodes[wire.node]
        signature = source.type.signature
        if wire.output in signature.steps:
            return keys.emitted(self.depth(source), wire.output)
        if self.programs.is_outside(wire):
            number = self.numbers.setdefault(self.programs.slot(node, port, wire), len(self.numbers))
            self.used.add(number)
            return keys.digest("slot", str(number))
        found = self.node(source).digest
        main = next(iter(signature.outputs))
        return found if wire.output == main else keys.output_of(found, wire.output)

    def node(self, node: GraphNode) -> Reading:
        """A node of the body."""
        if node.name not in self.made:
            before, self.used = self.used, set()
            values = self.values[node.name]
            unused = node.type.unread(dict(values), node.wires)
            feedback = {port for port, _ in self.programs.feedback(node)} if node.type.kind == "loop" else set()
            ports = [
                (port, [self.wire(w, node.name, port) for n, w in enumerate(wires) if element(port, n, unused)])
                for port, wires in sorted(node.wires.items())
                if port not in unused and port not in feedback
            ]
            for port, wire in self.programs.feedback(node) if feedback else []:
                ports.append((f"feedback {port}", [self.wire(wire, node.name, port)]))
            head = keys.node_head(node.type.name, node.type.version, self.programs.numerics)
            told = {name: value for name, value in values.items() if not node.type.silent(name, value)}
            text = keys.canonical({name: self.programs.content(value) for name, value in told.items()})
            passed = node.type.passes and len(ports[0][1]) == 1
            digest = ports[0][1][0] if passed else keys.item_key(head, text, ports)
            self.made[node.name] = Reading(digest, frozenset(self.used))
            self.used |= before
        self.used |= self.made[node.name].slots
        return self.made[node.name]

    def depth(self, node: GraphNode) -> int:
        """How many loops a node stands in."""
        return 0 if node.body_of is None else 1 + self.depth(self.graph.nodes[node.body_of])
