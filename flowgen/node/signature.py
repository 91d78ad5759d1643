"""A node's contract, read from the signature of its code."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Container
from dataclasses import dataclass, is_dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from flowgen.errors import UserError
from flowgen.language.entries import RESERVED
from flowgen.language.expressions import NEAR, Schedule
from flowgen.node.kinds import FEEDBACK, STREAM, Carry, Loop, Named, Phase, Reduce, Source, Uses
from flowgen.values.model import Reference
from flowgen.values.per_item import PerItem
from flowgen.values.record import Record

MISSING: Any = inspect.Parameter.empty
Find = Callable[[str, type[Source]], Source]
"""how a file or folder that a parameter names is found"""


@dataclass(frozen=True, slots=True)
class Port:
    """An argument that nodes feed."""

    name: str
    type: type[Any]
    optional: bool = False
    many: bool = False
    """takes a list of nodes"""
    feedback: bool = False
    stream: bool = False
    parts: tuple[str, ...] = ()
    """parts of a model that are used"""


@dataclass(frozen=True, slots=True)
class Param:
    """An argument that literals and inputs fill."""

    name: str
    annotation: Any
    per_item: bool
    """may differ within a batch"""
    default: Any = MISSING

    @property
    def required(self) -> bool:
        """Whether the graph must give it."""
        return self.default is MISSING

    def validate(self, value: Any, find: Find | None = None) -> Any:
        """The value in its declared type, ``4`` as 4.0 where a float is due; files and folders found by ``find``.

        Raises UserError.
        """
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"'{self.name}' should be a finite number, not {value}")
        if isinstance(value, Schedule):
            check_bounds(self.name, value)
            pieces = tuple(replace(piece, value=self.validate(piece.value, find)) for piece in value.pieces)
            return Schedule(pieces, self.validate(value.otherwise, find))
        if get_origin(self.annotation) is tuple and isinstance(value, list):
            value = tuple(value)
        try:
            return _adapter(self.annotation).validate_python(value, context={"find": find} if find else None)
        except ValidationError as error:
            raise UserError(f"'{self.name}' {complaint(error)} {value!r}") from None

    def describe(self) -> str:
        """The type in a user's words."""
        return type_name(self.annotation)


def check_bounds(name: str, schedule: Schedule) -> None:
    """The stretches of a per-step parameter. Raises UserError for one in which no step lies."""
    for piece in schedule.pieces:
        bounds = [piece.low, piece.high]
        if not all(isinstance(b, (int, float)) and not isinstance(b, bool) and abs(b) < math.inf for b in bounds):
            raise UserError(f"'{piece.by}' of '{name}' takes two numbers, not {bounds}")
        if piece.by == "during" and not -NEAR <= piece.low <= piece.high <= 1 + NEAR:
            hint = "from 0, the first step, to 1, the end"
            raise UserError(
                f"'during' of '{name}' takes fractions of the loop's steps in order, not {bounds}", hint=hint
            )
        if piece.low > piece.high:
            raise UserError(f"'{piece.by}' of '{name}' runs backwards: {bounds}", hint="the lower bound comes first")


