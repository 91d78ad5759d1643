"""``outputs``: which results are wanted, and what is made of them. Nothing of this is ever part of a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flowgen.errors import Position, UserError, did_you_mean
from flowgen.language.axes import kind_of
from flowgen.language.expressions import LETTERS, NAME, Ref, parse
from flowgen.language.patterns import Pattern, read_pattern
from flowgen.language.tree import Steps, Tree

ENTRY = ("from", "save", "grid", "time", "fps")
CURVE = ("x", "y", "along")
EXAMPLE = 'image: $image, or image: {from: $image, save: "png/{seed}.png"}, or curve: {x: $clip, y: $fid}'
FPS = 8.0
"""frames per second of an animation that doesn't say"""
MAX_FPS = 1000


@dataclass(frozen=True, slots=True)
class Making:
    """What is made of an output beside its array in the results."""

    save: Pattern | None = None
    """files, one for each point of the axes that the name has"""
    grid: tuple[str, str] | None = None
    """axes along rows and columns of a sheet"""
    time: str | None = None
    """the axis that runs in an animation"""
    fps: float = FPS
    places: dict[str, Position] = field(default_factory=dict)
    """where each option stands"""


@dataclass(frozen=True, slots=True)
class Output:
    """A named result: a node's output."""

    name: str
    ref: Ref
    at: Position | None
    making: Making | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """One score against another, points joined along an axis."""

    name: str
    x: Ref
    y: Ref
    along: str | None
    """the axis along which points are joined; None for a choice by the kinds of the axes"""
    at: Position | None
    places: dict[str, Position] = field(default_factory=dict)


def read_outputs(tree: Tree) -> tuple[list[Output], list[Curve]]:
    """The section ``outputs``, a list or a mapping. Raises UserError at the place of what is wrong."""
    section = tree.data["outputs"]
    if isinstance(section, (list, dict)) and not section:
        raise UserError(
            "'outputs' names no results", tree.at(("outputs",)), "outputs: [NODE], whose results are wanted"
        )
    if isinstance(section, list):
        return [read_listed(entry, tree, n) for n, entry in enumerate(section)], []
    if not isinstance(section, dict):
        raise UserError(f"'outputs' should be a list or a mapping, not {kind_of(section)}", tree.at(("outputs",)))
    outputs: list[Output] = []
    curves: list[Curve] = []
    for name, entry in section.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            hint = LETTERS
            raise UserError(f"'{name}' is not a name", tree.at(("outputs", name), key=True), hint)
        if isinstance(entry, dict) and ("x" in entry or "y" in entry) and "from" not in entry:
            curves.append(read_curve(name, entry, tree))
        else:
            outputs.append(read_entry(name, entry, tree))
    return outputs, curves


def read_listed(entry: Any, tree: Tree, n: int) -> Output:
    """An output from ``name`` or ``name.port``, with or without the dollar."""
    path: Steps = ("outputs", n)
    at = tree.at(path)
    if not isinstance(entry, str):
        hint = f"outputs that say more are a mapping: {EXAMPLE}" if isinstance(entry, dict) else ""
        raise UserError(f"'outputs.{n}' should be a text, not {kind_of(entry)}", at, hint)
    ref = reference(entry if entry.startswith("$") else f"${entry}", entry, at)
    return Output(called(ref), ref, at)


def read_entry(name: str, entry: Any, tree: Tree) -> Output:
    """``NAME: $ref`` or ``NAME: {from: $ref, ...}``."""
    path: Steps = ("outputs", name)
    at = tree.at(path, key=True)
    if isinstance(entry, str):
        return Output(name, reference(entry, entry, tree.at(path)), at)
    if not isinstance(entry, dict):
        raise UserError(f"the output '{name}' should be a reference or a mapping, not {kind_of(entry)}", at, EXAMPLE)
    places = checked_keys(entry, ENTRY, path, tree)
    if "from" not in entry:
        raise UserError(f"the output '{name}' doesn't say from which node", at, EXAMPLE)
    ref = reference(entry["from"], entry["from"], places.get("from"))
    if "grid" in entry and "save" in entry:
        hint = "write two entries from the same node; it is computed once"
        raise UserError("'grid' and 'save' are two outputs", places.get("grid"), hint)
    for word in ("time", "fps"):
        if word in entry and ("save" not in entry or "time" not in entry):
            hint = "an animation is {from: $image, save: walk.gif, time: AXIS, fps: 8}"
            raise UserError(f"'{word}' belongs to an animation", places.get(word), hint)
    making = Making(
        save=pattern(entry["save"], places.get("save")) if "save" in entry else None,
        grid=two_axes(entry["grid"], places.get("grid")) if "grid" in entry else None,
        time=axis_name(entry["time"], "time", places.get("time")) if "time" in entry else None,
        fps=rate(entry.get("fps", FPS), places.get("fps")),
        places=places,
    )
    return Output(name, ref, at, making if len(entry) > 1 else None)


