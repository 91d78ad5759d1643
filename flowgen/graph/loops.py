"""Cycles become loops: the body of a loop node is what lies between its per-step outputs and its feedback ports."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from flowgen.errors import UserError
from flowgen.graph.columns import Column
from flowgen.graph.model import GraphNode, Wire
from flowgen.language.expressions import Schedule


def edges(nodes: dict[str, GraphNode]) -> Iterator[tuple[Wire, GraphNode, str]]:
    """Every wire: source, target, port."""
    for node in nodes.values():
        for port, wires in node.wires.items():
            for wire in wires:
                yield wire, node, port


def is_feedback(node: GraphNode, port: str) -> bool:
    """Whether a port closes a loop."""
    return node.type.signature.ports[port].feedback


def forward(nodes: dict[str, GraphNode]) -> nx.DiGraph[str]:
    """The graph with every feedback wire cut."""
    cut: nx.DiGraph[str] = nx.DiGraph()
    cut.add_nodes_from(nodes)
    cut.add_edges_from((wire.node, node.name) for wire, node, port in edges(nodes) if not is_feedback(node, port))
    return cut


def topological(nodes: dict[str, GraphNode]) -> tuple[str, ...]:
    """Nodes in order, feedback wires cut; ties in the order of their names, so that a file's order means nothing.

    Raises UserError for a cycle that no feedback port closes.
    """
    cut = forward(nodes)
    try:
        cycle = [edge[0] for edge in nx.find_cycle(cut)]
    except nx.NetworkXNoCycle:
        return tuple(nx.lexicographical_topological_sort(cut))
    start = cycle.index(min(cycle))
    around = [*cycle[start:], *cycle[:start]]
    raise nodes[around[0]].error(
        f"the cycle {' → '.join([*around, around[0]])} passes through no feedback port",
        hint="a cycle is closed by a loop node: the port 'prediction' of a scheduler, for example",
    )


def arrange(nodes: dict[str, GraphNode]) -> tuple[str, ...]:
    """Nodes in an order in which all that a loop or its body needs comes before the loop, and a body after its loop.

    Raises UserError where a loop's body waits for the loop's own result.
    """

    def level(owner: str | None) -> list[str]:
        members = [name for name, node in nodes.items() if node.body_of == owner]
        between: nx.DiGraph[str] = nx.DiGraph()
        between.add_nodes_from(members)
        for wire, node, port in edges(nodes):
            source, target = (representative(nodes, name, owner) for name in (wire.node, node.name))
            if source and target and source != target and not (is_feedback(node, port) and node.name == target):
                between.add_edge(source, target)
        try:
            ordered = list(nx.lexicographical_topological_sort(between))
        except nx.NetworkXUnfeasible:
            cycle = [edge[0] for edge in nx.find_cycle(between)]
            loop = next(name for name in cycle if nodes[name].type.kind == "loop")
            start = cycle.index(loop)
            around = " → ".join([*cycle[start:], *cycle[:start], loop])
            raise nodes[loop].error(f"the body of '{loop}' needs the loop's own result: {around}") from None
        return [inner for name in ordered for inner in (name, *level(name))]

    return tuple(level(None))


def representative(nodes: dict[str, GraphNode], name: str, owner: str | None) -> str | None:
    """The node of a level that a node is, or stands inside of; None if it is on no deeper level."""
    while nodes[name].body_of != owner:
        above = nodes[name].body_of
        if above is None:
            return None
        name = above
    return name


def find_bodies(nodes: dict[str, GraphNode], order: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """By loop node, its body. Raises UserError where feedback closes no cycle or a per-step output leaves its loop."""
    cut = forward(nodes)
    reached: dict[str, set[str]] = {}
    bodies: dict[str, set[str]] = {}
    for loop in (node for node in nodes.values() if node.type.kind == "loop"):
        shown = from_steps(loop, nodes, cut)
        reached[loop.name] = shown | scheduled(loop, nodes, cut)
        body: set[str] = set()
        for port, wires in loop.wires.items():
            if is_feedback(loop, port):
                check_closing(loop, port, wires[0], shown)
                body |= ({wires[0].node} | nx.ancestors(cut, wires[0].node)) & reached[loop.name]
        bodies[loop.name] = body
    check_disjoint(nodes, bodies)
    for loop_name, body in bodies.items():
        check_inside(nodes, order, loop_name, reached[loop_name], body, bodies)
    return {name: tuple(n for n in order if n in body) for name, body in bodies.items()}


def from_steps(loop: GraphNode, nodes: dict[str, GraphNode], cut: nx.DiGraph[str]) -> set[str]:
    """The nodes that a loop's per-step outputs reach."""
    steps = loop.type.signature.steps
    first = {
        node.name
        for wire, node, port in edges(nodes)
        if wire.node == loop.name and wire.output in steps and not is_feedback(node, port)
    }
    return first.union(*(nx.descendants(cut, name) for name in first))


