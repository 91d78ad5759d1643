"""What a caller sets: inputs and their types, values and axes given from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowgen.errors import UserError, did_you_mean
from flowgen.language.axes import Axis, check_distinct
from flowgen.language.draw import nearest, place
from flowgen.language.entries import is_cases, undrawn
from flowgen.language.expressions import LETTERS, NAME
from flowgen.language.header import Header
from flowgen.language.tree import Tree

TYPES = {
    "number": "a number",
    "integer": "a whole number",
    "text": "a text",
    "boolean": "true or false",
    "axes": "a list of axis names",
}
"""types of inputs, and how messages call their values"""
ROWS = ("rows", "csv", "jsonl", "parquet")
"""axes whose points may set several inputs"""


def typed(spec: Any) -> bool:
    """Whether an input is written as ``{type: ..., default: ...}``."""
    return isinstance(spec, dict) and ("type" in spec or "default" in spec)


def described(spec: Any) -> bool:
    """Whether an input says what it is for."""
    return typed(spec) and "description" in spec


def is_port(kind: Any) -> bool:
    """Whether an input of this type is fed by a node: its type is the name of a value, ``Latent`` or ``Model``."""
    return isinstance(kind, str) and kind[:1].isupper() and NAME.fullmatch(kind) is not None


def check_types(header: Header, tree: Tree) -> None:
    """The declarations under ``inputs``, defaults included."""
    for name, spec in header.inputs.items():
        if not typed(spec):
            continue
        at = tree.at(("inputs", name))
        hint = f"the types are {', '.join(TYPES)}; an input that a node feeds names its value: Latent, Model, ..."
        if "type" not in spec:
            raise UserError(f"the input '{name}' has no type", at, hint)
        if not is_port(spec["type"]) and (not isinstance(spec["type"], str) or spec["type"] not in TYPES):
            place = tree.at(("inputs", name, "type"))
            raise UserError(f"the input '{name}' can't be of type '{spec['type']}'", place, hint)
        for word in spec:
            if word not in ("type", "default", "description"):
                place = tree.at(("inputs", name, word), key=True)
                raise UserError(f"an input takes no '{word}'", place, "write {type: ..., default: ...}")
        if is_port(spec["type"]):
            if "default" in spec:
                place = tree.at(("inputs", name, "default"), key=True)
                raise UserError(f"the input '{name}' is fed by a node and has no default", place)
        elif "default" in spec and not fits(spec["default"], spec["type"]):
            said = f"the input '{name}' is {TYPES[spec['type']]}, its default is {shown(spec['default'])}"
            raise UserError(said, tree.at(("inputs", name, "default")))


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of an input's type."""
    if kind in ("number", "integer"):
        return isinstance(value, (int, float) if kind == "number" else int) and not isinstance(value, bool)
    if kind == "axes":
        return all(isinstance(name, str) for name in (value if isinstance(value, list) else [value]))
    return isinstance(value, str if kind == "text" else bool)


def shown(value: Any) -> str:
    """A value as messages write it."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def texts(header: Header) -> frozenset[str]:
    """The inputs that are declared as texts."""
    return frozenset(name for name, spec in header.inputs.items() if typed(spec) and spec["type"] == "text")


def apply_overrides(
    header: Header, overrides: Mapping[str, Any], swept: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The sweep with axes from outside and set inputs fixed; axes of cases stay, and what is chosen of them is beside.

    Plain inputs are changed in place.
    """
    sweep = dict(header.sweep)
    chosen: dict[str, list[Any]] = {}
    for name, spec in swept.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UserError(f"--sweep: '{name}' is not a name", hint=LETTERS)
        if name in overrides:
            raise UserError(f"'{name}' is both set and swept", hint="choose --set or --sweep")
        if is_cases(sweep.get(name)) and not isinstance(spec, Mapping):
            chosen[name] = list(spec) if isinstance(spec, (list, tuple)) else [spec]
        else:
            sweep[name] = list(spec) if isinstance(spec, (tuple, range)) else spec
    for name, value in overrides.items():
        if name in sweep:
            check_value(name, value, sweep[name])
            if is_cases(sweep[name]):
                chosen[name] = [value]
            else:
                sweep[name] = [value]
        elif name in header.inputs:
            spec = header.inputs[name]
            header.inputs[name] = {**spec, "default": value} if typed(spec) else value
        elif (parts := re.split("[/.]", name))[1:] and parts[0] in header.nodes:
            node, argument = parts[0], parts[-1]
            said = f"--set sets inputs, and '{name}' is an argument of the node '{node}'"
            raise UserError(said, hint=declaring(argument))
        else:
            users = [node for node, spec in header.nodes.items() if name in spec]
            hint = did_you_mean(name, [*header.inputs, *sweep])
            if users and not hint.startswith("did"):
                hint = f"'{users[0]}' has an argument of that name: {declaring(name)}"
            raise UserError(f"the graph has no input '{name}' to set", hint=hint)
    return sweep, chosen


