"""The entries under ``nodes``, and the pieces of them that cases stand for, as written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from flowgen.errors import Position, UserError
from flowgen.language.expressions import parse
from flowgen.language.marks import Marks, read_marks
from flowgen.language.tree import Steps, Tree

RESERVED = frozenset({"type", "over", "per", "missing", "store", "checkpoint", "trajectory", "description"})
"""Words beside a node's own ports and parameters; no node type may use them."""


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
    missing: str | None = None
    """"skip": a reduction pools what there is where items failed"""
    defaults: dict[str, Any] | None = None
    """what fills what it leaves out; None for the document's: a graph used as a node has its own"""
    default_places: dict[str, Position] = field(default_factory=dict)
    """where its own defaults stand"""
    fixed: dict[str, Any] = field(default_factory=dict)
    """inputs that are set otherwise for this node: expressions"""
    pieces: dict[str, NodeEntry] = field(default_factory=dict)
    """where its type is an axis of cases, or an input that names one: the cases, by label"""

    @property
    def marks(self) -> bool:
        """Whether any states of a loop are stored."""
        return self.checkpoint is not None or self.trajectory is not None


def located_parse(value: Any, tree: Tree, path: Steps) -> Any:
    """An expression, its errors at their place."""
    try:
        return parse(value)
    except UserError as error:
        raise error.located(tree.at(path)) from None


def read_node(name: str, spec: dict[str, Any], tree: Tree, where: Steps = ()) -> NodeEntry:
    """One entry under ``nodes``, or a case of one."""
    path: Steps = where or ("nodes", name)
    at = tree.at(path, key=True)
    kind = spec.get("type")
    if not isinstance(kind, str):
        raise UserError(f"the node '{name}' has no type", at, "write {type: ..., ...}; 'flowgen nodes' lists them")
    for word in spec:
        if not isinstance(word, str):
            raise UserError(f"'{word}' is not a name", tree.at((*path, word), key=True))
    if spec.get("store") not in (None, "never", "always"):
        raise UserError("'store' is never or always", tree.at((*path, "store")))
    if spec.get("missing") not in (None, "fail", "skip"):
        raise UserError("'missing' is fail or skip", tree.at((*path, "missing")))
    arguments = {k: located_parse(v, tree, (*path, k)) for k, v in spec.items() if k not in RESERVED}
    places = {k: p for k in spec if (p := tree.at((*path, k)))}
    over, per = (names(spec.get(word, []), word, tree.at((*path, word))) for word in ("over", "per"))
    skip = "skip" if spec.get("missing") == "skip" else None
    return NodeEntry(
        name,
        kind,
        arguments,
        over,
        per,
        spec.get("store"),
        at,
        places,
        checkpoint=read_marks("checkpoint", spec, places),
        trajectory=read_marks("trajectory", spec, places),
        missing=skip,
    )


def with_case(entry: NodeEntry, case: NodeEntry) -> NodeEntry:
    """A node whose type is an axis of cases, with the piece of one of them: what both say, the case says."""
    said = {word: getattr(case, word) for word in RESERVED - {"type", "description"} if word in case.places}
    return replace(
        entry,
        type=case.type,
        arguments={**entry.arguments, **case.arguments},
        places={**entry.places, **case.places},
        pieces={},
        **said,
    )


def names(value: Any, word: str, at: Position | None) -> tuple[str, ...]:
    """The names of axes under ``over``; under ``per`` also of inputs."""
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in listed):
        raise UserError(f"'{word}' lists axis names", at)
    return tuple(dict.fromkeys(listed))


def undrawn(spec: Any) -> tuple[Any, Steps]:
    """The axis that an axis draws its points from, itself where it draws none, and the way there."""
    path: Steps = ()
    while isinstance(spec, dict) and "draw" in spec:
        spec, path = spec["draw"], (*path, "draw")
    return spec, path


def is_cases(spec: Any) -> bool:
    """Whether an axis is made of alternatives of a node."""
    whole, _ = undrawn(spec)
    return isinstance(whole, dict) and "cases" in whole


def read_cases(axis: str, spec: Any, tree: Tree) -> dict[str, NodeEntry]:
    """The pieces of nodes that the points of an axis of cases stand for."""
    whole, path = undrawn(spec)
    found = {}
    for label, piece in whole["cases"].items():
        place = ("sweep", axis, *path, "cases", label)
        found[label] = read_node(label, {"type": piece} if isinstance(piece, str) else piece, tree, place)
        if found[label].type.startswith("$"):
            raise UserError(f"the case '{label}' has no type of its own", tree.at(place))
    return found