def scheduled(loop: GraphNode, nodes: dict[str, GraphNode], cut: nx.DiGraph[str]) -> set[str]:
    """The nodes that a per-step parameter reaches on its way to the loop's feedback: they change with the step too."""
    beside = cut.copy()
    beside.remove_node(loop.name)  # what only begins the loop isn't part of it
    ends = {wires[0].node for port, wires in loop.wires.items() if is_feedback(loop, port)} - {loop.name}
    leading = ends.union(*(nx.ancestors(beside, name) for name in ends))
    first = {name for name in leading if any(has_schedule(column) for column in nodes[name].params.values())}
    return first.union(*(nx.descendants(beside, name) for name in first))


def has_schedule(column: Column) -> bool:
    """Whether a parameter depends on the step anywhere."""
    return any(isinstance(value, Schedule) for value in column.values.flat)


def check_closing(loop: GraphNode, port: str, wire: Wire, shown: set[str]) -> None:
    """What feeds a feedback port depends on what the loop shows."""
    if wire.node not in shown:
        phase = next(phase for phase in loop.type.signature.phases if port in phase.takes)
        steps = " or ".join(f"${loop.name}.{name}" for name in phase.emits)
        raise loop.error(
            f"'{port}' of '{loop.name}' closes no cycle: '{wire.node}' doesn't depend on {steps}",
            port,
            f"wire {steps} into the nodes that lead to '{wire.node}'",
        )


def check_inside(
    nodes: dict[str, GraphNode],
    order: tuple[str, ...],
    loop: str,
    reached: set[str],
    body: set[str],
    bodies: dict[str, set[str]],
) -> None:
    """What changes from step to step must stay inside the loop."""
    inner = {name for member in body if member in bodies for name in bodies[member]}
    for name in order:
        if name in reached and name not in body and name not in inner:
            node = nodes[name]
            steps = {Wire(loop, output) for output in nodes[loop].type.signature.steps}
            port, wire = next(
                (port, wire)
                for port, wires in node.wires.items()
                for wire in wires
                if wire in steps or (wire.node in body and not is_feedback(node, port))
            )
            raise outside(nodes, order, nodes[loop], node, port, wire)


def outside(
    nodes: dict[str, GraphNode], order: tuple[str, ...], loop: GraphNode, node: GraphNode, port: str, wire: Wire
) -> UserError:
    """The error for a node that takes what changes with a loop's steps and doesn't lead back to the loop."""
    said = f"'${wire.node}.{wire.output}' changes with every step of '{loop.name}', and "
    result, kind = next(iter(loop.type.signature.outputs.items()))
    closing = [(name, wires[0].node) for name, wires in loop.wires.items() if is_feedback(loop, name)]
    if not closing or issubclass(kind, node.type.signature.ports[port].type):
        hint = f"take the loop's result, ${loop.name}.{result}"
        return node.error(f"{said}'{node.name}' is not in that loop", port, hint)
    back, fed = closing[0]
    cut, wanted = forward(nodes), loop.type.signature.ports[back].type
    joined = [
        name
        for name in order
        if name in {node.name} | nx.descendants(cut, node.name)
        and fed in nx.ancestors(cut, name)
        and issubclass(next(iter(nodes[name].type.signature.outputs.values())), wanted)
    ]
    return node.error(
        f"{said}nothing leads from '{node.name}' back to '{back}' of '{loop.name}', which takes '${fed}'",
        port,
        f"'{joined[-1]}' depends on both: write {back}: ${joined[-1]} in '{loop.name}'"
        if joined
        else f"wire '{node.name}' into what leads to '${fed}', or leave it out",
    )


def check_disjoint(nodes: dict[str, GraphNode], bodies: dict[str, set[str]]) -> None:
    """A node belongs to one loop."""
    owner: dict[str, str] = {}
    for loop, body in bodies.items():
        for name in body:
            if name in owner:
                said = f"'{name}' lies in the loops of '{owner[name]}' and '{loop}', which are not nested"
                raise nodes[name].error(said, hint="write it once for each: a step is a step of one loop")
            owner[name] = loop
