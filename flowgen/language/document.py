"""The Document: a graph file's content, validated, references parsed, axes made, positions at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flowgen.errors import Position, UserError, did_you_mean
from flowgen.language.axes import Axis, kind_of, read_axis
from flowgen.language.expressions import NAME, Ref, Template, parse, references
from flowgen.language.tree import Steps, Tree, read_file, read_tree

RESERVED = frozenset({"type", "over", "per", "missing", "store", "checkpoint", "trajectory", "description"})
"""Words beside a node's own ports and parameters; no node type may use them."""
LATER = ("missing", "checkpoint", "trajectory")


class Header(BaseModel):
    """The top level of a graph file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    flowgen: Literal[1]
    """version of the language"""
    description: str = ""
    inputs: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, Any] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)
    nodes: dict[str, dict[str, Any]]
    outputs: list[str]
    numerics: Literal["fast", "strict"] = "fast"


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node as written: its type, its arguments as expressions, and where each stands."""

    name: str
    type: str
    arguments: dict[str, Any]
    """ports and parameters of the node type: expressions"""
    over: tuple[str, ...]
    per: tuple[str, ...]
    store: str | None
    """"never", "always" or None for the engine's choice"""
    at: Position | None
    """the node's name"""
    places: dict[str, Position]
    """where each argument stands, reserved words included"""


@dataclass(frozen=True, slots=True)
class Output:
    """A named result: a node's output."""

    name: str
    ref: Ref
    at: Position | None


@dataclass(slots=True)
class Document:
    """A validated graph file."""

    file: str
    folder: Path
    """paths in the file are relative to it"""
    description: str
    inputs: dict[str, Any]
    """defaults of the inputs that no axis sets"""
    axes: dict[str, Axis]
    defaults: dict[str, Any]
    nodes: dict[str, NodeEntry]
    outputs: list[Output]
    numerics: str
    source: str = ""
    """the text as read"""
    setters: dict[str, str] = field(default_factory=dict)
    """the axis that sets an input"""


