"""What a value in a graph file can be: literals, references, texts with references, per-step schedules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowgen.errors import UserError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LETTERS = "the letters a to z and A to Z, digits and _, no digit first"
"""what names may have, as messages say it"""
REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)(?:\.([A-Za-z_][A-Za-z0-9_]*))?")
PLACEHOLDER = re.compile(r"\$\$|\$\{([^}]*)\}|\$")
RANGES = ("during", "step", "t", "sigma")
"""How a piece of a schedule says when it holds: fractions of the steps, step indices, timesteps, noise levels."""
NEAR = 1e-9
"""fractions of a loop's steps that differ by less are one: how a bound was computed begins nothing a step late"""


@dataclass(frozen=True, slots=True)
class Ref:
    """``$name`` or ``$name.port``: an input's value or a node's output."""

    name: str
    port: str | None = None

    def __str__(self) -> str:
        return f"${self.name}" + (f".{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with ``${name}`` in it; parts are literal texts and references to inputs."""

    parts: tuple[str | Ref, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of a schedule: while lo <= position < hi, ``value`` holds."""

    by: str
    """one of RANGES"""
    low: Any
    high: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Schedule:
    """A number that depends on the step of the loop around it; the first piece that holds wins."""

    pieces: tuple[Piece, ...]
    otherwise: Any


def parse(value: Any) -> Any:
    """Turn plain data into an expression. Raises UserError without a place; the caller knows it."""
    if isinstance(value, str):
        return parse_text(value)
    if isinstance(value, dict):
        return parse_schedule([value]) if any(k in value for k in RANGES) else {k: parse(v) for k, v in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(v, dict) and any(k in v for k in RANGES) for v in value):
            return parse_schedule(value)
        return [parse(v) for v in value]
    return value


def parse_text(text: str) -> Any:
    """``$name`` is a reference; ``${name}`` inside a text a placeholder; ``$$`` a dollar."""
    if "$" not in text:
        return text
    if match := REFERENCE.fullmatch(text):
        return Ref(match[1], match[2])
    parts: list[str | Ref] = []
    end = 0
    for match in PLACEHOLDER.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match[0] == "$$":
            parts.append("$")
        elif match[1] is not None and NAME.fullmatch(match[1]):
            parts.append(Ref(match[1]))
        elif match[1] is not None:
            raise UserError(
                f"'${{{match[1]}}}' is not a placeholder",
                hint=f"inside ${{...}} stands the name of an input: {LETTERS}",
            )
        elif re.fullmatch(r"\$\w+(\.\w+)?", text):
            raise UserError(f"'{text}' is not a reference", hint=f"names have {LETTERS}; $$ stands for a dollar")
        else:
            raise UserError(
                f"a lone '$' in '{text}'", hint="write $name for a reference, ${name} inside a text, $$ for a dollar"
            )
    parts.append(text[end:])
    joined = tuple(merge_texts(parts))
    return joined[0] if len(joined) == 1 and isinstance(joined[0], str) else Template(joined)


def merge_texts(parts: list[str | Ref]) -> Iterator[str | Ref]:
    """Neighbouring literal texts as one, empty ones gone."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        text = ""
        yield part
    if text:
        yield text


def parse_schedule(pieces: list[dict[str, Any]]) -> Schedule:
    """A per-step number from its pieces; ``else`` belongs to the last one."""
    parsed = []
    otherwise = None
    for n, piece in enumerate(pieces):
        by = [k for k in RANGES if k in piece]
        unknown = set(piece) - {*RANGES, "value", "else"}
        if len(by) != 1 or unknown or "value" not in piece:
            raise UserError(
                "not a per-step value",
                hint="a piece is {during: [from, to], value: ..., else: ...}; instead of during: step, t or sigma",
            )
        bounds = piece[by[0]]
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise UserError(f"'{by[0]}' takes two bounds, [from, to]")
        if "else" in piece:
            if n + 1 < len(pieces):
                raise UserError("'else' belongs to the last piece")
            otherwise = parse(piece["else"])
        parsed.append(Piece(by[0], parse(bounds[0]), parse(bounds[1]), parse(piece["value"])))
    if otherwise is None:
        raise UserError("a per-step value needs 'else': what holds at the other steps")
    return Schedule(tuple(parsed), otherwise)


def references(expression: Any) -> Iterator[Ref]:
    """All references in an expression, in order."""
    if isinstance(expression, Ref):
        yield expression
    elif isinstance(expression, Template):
        yield from (part for part in expression.parts if isinstance(part, Ref))
    elif isinstance(expression, Schedule):
        for piece in expression.pieces:
            yield from references([piece.low, piece.high, piece.value])
        yield from references(expression.otherwise)
    elif isinstance(expression, (list, tuple)):
        for part in expression:
            yield from references(part)
    elif isinstance(expression, dict):
        for part in expression.values():
            yield from references(part)


def substitute(expression: Any, replace: Callable[[Ref], Any]) -> Any:
    """An expression with every reference replaced; inside texts, literal values are written out."""
    if isinstance(expression, Ref):
        return replace(expression)
    if isinstance(expression, Template):
        parts: list[str | Ref] = []
        for part in expression.parts:
            new = replace(part) if isinstance(part, Ref) else part
            parts += new.parts if isinstance(new, Template) else [new if isinstance(new, Ref) else plain(new)]
        joined = tuple(merge_texts(parts))
        if all(isinstance(part, str) for part in joined):
            return "".join(map(str, joined))
        return Template(joined)
    if isinstance(expression, Schedule):
        pieces = [substitute((p.low, p.high, p.value), replace) for p in expression.pieces]
        made = tuple(Piece(p.by, *new) for p, new in zip(expression.pieces, pieces, strict=True))
        return Schedule(made, substitute(expression.otherwise, replace))
    if isinstance(expression, (list, tuple)):
        return [substitute(part, replace) for part in expression]
    if isinstance(expression, dict):
        return {name: substitute(part, replace) for name, part in expression.items()}
    return expression


def evaluate(expression: Any, inputs: Mapping[str, Any]) -> Any:
    """An expression's value for given inputs; schedules keep their shape, with their numbers filled in."""
    if isinstance(expression, Ref):
        return inputs[expression.name]
    if isinstance(expression, Template):
        return "".join(p if isinstance(p, str) else plain(inputs[p.name]) for p in expression.parts)
    if isinstance(expression, Schedule):
        pieces = tuple(
            Piece(p.by, evaluate(p.low, inputs), evaluate(p.high, inputs), evaluate(p.value, inputs))
            for p in expression.pieces
        )
        return Schedule(pieces, evaluate(expression.otherwise, inputs))
    if isinstance(expression, (list, tuple)):
        return [evaluate(part, inputs) for part in expression]
    if isinstance(expression, dict):
        return {name: evaluate(part, inputs) for name, part in expression.items()}
    return expression


def plain(value: Any) -> str:
    """How an input reads inside a text: ``1.0`` as 1.0, true as true."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def at_step(value: Any, step: int, length: int, timestep: float = 0.0, sigma: float = 0.0) -> Any:
    """A schedule's number at a step of a loop of ``length`` steps; any other value is itself.

    ``during`` counts in fractions of the steps, ``step`` in indices; the upper bound is excluded.
    """
    if not isinstance(value, Schedule):
        return value
    where = {"during": step / length, "step": step, "t": timestep, "sigma": sigma}
    for piece in value.pieces:
        slack = NEAR if piece.by == "during" else 0
        if piece.low - slack <= where[piece.by] < piece.high - slack:
            return piece.value
    return value.otherwise