def declaring(argument: str) -> str:
    """How a node's argument becomes an input."""
    return f"declare one, inputs: {{{argument}: VALUE}}, and give it to the node, {argument}: ${argument}"


def check_value(name: str, value: Any, spec: Any) -> None:
    """Raise UserError unless an axis can be set to a value."""
    whole, _ = undrawn(spec)
    if isinstance(whole, dict) and any(kind in whole for kind in ROWS):
        hint = f"--where {name}=LABEL chooses one of its points"
        raise UserError(f"the axis '{name}' sets several inputs and can't be set to {shown(value)}", hint=hint)
    if isinstance(value, (list, dict)):
        hint = f"--sweep {name}=1,2 gives the axis several, --where keeps some of its points"
        raise UserError(f"--set gives '{name}' one value, not {shown(value)}", hint=hint)


def with_chosen(axes: dict[str, Axis], chosen: Mapping[str, list[Any]]) -> dict[str, Axis]:
    """The axes, those of cases with the points only whose labels are chosen, in that order. Raises UserError."""
    result = dict(axes)
    for name, labels in chosen.items():
        axis = axes[name]
        if not labels:
            raise UserError(f"the axis '{name}' has no values")
        places = []
        for label in labels:
            n = place(axis, label)
            if n is None:
                raise UserError(f"the axis '{name}' has no case {shown(label)}", hint=nearest(axis, label))
            places.append(n)
        check_distinct([axis.labels[n] for n in places], name)
        result[name] = axis.take(places)
    return result


def values(
    header: Header,
    axes: dict[str, Axis],
    setters: dict[str, str],
    set_: Mapping[str, Any],
    tree: Tree,
    part: bool = False,
) -> dict[str, Any]:
    """The inputs that no axis sets, checked; axes' values are checked against their inputs' types too.

    part: the graph is used as a node, which gives a value to what has no default.
    """
    for name in set_:
        if (axis := setters.get(name, name)) != name:
            hint = f"--where {axis}=LABEL chooses one of its points"
            raise UserError(f"the axis '{axis}' sets '{name}', so it can't be set alone", hint=hint)
    found = {}
    for name, spec in header.inputs.items():
        at = tree.at(("inputs", name))
        if name in setters:
            if typed(spec) and is_port(spec["type"]):
                raise UserError(f"the input '{name}' is fed by a node and can't be swept", axes[setters[name]].at)
            if typed(spec):
                check_axis(name, spec["type"], axes[setters[name]])
            continue
        if part and typed(spec) and "default" not in spec:
            continue
        if typed(spec) and is_port(spec["type"]):
            hint = "its nodes can run as a part of another graph: {type: ./FILE.yaml, " + name + ": $NODE}"
            raise UserError(f"the input '{name}' ({spec['type']}) is fed by a node", at, hint)
        if typed(spec) and "default" not in spec:
            hint = f"--set {name}=VALUE, or give it a default"
            raise UserError(f"the input '{name}' ({spec['type']}) has no value", at, hint)
        found[name] = spec["default"] if typed(spec) else spec
        if typed(spec) and not fits(found[name], spec["type"]):
            hint = f"quote it twice: --set '{name}=\"{found[name]}\"'" if spec["type"] == "text" else ""
            raise UserError(f"the input '{name}' is {TYPES[spec['type']]}, not {shown(found[name])}", at, hint)
    return found


def check_axis(name: str, kind: str, axis: Axis) -> None:
    """An axis gives an input values of its type."""
    for value in axis.values(name):
        if not fits(value, kind):
            said = f"the input '{name}' is {TYPES[kind]}, the axis '{axis.name}' sets it to {shown(value)}"
            raise UserError(said, axis.at)
