"""Which axes a node varies along: those of what it depends on, and no other."""

from __future__ import annotations

from flowgen.errors import did_you_mean
from flowgen.graph.columns import ordered
from flowgen.graph.model import GraphNode
from flowgen.language.document import Document


def assign_axes(
    nodes: dict[str, GraphNode], order: tuple[str, ...], bodies: dict[str, tuple[str, ...]], document: Document
) -> None:
    """Set every node's ``axes``. A loop and its body share theirs. Raises UserError for a bad ``over``."""
    axes: dict[str, set[str]] = {name: set() for name in order}
    changed = True
    while changed:  # a loop takes over what its body brings, and hands it to what follows
        changed = False
        for name in order:
            found = own_axes(nodes[name], axes)
            if name in bodies:
                found |= set().union(*(axes[member] for member in bodies[name]))
            owner = nodes[name].body_of
            if owner is not None:
                found |= axes[owner]
            changed |= found != axes[name]
            axes[name] = found
    for name in order:
        check_over(nodes[name], axes, document)
        nodes[name].axes = ordered(axes[name], document)


def own_axes(node: GraphNode, axes: dict[str, set[str]]) -> set[str]:
    """Axes of parameters and parents, less those that are pooled."""
    found = {name for column in node.params.values() for name in column.axes} | set(node.makes)
    for port, wires in node.wires.items():
        for wire in wires:
            pooled = node.entry.over if node.type.signature.ports[port].stream else ()
            found |= axes[wire.node] - set(pooled)
    return found


def check_over(node: GraphNode, axes: dict[str, set[str]], document: Document) -> None:
    """``over`` belongs to reductions and names axes of the pooled stream."""
    if node.type.kind != "reduce":
        if node.entry.over:
            raise node.error(f"'{node.type.name}' pools nothing, so it takes no 'over'", "over")
        if node.entry.missing:
            raise node.error(f"'{node.type.name}' pools nothing, so it takes no 'missing'", "missing")
        return
    if not node.entry.over:
        raise node.error(f"'{node.name}' ({node.type.name}) pools items: say over which axes", hint="over: [seed]")
    stream = next(wires[0].node for port, wires in node.wires.items() if node.type.signature.ports[port].stream)
    for name in node.entry.over:
        if name not in document.axes:
            raise node.error(f"'over' names no axis '{name}'", "over", did_you_mean(name, document.axes))
        if name not in axes[stream]:
            varies = ", ".join(ordered(axes[stream], document)) or "no axis"
            if not any(name in found for found in axes.values()):
                said = f"nothing in the graph uses the axis '{name}', so that 'over' pools nothing"
                used = document.axes[name].inputs[0]
                hint = f"take one of its inputs up in a node that leads to '{stream}', as ${used}"
                raise node.error(said, "over", hint)
            raise node.error(f"'over' names '{name}', but '{stream}' varies along {varies}", "over")
    for port, wires in node.wires.items():
        if node.type.signature.ports[port].stream:
            continue
        for wire in wires:
            if shared := axes[wire.node] & set(node.entry.over):
                raise node.error(f"'{wire.node}' varies along '{min(shared)}', which is pooled", port)
