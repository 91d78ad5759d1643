"""Document to Graph: types found, ports wired, parameters valued, loops and axes determined."""

from __future__ import annotations

from typing import Any

from flowgen.errors import UserError, did_you_mean, with_article
from flowgen.graph.axes import assign_axes
from flowgen.graph.columns import Column, column, constant
from flowgen.graph.expand import expanded, type_of
from flowgen.graph.loops import arrange, find_bodies, topological
from flowgen.graph.model import Graph, GraphNode, Wire, blamed, place_of
from flowgen.graph.outputs import check_making
from flowgen.graph.repeats import repeat_of
from flowgen.graph.selects import check_fed, settle, type_selects
from flowgen.graph.trajectory import add_trajectories, offered, source
from flowgen.language.document import Document
from flowgen.language.expressions import NAME, Ref, Schedule, references
from flowgen.language.meaning import check_axes
from flowgen.language.outputs import Output
from flowgen.node.registry import NodeType, find_source, node_types
from flowgen.node.signature import Param, Port


def build(document: Document) -> Graph:
    """The graph that a document describes. Raises UserError at the place of the first mistake."""
    written, document = document, expanded(document)
    nodes = {name: GraphNode(name, type_of(entry, document), entry) for name, entry in document.nodes.items()}
    type_selects(nodes)
    for node in nodes.values():
        Wiring(node, nodes, document).wire()
    add_trajectories(document, nodes)
    bodies = loop_bodies(nodes)
    for loop, members in bodies.items():
        for member in members:
            nodes[member].body_of = loop
    order = arrange(nodes)
    bodies = {loop: tuple(n for n in order if n in members) for loop, members in bodies.items()}
    assign_axes(nodes, order, bodies, document)
    check_schedules(nodes)
    check_fed(document, nodes)
    graph = Graph(document, nodes, order, bodies)
    for output in document.outputs:
        graph.outputs[output.name] = output_wire(graph, output)
    check_making(graph)
    check_axes(written)
    return graph


def loop_bodies(nodes: dict[str, GraphNode]) -> dict[str, tuple[str, ...]]:
    """By loop node, its body; selects are settled. Raises UserError.

    Bodies are those of the wires as they are written, so that a point has the same results whichever others are left;
    where these make none, those of what selects choose.
    """
    try:
        found = find_bodies(nodes, topological(nodes))
    except UserError:
        settle(nodes)
        return find_bodies(nodes, topological(nodes))
    settle(nodes)
    return found


