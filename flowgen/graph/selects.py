"""Nodes that pass one of several values on: what type they have, and whose results theirs are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from flowgen.errors import UserError, did_you_mean, with_article
from flowgen.graph.trajectory import offered
from flowgen.language.expressions import Ref, Schedule
from flowgen.node.registry import possible
from flowgen.values.model import Model
from flowgen.values.record import REGISTRY

if TYPE_CHECKING:
    from flowgen.graph.model import Graph, GraphNode, Wire
    from flowgen.language.document import Document


def type_selects(nodes: dict[str, GraphNode]) -> None:
    """Give every node that passes values on the type of those values. Raises UserError where they differ."""

    def resolve(node: GraphNode, trail: tuple[str, ...]) -> None:
        (port,) = node.type.signature.ports
        listed = node.entry.arguments.get(port)
        if node.name in trail:
            raise node.error(f"'{node.name}' selects from itself", port)
        if not isinstance(listed, list) or not listed:
            hint = f"{port}: [$ONE, $OTHER]"
            raise node.error(f"'{port}' of '{node.name}' ({node.type.name}) lists what to select from", port, hint)
        kinds: dict[Any, str] = {}
        for ref in listed:
            source = nodes.get(ref.name) if isinstance(ref, Ref) else None
            if source is None:
                return  # no node: the wiring says so
            if source.type.passes and source.type.signature.ports.keys() and source.name not in done:
                resolve(source, (*trail, node.name))
            there = offered(source)
            output = ref.port or next(iter(there))
            if output in there:
                kinds.setdefault(there[output], str(ref))
        if len(kinds) > 1:
            said = " and ".join(f"'{ref}' is {with_article(kind.__name__)}" for kind, ref in kinds.items())
            raise node.error(f"'{node.name}' ({node.type.name}) takes values of one kind: {said}", port)
        for kind in kinds:
            signature = node.type.signature
            outputs = dict.fromkeys(signature.outputs, kind)
            ports = {port: replace(signature.ports[port], type=kind)}
            node.type = replace(node.type, signature=replace(signature, ports=ports, outputs=outputs))
        done.add(node.name)

    done: set[str] = set()
    for node in nodes.values():
        if node.type.passes and node.name not in done:
            resolve(node, ())


def settle(nodes: dict[str, GraphNode]) -> None:
    """Check that each index numbers one of the values, and unwire the values that no point and no step chooses."""
    for node in nodes.values():
        if not node.type.passes:
            continue
        ((port, wires),) = node.wires.items()
        read = sorted(set().union(*map(possible, node.params["index"].values.flat)))
        for index in read:
            if not 0 <= index < len(wires):
                raise node.error(f"'index' is 0 to {len(wires) - 1}, not {index}", "index")
        if node.entry.store == "always":
            raise node.error(f"'{node.type.name}' has no results of its own to store", "store")
        node.wires[port] = tuple(wires[n] for n in read)
        node.params["index"] = node.params["index"].map(partial(renumbered, read=read))


def renumbered(value: Any, read: list[int]) -> Any:
    """An index, or a schedule of some, among the values that are left."""
    if isinstance(value, Schedule):
        pieces = tuple(replace(piece, value=read.index(piece.value)) for piece in value.pieces)
        return Schedule(pieces, read.index(value.otherwise))
    return read.index(value)


def check_fed(document: Document, nodes: dict[str, GraphNode]) -> None:
    """What nodes feed to the inputs of graphs is of the declared kind."""
    kinds: dict[str, Any] = {**REGISTRY, "Model": Model}
    for fed in document.fed:
        if fed.kind not in kinds:
            hint = did_you_mean(fed.kind, kinds)
            raise UserError(f"the input '{fed.input}' can't be of type '{fed.kind}'", fed.declared, hint)
        source = nodes.get(fed.ref.name)
        if source is None:
            continue
        there = offered(source)
        found = there.get(fed.ref.port or next(iter(there)))
        if found is not None and not issubclass(found, kinds[fed.kind]):
            raise UserError(
                f"'{fed.input}' takes {with_article(fed.kind)}, '{fed.ref}' is {with_article(found.__name__)}", fed.at
            )


def chosen(graph: Graph, node: GraphNode, n: int) -> Any:
    """Where a node passes on its n-th value, along the axes of its index."""
    column = node.params["index"]
    return column.axes, column.map(lambda value: n in possible(value)).values.astype(bool)


def sources(graph: Graph, wire: Wire) -> Iterator[Wire]:
    """The outputs whose results a wire carries: its own, or those that its node may pass on."""
    node = graph.nodes[wire.node]
    if not node.type.passes:
        yield wire
        return
    for wires in node.wires.values():
        for inner in wires:
            yield from sources(graph, inner)


def stored_output(graph: Graph, wire: Wire) -> str:
    """The name under which the store holds what a wire carries. Raises UserError where it has several."""
    if not graph.nodes[wire.node].type.passes:
        return wire.output
    found = list(dict.fromkeys(sources(graph, wire)))
    names = {inner.output for inner in found}
    if len(names) == 1 and all(next(iter(graph.nodes[w.node].type.signature.outputs)) == w.output for w in found):
        return names.pop()
    said = ", ".join(sorted({f"${w.node}.{w.output}" for w in found}))
    raise graph.nodes[wire.node].error(
        f"'{wire.node}' selects from outputs of several names ({said}) and can't be an output or be pooled",
        hint="select from main outputs of one name",
    )
