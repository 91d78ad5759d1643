"""The Document: a graph file's content, validated, references parsed, axes made, positions at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError
from flowgen.language.axes import Axis, read_axis
from flowgen.language.draw import restricted
from flowgen.language.entries import NodeEntry, is_cases, located_parse, read_cases, read_node
from flowgen.language.expressions import Ref
from flowgen.language.extend import Files, extended
from flowgen.language.header import Header, validate_header
from flowgen.language.inputs import apply_overrides, check_types, described, texts, typed, values, with_chosen
from flowgen.language.meaning import check_names, check_references, check_used
from flowgen.language.outputs import Curve, Output, implied, read_outputs
from flowgen.language.tree import Tree, read_file, read_tree


@dataclass(frozen=True, slots=True)
class Fed:
    """A node's output that an input of a graph takes."""

    input: str
    ref: Ref
    kind: str
    """the name of the value that the input is declared as"""
    declared: Position | None
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
    """what is wanted, the scores of curves included"""
    numerics: str
    source: str = ""
    """the text as read"""
    whole: dict[str, Axis] = field(default_factory=dict)
    """the axes with all their points, also those that aren't swept this time: ``at`` names them"""
    setters: dict[str, str] = field(default_factory=dict)
    """the axis that sets an input"""

    folders: dict[str, Path] = field(default_factory=dict)
    """by file, as positions name it: what its paths are relative to"""
    curves: list[Curve] = field(default_factory=list)
    """scores to draw against each other"""
    places: dict[tuple[str, str], Position] = field(default_factory=dict)
    """where inputs and defaults stand that the files set, by section and name"""
    types: dict[str, str] = field(default_factory=dict)
    """declared types of inputs"""
    descriptions: dict[str, str] = field(default_factory=dict)
    """what declared inputs are for, in the words of the file"""
    cases: dict[str, dict[str, NodeEntry]] = field(default_factory=dict)
    """by axis of cases and label, the piece of a node"""
    fed: list[Fed] = field(default_factory=list)
    """what nodes feed to the inputs of graphs that are used as nodes"""
    imports: frozenset[Path] = frozenset()
    """Python files whose code the user allows to run"""
    settings: dict[str, Any] = field(default_factory=dict)
    """defaults from outside the files: they yield to the files' own, and hold in the graphs used as nodes too"""

    def folder_of(self, node: NodeEntry, argument: str) -> Path:
        """What a path in a node's argument is relative to: the folder of the file that names it."""
        own = argument in node.arguments
        expression = node.arguments[argument] if own else self.defaults_of(node).get(argument)
        at = node.places.get(argument) if own else self.default_place(node, argument)
        if isinstance(expression, Ref):
            setter = self.setters.get(expression.name)
            at = self.axes[setter].at if setter else self.places.get(("inputs", expression.name))
        return self.folder_at(at)

    def folder_at(self, at: Position | None) -> Path:
        """What a path is relative to that stands at a place."""
        return self.folders.get(at.file, self.folder) if at else self.folder

    def defaults_of(self, node: NodeEntry) -> dict[str, Any]:
        """What fills what a node leaves out."""
        return {**self.settings, **(self.defaults if node.defaults is None else node.defaults)}

    def default_place(self, node: NodeEntry, argument: str) -> Position | None:
        """Where a default of a node stands."""
        if node.defaults is None:
            return self.places.get(("defaults", argument))
        return node.default_places.get(argument)


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


def load_part(path: Path) -> Document:
    """A graph file that is used as a node: inputs may be without a value. Raises UserError."""
    return document(read_file(path), str(path), path.parent, path.read_text(encoding="utf-8"), {}, part=True)


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
    part: bool = False,
) -> Document:
    """Validate a parsed file, with what it extends and what is set from outside.

    part: it is used as a node of another graph, which sets what has no default.
    """
    files = extended(tree, file, folder)
    tree = files.tree
    header = validate_header(tree)
    check_types(header, tree)
    specs, chosen = apply_overrides(header, overrides, sweep or {})
    outside = {*overrides, *(sweep or {})}
    given = outside - set(chosen)
    axes = {name: sweep_axis(name, spec, header, files, folder, name in given) for name, spec in specs.items()}
    setters = axis_of_inputs(axes)
    outputs, curves = read_outputs(tree)
    result = Document(
        file=file,
        folder=folder,
        description=header.description,
        inputs=values(header, axes, setters, overrides, tree, part),
        axes=restricted(with_chosen(axes, chosen), where or {}),
        whole=axes,
        defaults={name: located_parse(value, tree, ("defaults", name)) for name, value in header.defaults.items()},
        nodes={name: read_node(name, header.nodes[name], tree) for name in header.nodes},
        outputs=outputs,
        curves=curves,
        numerics=header.numerics,
        source=with_bases(source, files.bases),
        setters=setters,
        folders=files.folders,
        places=places(tree, header, outside),
        types={name: spec["type"] for name, spec in header.inputs.items() if typed(spec)},
        descriptions={n: str(spec["description"]) for n, spec in header.inputs.items() if described(spec)},
        cases={name: read_cases(name, spec, tree) for name, spec in specs.items() if is_cases(spec)},
    )
    check_names(result, tree)
    check_references(result, tree)
    for curve in curves:
        outputs += implied(curve, outputs)
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