class Wiring:
    """One node's arguments sorted into wires and parameter columns."""

    def __init__(self, node: GraphNode, nodes: dict[str, GraphNode], document: Document) -> None:
        self.node = node
        self.nodes = nodes
        self.document = document
        self.ports = node.type.signature.ports
        self.declared = {name: p for name, p in node.type.signature.params.items() if name != "per"}

    def error(self, message: str, argument: str = "", hint: str = "") -> UserError:
        """A UserError at one of the node's arguments, wherever it is given, or at the node."""
        return UserError(message, place_of(self.node, argument, self.document), hint)

    def wire(self) -> None:
        """Fill the node's ``wires`` and ``params``; defaults of the graph for what the entry leaves out."""
        given = dict(self.node.entry.arguments)
        for name in given:
            if name not in self.ports and name not in self.declared:
                said = f"'{self.node.type.name}' has no port or parameter '{name}'"
                raise self.error(said, name, self.elsewhere(name))
        for name, expression in self.document.defaults_of(self.node.entry).items():
            if name in self.ports or name in self.declared:
                given.setdefault(name, expression)
        for port in self.ports.values():
            self.add_port(port, given)
        for param in self.declared.values():
            self.add_param(param, given)
        self.add_per()

    def elsewhere(self, name: str) -> str:
        """A hint for an argument that the node doesn't take: who does, of the nodes that lead to it and of its kin."""
        near = [self.node.name]
        for node in map(self.nodes.__getitem__, near):  # it grows by what each depends on, nearest first
            if takes(node.type, name):
                return (
                    f"'{node.name}' ({node.type.name}), on which '{self.node.name}' depends, takes it: write it there"
                )
            given = {**self.document.defaults_of(node.entry), **node.entry.arguments}
            ports = [given.get(port) for port in node.type.signature.ports]
            wired = dict.fromkeys(ref.name for ref in references(ports) if ref.name in self.nodes)
            near += [other for other in wired if other not in near]
        hint = self.meant(name)
        kind = self.node.type.name.rpartition(".")[0]
        able = [n for n, type in node_types().items() if kind and n.startswith(f"{kind}.") and takes(type, name)]
        return f"{hint}; '{name}' is taken by {', '.join(able)}" if able else hint

    def meant(self, name: str) -> str:
        """A hint for a misspelt argument; a node that is wired there says which ports it may be."""
        given = self.node.entry.arguments
        ref = given[name]
        if not isinstance(ref, Ref) or ref.name not in self.nodes:
            return did_you_mean(name, [*self.ports, *self.declared])
        there = offered(self.nodes[ref.name])
        kind = there.get(ref.port or next(iter(there)))
        open_ports = [port for port in self.ports.values() if port.name not in given]
        fitting = [port for port in open_ports if kind and issubclass(kind, port.type)]
        alone = [port.name for port in fitting if not port.many]
        if len(alone) == 1:
            return f"did you mean '{alone[0]}'?"
        return did_you_mean(name, alone or [port.name for port in fitting] or [*self.ports, *self.declared])

    def add_port(self, port: Port, given: dict[str, Any]) -> None:
        """The wires into a port."""
        if port.name not in given:
            if port.optional or port.many:
                return
            raise self.error(
                f"the port '{port.name}' of '{self.node.name}' ({self.node.type.name}) is not wired",
                hint=f"it takes {with_article(port.type.__name__)}: write {port.name}: $NODE",
            )
        expression = given[port.name]
        listed = expression if isinstance(expression, list) else [expression]
        if isinstance(expression, list) and not port.many:
            raise self.error(f"the port '{port.name}' takes one node, not a list", port.name)
        self.node.wires[port.name] = tuple(self.source(port, item) for item in listed)

    def source(self, port: Port, expression: Any) -> Wire:
        """The output that a reference names, of the port's type."""
        if not isinstance(expression, Ref) or expression.name not in self.nodes:
            what = f"the input '{expression}'" if isinstance(expression, Ref) else repr(expression)
            hint = "a port takes the output of a node, $NAME; parameters take literals and inputs"
            if isinstance(expression, str) and expression.partition(".")[0] in self.nodes:
                hint = f"write ${expression}"
            raise self.error(f"'{port.name}' is a port and can't take {what}", port.name, hint)
        signature = self.nodes[expression.name].type.signature
        there = offered(self.nodes[expression.name])
        output = expression.port or next(iter(signature.outputs))
        try:
            shown = source(self.nodes, expression)
        except UserError as error:
            raise error.located(place_of(self.node, port.name, self.document)) from None
        if output not in there:
            kind = self.nodes[expression.name].type.name
            raise self.error(
                f"'{expression.name}' ({kind}) has no output '{output}'", port.name, did_you_mean(output, there)
            )
        if not issubclass(there[output], port.type):
            fitting = [f"${expression.name}.{name}" for name, t in there.items() if issubclass(t, port.type)]
            raise self.error(
                f"'{port.name}' takes {with_article(port.type.__name__)}, "
                f"'{expression}' is {with_article(there[output].__name__)}",
                port.name,
                f"did you mean {' or '.join(fitting)}?" if fitting else "",
            )
        return shown or Wire(expression.name, output)

    def add_param(self, param: Param, given: dict[str, Any]) -> None:
        """A parameter's validated values."""
        if param.name not in given:
            if param.required:
                raise self.error(
                    f"the parameter '{param.name}' of '{self.node.name}' ({self.node.type.name}) is missing",
                    hint=f"it takes {with_article(param.describe())}",
                )
            self.node.params[param.name] = constant(param.default)
            return
        expression = given[param.name]
        wired = [ref for ref in references(expression) if ref.name in self.nodes]
        if wired:
            raise self.error(
                f"'{param.name}' is a parameter and can't take the node '{wired[0]}'",
                param.name,
                "parameters take literals and inputs, known before anything runs; ports take nodes",
            )
        try:
            self.node.params[param.name] = column(expression, self.document).map(lambda v: self.valid(param, v))
        except UserError as error:
            if not error.hint and isinstance(expression, str) and self.is_input(expression):
                error = UserError(error.message, error.at, f"write ${expression}", error.about)
            raise blamed(error, self.node, self.document, param.name) from None

    def is_input(self, name: str) -> bool:
        """Whether a name is that of an input."""
        return name in {*self.document.inputs, *self.document.setters}

    def valid(self, param: Param, value: Any) -> Any:
        """A value in the parameter's type; files and folders found."""
        folder = self.document.folder_of(self.node.entry, param.name)
        return param.validate(value, lambda text, kind: find_source(text, folder, kind))

    def add_per(self) -> None:
        """``per:`` as a parameter: the values of what it names as a text, to be hashed with the seed."""
        names = self.node.entry.per
        if "per" not in self.node.type.signature.params:
            if names:
                raise self.error(f"'{self.node.type.name}' draws nothing, so it takes no 'per'", "per")
            return
        inputs = [inner for name in names for inner in self.counted(name)]
        expression = {inner: self.node.entry.fixed.get(inner, Ref(inner)) for inner in inputs}
        self.node.params["per"] = column(expression, self.document).map(salt)

    def counted(self, name: str) -> list[str]:
        """The inputs that a name under ``per`` stands for: all that an axis sets, or one; and a point's repeat."""
        axes, setters = self.document.axes, self.document.setters
        known = [*axes, *filter(NAME.fullmatch, setters)]
        if name not in known:
            hint = "no axis sets that input" if self.is_input(name) else did_you_mean(name, known)
            raise self.error(f"'per' names no axis '{name}'", "per", hint)
        axis = axes[name if name in axes else setters[name]]
        own = [inner for inner in axis.inputs if NAME.fullmatch(inner)] if axis.name == name else [name]
        again = repeat_of(axis.name)
        return [*own, again] if again in setters or again in self.node.entry.fixed else own