def complaint(error: ValidationError) -> str:
    """What is wrong with a value: a misspelt or missing entry of a mapping in it, or its kind."""
    entries = {"unexpected_keyword_argument": "takes no entry", "missing": "needs the entry"}
    for kind, words in entries.items():
        for one in error.errors():
            if one["type"] == kind:
                return f"{words} '{one['loc'][-1]}':"
    said = error.errors()[0]["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"should be {article(said)}, not"


@dataclass(frozen=True, slots=True)
class Signature:
    """All that the engine knows of a node's arguments and outputs."""

    ports: dict[str, Port]
    params: dict[str, Param]
    outputs: dict[str, type[Any]]
    """results by name, the main one first"""
    steps: dict[str, type[Any]]
    """per-step outputs of a loop"""
    phases: tuple[Phase, ...] = ()
    carries: tuple[str, ...] = ()

    def used_phases(self, wires: Container[str]) -> tuple[Phase, ...]:
        """A loop's phases up to the last of which a port is wired."""
        last = max((n for n, phase in enumerate(self.phases) if any(port in wires for port in phase.takes)), default=0)
        return self.phases[: last + 1]


def signature_of(code: Any) -> Signature:
    """Read a function, Loop or Reduce class. Raises TypeError for code that breaks the contract."""
    if isinstance(code, type) and issubclass(code, (Loop, Reduce)):
        hints = {k: v for k, v in typing.get_type_hints(code, include_extras=True).items() if not is_class_var(v)}
        hints.pop("advance", None)
        arguments = {name: (hint, getattr(code, name, MISSING)) for name, hint in hints.items()}
    else:
        hints = typing.get_type_hints(code, include_extras=True)
        hints.pop("return", None)
        defaults = inspect.signature(code).parameters
        arguments = {name: (hint, defaults[name].default) for name, hint in hints.items()}
    ports: dict[str, Port] = {}
    params: dict[str, Param] = {}
    carries: list[str] = []
    for name, (hint, default) in arguments.items():
        public = name.removesuffix("_")
        if public in RESERVED and public != "per":
            raise TypeError(f"{code.__qualname__}: '{public}' is a reserved word")
        if get_origin(hint) is Carry or hint is Carry:
            carries.append(name)
        elif port := as_port(public, hint):
            ports[public] = port
        else:
            params[public] = as_param(public, hint, default)
    outputs, steps = outputs_of(code)
    return Signature(ports, params, outputs, steps, phases_of(code, ports, steps), tuple(carries))


def as_port(name: str, hint: Any) -> Port | None:
    """A port, if the annotation is one of a value."""
    marks: tuple[Any, ...] = ()
    optional = many = False
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            marks += get_args(hint)[1:]
            hint = get_args(hint)[0]
        elif origin in (Union, types.UnionType) and type(None) in get_args(hint):
            optional = True
            (hint,) = (a for a in get_args(hint) if a is not type(None))
        elif origin is list and as_port(name, get_args(hint)[0]):
            many = True
            hint = get_args(hint)[0]
        else:
            break
    if not (isinstance(hint, type) and issubclass(hint, (Record, Reference))):
        return None
    parts = next((mark.parts for mark in marks if isinstance(mark, Uses)), ())
    return Port(name, hint, optional, many, FEEDBACK in marks, STREAM in marks, parts)


def as_param(name: str, hint: Any, default: Any) -> Param:
    """A per-item or static parameter."""
    if get_origin(hint) is PerItem:
        return Param(name, get_args(hint)[0], True, default)
    return Param(name, hint, False, default)


def outputs_of(code: Any) -> tuple[dict[str, type[Any]], dict[str, type[Any]]]:
    """Results and per-step outputs from the return annotations."""
    if isinstance(code, type) and issubclass(code, Loop):
        return returned(code.finish, "sample"), returned(code.emit, "x") | later_emits(code)
    if isinstance(code, type) and issubclass(code, Reduce):
        return returned(code.finish, "value"), {}
    return returned(code, "value"), {}


def later_emits(code: type[Loop]) -> dict[str, type[Any]]:
    """Per-step outputs of the phases after the first."""
    found: dict[str, type[Any]] = {}
    for phase in code.phases[1:]:
        found |= returned(getattr(code, f"emit_{phase.name}"), phase.emits[0])
    return found


def returned(code: Callable[..., Any], name: str) -> dict[str, type[Any]]:
    """Outputs by name: a NamedTuple's fields, or one output called ``name``. With a carry, the first of the pair."""
    hint = typing.get_type_hints(code).get("return")
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return dict(typing.get_type_hints(hint))
    if not (isinstance(hint, type) and issubclass(hint, (Record, Reference))):
        raise TypeError(f"{code.__qualname__} must say which value it returns: '-> Image', for example")
    return {name: hint}


def phases_of(code: Any, ports: dict[str, Port], steps: dict[str, type[Any]]) -> tuple[Phase, ...]:
    """A loop's phases; one with everything where it declares none."""
    if not (isinstance(code, type) and issubclass(code, Loop)):
        return ()
    return code.phases or (Phase("", tuple(steps), tuple(p.name for p in ports.values() if p.feedback)),)


def is_class_var(hint: Any) -> bool:
    """Whether an annotation is a ClassVar."""
    return hint is ClassVar or get_origin(hint) is ClassVar


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=None if is_dataclass(annotation) else ConfigDict(strict=True))


def type_name(annotation: Any) -> str:
    """A parameter's type in a user's words."""
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", Source: "file or folder"}
    names |= {Named: "file, folder or name of a model"}
    if annotation in names:
        return names[annotation]
    origin = get_origin(annotation)
    if origin is Annotated:
        return type_name(get_args(annotation)[0])
    if origin is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if origin in (Union, types.UnionType):
        return " | ".join("nothing" if a is type(None) else type_name(a) for a in get_args(annotation))
    if origin in (list, tuple):
        return "list of " + type_name(get_args(annotation)[0]) + "s"
    if origin is dict:
        return "mapping"
    return getattr(annotation, "__name__", str(annotation))


def article(text: str) -> str:
    """pydantic's ``integer`` as "a whole number"."""
    names = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "boolean": "true or false",
        "list": "a list",
        "tuple": "a list",
    }
    return names.get(text, text)
