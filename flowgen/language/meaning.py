"""Whether every name in a document means one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowgen.errors import Position, UserError, did_you_mean
from flowgen.language.expressions import LETTERS, NAME, Ref, Template, references
from flowgen.language.tree import Tree

if TYPE_CHECKING:
    from flowgen.language.document import Document


def check_names(document: Document, tree: Tree) -> None:
    """Nodes, inputs and axes share one name space, so that ``$name`` has one meaning."""
    taken: dict[str, str] = {}
    for section, found in (("inputs", document.inputs), ("nodes", document.nodes)):
        for name in found:
            at = tree.at((section, name), key=True)
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise UserError(f"'{name}' is not a name", at, LETTERS)
            if name in taken or (section == "nodes" and name in document.setters):
                raise UserError(f"'{name}' names an input and a node", at, "rename one of them")
            taken[name] = section
    for axis in document.axes.values():
        if axis.name in document.nodes:
            raise UserError(f"'{axis.name}' names an axis and a node", axis.at, "rename one of them")


def check_references(document: Document, tree: Tree) -> None:
    """Every reference names an input or a node; placeholders in texts name inputs."""
    inputs = {*document.inputs, *document.setters, *document.types}
    known = {*inputs, *document.nodes}

    def check(expression: Any, at: Position | None) -> None:
        for ref in references(expression):
            if ref.name not in known:
                raise UserError(f"'{ref}' refers to nothing", at, did_you_mean(ref.name, known))
            if ref.name in inputs and ref.port:
                raise UserError(f"'{ref.name}' is an input and has no port '{ref.port}'", at)
        check_templates(expression, at)

    def check_templates(expression: Any, at: Position | None) -> None:
        if isinstance(expression, Template):
            for part in expression.parts:
                if isinstance(part, Ref) and part.name not in inputs:
                    hint = "a text is made from inputs; a node's output goes to a port"
                    raise UserError(f"'${{{part.name}}}' is a node, not an input", at, hint)
        elif isinstance(expression, (list, dict)):
            for part in expression.values() if isinstance(expression, dict) else expression:
                check_templates(part, at)

    for node in [*document.nodes.values(), *(piece for cases in document.cases.values() for piece in cases.values())]:
        for name, expression in node.arguments.items():
            check(expression, node.places.get(name, node.at))
    for name, expression in document.defaults.items():
        check(expression, tree.at(("defaults", name)))
    for output in document.outputs:
        check_result(output.ref, document, output.at)
    for curve in document.curves:
        for word, ref in (("x", curve.x), ("y", curve.y)):
            check_result(ref, document, curve.places.get(word, curve.at))


def check_result(ref: Ref, document: Document, at: Position | None) -> None:
    """What ``outputs`` refers to is a node."""
    if ref.name in document.nodes:
        return
    if ref.name in document.setters:
        hint = "every result has the labels of its axes, and the report draws scores against them"
        raise UserError(f"'{ref}' is set by the axis '{document.setters[ref.name]}', and outputs are nodes", at, hint)
    if ref.name in {*document.inputs, *document.types}:
        raise UserError(f"'{ref}' is an input, and outputs are nodes", at)
    raise UserError(f"'{ref}' refers to nothing", at, did_you_mean(ref.name, document.nodes))


def used_names(document: Document) -> set[str]:
    """The inputs and axes that nodes take up: in arguments, defaults, ``per``, ``over: $name`` and ``type: $axis``."""
    pieces = [*document.nodes.values(), *(piece for cases in document.cases.values() for piece in cases.values())]
    expressions = [*document.defaults.values(), *(list(piece.arguments.values()) for piece in pieces)]
    found = {ref.name for ref in references(expressions)}
    for piece in pieces:
        found |= {name.removeprefix("$") for name in piece.per}
        found |= {name[1:] for name in (piece.type, *piece.over) if name.startswith("$")}
    return found


def check_used(document: Document, added: Sequence[str]) -> None:
    """An axis that is added from outside varies something: a misspelt name would vary nothing."""
    used = used_names(document)
    for name in added:
        if name not in used and not used & set(document.axes[name].inputs):
            known = {*document.inputs, *document.setters, *document.axes} - set(added)
            raise UserError(f"--sweep: nothing in the graph uses '{name}'", hint=did_you_mean(name, known))


def check_axes(document: Document) -> None:
    """Every axis varies something: one that nothing uses would only multiply the points."""
    used = used_names(document)
    for name, axis in document.axes.items():
        if axis.maker or name in used or used & set(axis.inputs):
            continue
        sets = "" if axis.inputs == (name,) else f", which sets {', '.join(axis.inputs)}"
        hint = f"take one of its inputs up in a node, as ${axis.inputs[0]}, or leave the axis out"
        raise UserError(f"nothing in the graph uses the axis '{name}'{sets}", axis.at, hint)


def unused(document: Document) -> list[str]:
    """Warnings, each with its place: inputs that no node takes up. Columns of tables may go unused."""
    used = used_names(document)
    idle = [name for name in {**document.types, **document.inputs} if name not in {*used, *document.setters}]
    return [
        str(UserError(f"nothing in the graph uses the input '{n}'", document.places.get(("inputs", n)))) for n in idle
    ]
