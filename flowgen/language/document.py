"""The Document: a graph file's content, validated, references parsed, axes made, positions at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError
from flowgen.language.axes import Axis, read_axis
from flowgen.language.draw import restricted
from flowgen.language.expressions import Ref, parse
from flowgen.language.extend import Files, extended
from flowgen.language.header import Header, validate_header
from flowgen.language.inputs import apply_overrides, check_types, texts, values
from flowgen.language.marks import Marks, read_marks
from flowgen.language.meaning import check_names, check_references, check_used
from flowgen.language.outputs import Curve, Output, read_outputs
from flowgen.language.tree import Steps, Tree, read_file, read_tree

RESERVED = frozenset({"type", "over", "per", "missing", "store", "checkpoint", "trajectory", "description"})
"""Words beside a node's own ports and parameters; no node type may use them."""
LATER = ("missing",)


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
    checkpoint: Marks | None = None
    """states of a loop that are stored, for runs that go on from there"""
    trajectory: Marks | None = None
    """states of a loop that are an output, along the axis ``step``"""

    @property
    def marks(self) -> bool:
        """Whether any states of a loop are stored."""
        return self.checkpoint is not None or self.trajectory is not None


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
    """what is wanted, the scores of curves included"""
    numerics: str
    source: str = ""
    """the text as read"""
    setters: dict[str, str] = field(default_factory=dict)
    """the axis that sets an input"""

    folders: dict[str, Path] = field(default_factory=dict)
    """by file, as positions name it: what its paths are relative to"""
    curves: list[Curve] = field(default_factory=list)
    """scores to draw against each other"""
    places: dict[tuple[str, str], Position] = field(default_factory=dict)
    """where inputs and defaults stand that the files set, by section and name"""

    def folder_of(self, node: NodeEntry, argument: str) -> Path:
        """What a path in a node's argument is relative to: the folder of the file that names it."""
        own = argument in node.arguments
        expression = node.arguments[argument] if own else self.defaults.get(argument)
        at = node.places.get(argument) if own else self.places.get(("defaults", argument))
        if isinstance(expression, Ref):
            setter = self.setters.get(expression.name)
            at = self.axes[setter].at if setter else self.places.get(("inputs", expression.name))
        return self.folders.get(at.file, self.folder) if at else self.folder


def load_document(
    path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    sweep: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Document:
    """Read a graph file. Raises UserError.

    overrides: values of inputs; one that is swept becomes an axis of length 1. sweep: axes to add or replace, as they
    are written in a file. where: by axis, the points to keep: a label, a list of them, or a text like ``a|b`` or
    ``0..7``.
    """
    path = Path(path)
    tree = read_file(path)
    source = path.read_text(encoding="utf-8")
    return document(tree, str(path), path.parent, source, overrides or {}, sweep or {}, where or {})


def document_from_text(text: str, file: str = "<text>", folder: Path | None = None) -> Document:
    """A Document from YAML text. Raises UserError."""
    return document(read_tree(text, file), file, folder or Path(), text, {})


def document(
    tree: Tree,
    file: str,
    folder: Path,
    source: str,
    overrides: Mapping[str, Any],
    sweep: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Document:
    """Validate a parsed file, with what it extends and what is set from outside."""
    files = extended(tree, file, folder)
    tree = files.tree
    header = validate_header(tree)
    check_types(header, tree)
    specs = apply_overrides(header, overrides, sweep or {})
    outside = {*overrides, *(sweep or {})}
    axes = {name: sweep_axis(name, spec, header, files, folder, name in outside) for name, spec in specs.items()}
    setters = axis_of_inputs(axes)
    outputs, curves = read_outputs(tree)
    result = Document(
        file=file,
        folder=folder,
        description=header.description,
        inputs=values(header, axes, setters, overrides, tree),
        axes=restricted(axes, where or {}),
        defaults={name: located_parse(value, tree, ("defaults", name)) for name, value in header.defaults.items()},
        nodes={name: read_node(name, header.nodes[name], tree) for name in header.nodes},
        outputs=outputs,
        curves=curves,
        numerics=header.numerics,
        source=with_bases(source, files.bases),
        setters=setters,
        folders=files.folders,
        places=places(tree, header, outside),
    )
    check_names(result, tree)
    check_references(result, tree)
    check_used(result, [name for name in sweep or {} if name not in {*header.inputs, *header.sweep}])
    return result


def sweep_axis(name: str, spec: Any, header: Header, files: Files, folder: Path, outside: bool) -> Axis:
    """An axis of the sweep; its files are sought where the file stands that names them."""
    at = None if outside else files.tree.at(("sweep", name), key=True)
    found = files.folders.get(at.file, folder) if at else folder
    try:
        return read_axis(name, spec, found, at, texts(header))
    except UserError as error:
        raise type(error)(f"--sweep: {error.message}", error.at, error.hint) if outside else error from None


def with_bases(source: str, bases: dict[str, str]) -> str:
    """A file's text, followed by what it extends as comments, so that the record is whole."""
    for file, text in bases.items():
        lines = "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())
        source = f"{source.rstrip()}\n\n# ---- extends {file}:\n{lines}"
    return source


def places(tree: Tree, header: Header, outside: set[str]) -> dict[tuple[str, str], Position]:
    """Where inputs and defaults stand; what is set from outside stands in no file."""
    named = [*(("inputs", n) for n in header.inputs if n not in outside), *(("defaults", n) for n in header.defaults)]
    return {path: at for path in named if (at := tree.at(path))}


def axis_of_inputs(axes: dict[str, Axis]) -> dict[str, str]:
    """Which axis sets which input; one input has one axis."""
    setters: dict[str, str] = {}
    for axis in axes.values():
        for name in axis.inputs:
            if name in setters:
                raise UserError(f"the axes '{setters[name]}' and '{axis.name}' both set '{name}'", axis.at)
            setters[name] = axis.name
    return setters


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
    marks = {w: read_marks(w, spec[w], tree.at((*path, w))) for w in ("checkpoint", "trajectory") if w in spec}
    return NodeEntry(name, kind, arguments, over, per, spec.get("store"), at, places, **marks)


def names(value: Any, word: str, at: Position | None) -> tuple[str, ...]:
    """The axis names of ``over`` or ``per``."""
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in listed):
        raise UserError(f"'{word}' lists axis names", at)
    return tuple(dict.fromkeys(listed))