def load_document(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Document:
    """Read a graph file. ``overrides`` sets inputs; one that is swept becomes an axis of length 1. Raises UserError."""
    path = Path(path)
    tree = read_file(path)
    return document(tree, str(path), path.parent, path.read_text(encoding="utf-8"), overrides or {})


def document_from_text(text: str, file: str = "<text>", folder: Path | None = None) -> Document:
    """A Document from YAML text. Raises UserError."""
    return document(read_tree(text, file), file, folder or Path(), text, {})


def document(tree: Tree, file: str, folder: Path, source: str, overrides: Mapping[str, Any]) -> Document:
    """Validate a parsed file."""
    header = validate_header(tree)
    sweep = apply_overrides(header, overrides)
    axes = {name: read_axis(name, spec, folder, tree.at(("sweep", name), key=True)) for name, spec in sweep.items()}
    setters = axis_of_inputs(axes, header)
    nodes = {name: read_node(name, header.nodes[name], tree) for name in header.nodes}
    result = Document(
        file=file,
        folder=folder,
        description=header.description,
        inputs={name: input_default(spec) for name, spec in header.inputs.items() if name not in setters},
        axes=axes,
        defaults={name: located_parse(value, tree, ("defaults", name)) for name, value in header.defaults.items()},
        nodes=nodes,
        outputs=[read_output(text, tree, n) for n, text in enumerate(header.outputs)],
        numerics=header.numerics,
        source=source,
        setters=setters,
    )
    check_names(result, tree)
    check_references(result, tree)
    return result


def validate_header(tree: Tree) -> Header:
    """The top level, or the first thing wrong with it, at its place."""
    if not isinstance(tree.data, dict):
        raise UserError("a graph file is a mapping", tree.at(()), "start with 'flowgen: 1' and 'nodes:'")
    if isinstance(tree.data.get("outputs"), dict):
        at = tree.at(("outputs",), key=True)
        raise UserError("outputs as a mapping are not available yet", at, "write a list of node names")
    for word in ("extends",):
        if word in tree.data:
            raise UserError(f"'{word}' is not available yet", tree.at((word,), key=True))
    try:
        return Header.model_validate(tree.data)
    except ValidationError as error:
        raise explain(error, tree) from None


def explain(error: ValidationError, tree: Tree) -> UserError:
    """pydantic's first finding in flowgen's words."""
    finding = error.errors()[0]
    path: Steps = tuple(finding["loc"])
    name = str(path[-1])
    if finding["type"] == "extra_forbidden":
        return UserError(f"unknown key '{name}'", tree.at(path, key=True), did_you_mean(name, Header.model_fields))
    if finding["type"] == "missing":
        return UserError(f"'{name}' is missing", tree.at(path[:-1]), "a graph file needs flowgen, nodes and outputs")
    if name == "flowgen":
        return UserError("this version of flowgen reads language version 1", tree.at(path), "write 'flowgen: 1'")
    expected = finding["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    expected = {"dictionary": "a mapping", "list": "a list", "string": "a text"}.get(expected, expected)
    found = kind_of(finding["input"])
    return UserError(f"'{'.'.join(map(str, path))}' should be {expected}, not {found}", tree.at(path))


def apply_overrides(header: Header, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The sweep with set inputs fixed; plain inputs are changed in place."""
    sweep = dict(header.sweep)
    for name, value in overrides.items():
        if name in sweep:
            sweep[name] = [value]
        elif name in header.inputs:
            spec = header.inputs[name]
            header.inputs[name] = {**spec, "default": value} if isinstance(spec, dict) else value
        else:
            hint = did_you_mean(name, [*header.inputs, *sweep])
            raise UserError(f"the graph has no input '{name}' to set", hint=hint)
    return sweep


def axis_of_inputs(axes: dict[str, Axis], header: Header) -> dict[str, str]:
    """Which axis sets which input; one input has one axis."""
    setters: dict[str, str] = {}
    for axis in axes.values():
        for name in axis.inputs:
            if name in setters:
                raise UserError(f"the axes '{setters[name]}' and '{axis.name}' both set '{name}'", axis.at)
            setters[name] = axis.name
    return setters


def input_default(spec: Any) -> Any:
    """An input's default: the value itself, or ``default`` of ``{type, default}``."""
    return spec.get("default") if isinstance(spec, dict) and "type" in spec else spec


def located_parse(value: Any, tree: Tree, path: Steps) -> Any:
    """An expression, its errors at their place."""
    try:
        return parse(value)
    except UserError as error:
        raise error.located(tree.at(path)) from None


def read_node(name: str, spec: dict[str, Any], tree: Tree) -> NodeEntry:
    """One entry under ``nodes``."""
    path: Steps = ("nodes", name)
    at = tree.at(path, key=True)
    kind = spec.get("type")
    if not isinstance(kind, str):
        raise UserError(f"the node '{name}' has no type", at, "write {type: ..., ...}; 'flowgen nodes' lists them")
    if kind.startswith(("$", "std:")) or kind.endswith((".yaml", ".yml")) or ":" in kind:
        raise UserError(f"the type '{kind}' is not available yet", tree.at((*path, "type")), "see 'flowgen nodes'")
    for word in LATER:
        if word in spec:
            raise UserError(f"'{word}' is not available yet", tree.at((*path, word), key=True))
    for word in spec:
        if not isinstance(word, str):
            raise UserError(f"'{word}' is not a name", tree.at((*path, word), key=True))
    if spec.get("store") not in (None, "never", "always"):
        raise UserError("'store' is never or always", tree.at((*path, "store")))
    arguments = {k: located_parse(v, tree, (*path, k)) for k, v in spec.items() if k not in RESERVED}
    places = {k: p for k in spec if (p := tree.at((*path, k)))}
    over, per = (names(spec.get(word, []), word, tree.at((*path, word))) for word in ("over", "per"))
    return NodeEntry(name, kind, arguments, over, per, spec.get("store"), at, places)


def names(value: Any, word: str, at: Position | None) -> tuple[str, ...]:
    """The axis names of ``over`` or ``per``."""
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in listed):
        raise UserError(f"'{word}' lists axis names", at)
    return tuple(dict.fromkeys(listed))


def read_output(text: str, tree: Tree, n: int) -> Output:
    """An output from ``name`` or ``name.port``, with or without the dollar."""
    at = tree.at(("outputs", n))
    ref = located_parse(text if text.startswith("$") else f"${text}", tree, ("outputs", n))
    if not isinstance(ref, Ref):
        raise UserError(f"'{text}' is not the name of a node", at)
    return Output(ref.name if ref.port is None else f"{ref.name}.{ref.port}", ref, at)


def check_names(document: Document, tree: Tree) -> None:
    """Nodes, inputs and axes share one name space, so that ``$name`` has one meaning."""
    taken: dict[str, str] = {}
    for section, found in (("inputs", document.inputs), ("nodes", document.nodes)):
        for name in found:
            at = tree.at((section, name), key=True)
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise UserError(f"'{name}' is not a name", at, "letters, digits and _, not starting with a digit")
            if name in taken or (section == "nodes" and name in document.setters):
                raise UserError(f"'{name}' names an input and a node", at, "rename one of them")
            taken[name] = section
    for axis in document.axes.values():
        if axis.name in document.nodes:
            raise UserError(f"'{axis.name}' names an axis and a node", axis.at, "rename one of them")


def check_references(document: Document, tree: Tree) -> None:
    """Every reference names an input or a node; placeholders in texts name inputs."""
    inputs = {*document.inputs, *document.setters}
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

    for node in document.nodes.values():
        for name, expression in node.arguments.items():
            check(expression, node.places.get(name, node.at))
    for name, expression in document.defaults.items():
        check(expression, tree.at(("defaults", name)))
    for output in document.outputs:
        if output.ref.name not in document.nodes:
            hint = did_you_mean(output.ref.name, document.nodes)
            raise UserError(f"the output '{output.name}' is not a node", output.at, hint)