def read_curve(name: str, entry: dict[Any, Any], tree: Tree) -> Curve:
    """``NAME: {x: $score, y: $score}``."""
    path: Steps = ("outputs", name)
    at = tree.at(path, key=True)
    places = checked_keys(entry, CURVE, path, tree)
    for word in ("x", "y"):
        if word not in entry:
            raise UserError(f"the curve '{name}' has no '{word}'", at, "curve: {x: $clip, y: $fid}")
    x, y = (reference(entry[word], entry[word], places.get(word)) for word in ("x", "y"))
    along = axis_name(entry["along"], "along", places.get("along")) if "along" in entry else None
    return Curve(name, x, y, along, at, places)


def checked_keys(entry: dict[Any, Any], known: tuple[str, ...], path: Steps, tree: Tree) -> dict[str, Position]:
    """Where the keys' values stand. Raises UserError for one that isn't known."""
    for word in entry:
        if word not in known:
            raise UserError(f"unknown key '{word}'", tree.at((*path, word), key=True), did_you_mean(str(word), known))
    return {word: place for word in entry if (place := tree.at((*path, word)))}


def implied(curve: Curve, outputs: list[Output]) -> list[Output]:
    """The outputs that a curve needs and nobody named: what it is drawn from, under its own name."""
    found: list[Output] = []
    for word, ref in (("x", curve.x), ("y", curve.y)):
        if any(same(output.ref, ref) for output in [*outputs, *found]):
            continue
        name = called(ref).replace(".", "_")
        if any(output.name == name for output in outputs):
            hint = f"name '{ref}' under outputs too, as in {name}_2: {ref}"
            raise UserError(f"'{name}' names another output", curve.places.get(word, curve.at), hint)
        found.append(Output(name, ref, curve.places.get(word, curve.at)))
    return found


def same(one: Ref, other: Ref) -> bool:
    """Whether two references are written alike."""
    return (one.name, one.port) == (other.name, other.port)


def called(ref: Ref) -> str:
    """The name of an output that nobody named."""
    return ref.name if ref.port is None else f"{ref.name}.{ref.port}"


def reference(value: Any, said: Any, at: Position | None) -> Ref:
    """A reference to a node. Raises UserError."""
    try:
        ref = parse(value) if isinstance(value, str) else None
    except UserError as error:
        raise error.located(at) from None
    if not isinstance(ref, Ref):
        hint = f"write ${said}" if isinstance(said, str) and NAME.fullmatch(said) else "write $NODE or $NODE.output"
        raise UserError(f"'{said}' is not the name of a node", at, hint)
    return ref


def pattern(value: Any, at: Position | None) -> Pattern:
    """A file's name, its errors at their place."""
    try:
        return read_pattern(value)
    except UserError as error:
        raise error.located(at) from None


def two_axes(value: Any, at: Position | None) -> tuple[str, str]:
    """Rows and columns of a sheet."""
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(name, str) for name in value):
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        hint = "grid: [prompt, seed]"
        if isinstance(one, str):
            hint = f"add the other: grid: [{one}, AXIS]; what has one axis alone gets its sheet without 'grid'"
        raise UserError("'grid' takes two axes, rows and columns", at, hint)
    if value[0] == value[1]:
        raise UserError(f"'grid' has '{value[0]}' along rows and columns", at, "grid: [prompt, seed]")
    return value[0], value[1]


def axis_name(value: Any, word: str, at: Position | None) -> str:
    """The name of an axis."""
    if not isinstance(value, str):
        raise UserError(f"'{word}' is the name of an axis", at)
    return value


def rate(value: Any, at: Position | None) -> float:
    """Frames per second."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_FPS:
        raise UserError(f"'fps' is a number of frames per second, above 0 and up to {MAX_FPS}", at)
    return float(value)