def takes(type: NodeType, name: str) -> bool:
    """Whether a node has a port or parameter."""
    return name in type.signature.ports or name in type.signature.params


def salt(values: dict[str, Any]) -> str:
    """A canonical text of the coordinates that noise is drawn anew for, equal numbers alike; empty for none.

    That a point is the first of its kind goes without saying.
    """
    import json

    said = {name: value for name, value in values.items() if value or NAME.fullmatch(name)}
    told = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in said.items()}
    return json.dumps(told, sort_keys=True, separators=(",", ":")) if told else ""


def check_schedules(nodes: dict[str, GraphNode]) -> None:
    """Per-step values belong to per-item parameters of nodes in a loop's body."""
    for node in nodes.values():
        for name, values in node.params.items():
            if not any(isinstance(value, Schedule) for value in values.values.flat):
                continue
            if node.type.kind == "loop":
                hint = (
                    "a number that depends on the step belongs to a node that the loop runs in each step, as a guidance"
                )
                raise node.error(f"'{name}' of '{node.name}' holds for the whole loop", name, hint)
            if node.body_of is None:
                raise node.error(f"'{name}' depends on the step, but '{node.name}' is in no loop", name)
            if not node.type.signature.params[name].per_item:
                raise node.error(f"'{name}' of '{node.type.name}' can't change from step to step", name)


def output_wire(graph: Graph, output: Output) -> Wire:
    """What an output stands for: a node's result outside loops. Raises UserError."""
    node = graph.nodes[output.ref.name]
    signature = node.type.signature
    try:
        if shown := source(graph.nodes, output.ref):
            return shown
    except UserError as error:
        raise error.located(output.at) from None
    name = output.ref.port or next(iter(signature.outputs))
    if name in signature.steps or node.body_of is not None:
        loop = node.name if name in signature.steps else node.body_of
        raise UserError(
            f"'{output.name}' changes from step to step and can't be an output",
            output.at,
            f"take the loop's result, ${loop}.{next(iter(graph.nodes[str(loop)].type.signature.outputs))}",
        )
    if name not in signature.outputs:
        hint = did_you_mean(name, signature.outputs)
        raise UserError(f"'{node.name}' ({node.type.name}) has no output '{name}'", output.at, hint)
    if node.is_reference:
        raise UserError(f"'{output.name}' is a model: it has no value to output", output.at)
    return Wire(node.name, name)


__all__ = ["Column", "build"]
