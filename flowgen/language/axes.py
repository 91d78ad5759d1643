"""The axes of a sweep: each a name and points; a point sets one input, or several (rows)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from flowgen.errors import Position, UserError, did_you_mean
from flowgen.language.expressions import NAME
from flowgen.language.labels import exact_text
from flowgen.language.spacing import geometric, linear

OPTIONS: dict[str, tuple[str, ...]] = {
    "range": (),
    "linspace": (),
    "logspace": (),
    "rows": ("labels",),
    "lines": ("limit",),
    "files": ("limit",),
    "csv": ("columns", "labels", "limit"),
    "jsonl": ("columns", "labels", "limit"),
    "parquet": ("columns", "labels", "limit"),
    "draw": ("n", "seed", "replace"),
    "cases": (),
}
"""What an axis is made from, and what may stand beside it."""
MAX_POINTS = 10_000_000


class Points(Sequence[dict[str, Any]]):
    """The inputs that each point sets, held as columns; a point's dict is made when it is asked for."""

    __slots__ = ("columns",)

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Points: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Points:
        chosen = {name: cells[index] for name, cells in self.columns.items()}
        return Points(chosen) if isinstance(index, slice) else chosen

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for cells in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, cells, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Points({self.columns!r})"


@dataclass(frozen=True, slots=True)
class Axis:
    """A named axis of the sweep."""

    name: str
    labels: tuple[Any, ...]
    """how each point reads in results: the value, or a row's name"""
    points: Sequence[dict[str, Any]]
    """the inputs that each point sets"""
    at: Position | None = None
    maker: str = ""
    """the node that makes the axis; empty for one of the sweep"""
    repeats: Sequence[int] = ()
    """for each point, how often a draw had taken it before; empty where none came again"""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that this axis sets."""
        return tuple(self.points[0])

    def values(self, name: str) -> Sequence[Any]:
        """What the points set one input to."""
        return self.points.columns[name] if isinstance(self.points, Points) else [p[name] for p in self.points]

    def take(self, chosen: Sequence[int], labels: tuple[Any, ...] | None = None) -> Axis:
        """An axis of some of the points."""
        columns = {name: tuple(map(self.values(name).__getitem__, chosen)) for name in self.inputs}
        kept = tuple(map(self.labels.__getitem__, chosen)) if labels is None else labels
        repeats = tuple(map(self.repeats.__getitem__, chosen)) if self.repeats else ()
        return Axis(self.name, kept, Points(columns), self.at, repeats=repeats)


@dataclass(frozen=True, slots=True)
class Context:
    """What reading an axis depends on beside its entry."""

    name: str
    folder: Path
    """files are sought relative to it"""
    at: Position | None = None
    texts: frozenset[str] = frozenset()
    """inputs that are declared as texts: cells of a csv stay texts for them"""


def read_axis(name: str, spec: Any, folder: Path, at: Position | None, texts: frozenset[str] = frozenset()) -> Axis:
    """An axis from its entry under ``sweep``; files are sought relative to ``folder``. Raises UserError."""
    try:
        return made(spec, Context(name, folder, at, texts))
    except UserError as error:
        raise error.located(at) from None


def made(spec: Any, context: Context) -> Axis:
    """An axis from a value, a list or a mapping."""
    if isinstance(spec, dict):
        return from_mapping(spec, context)
    return from_values(spec if isinstance(spec, list) else [spec], context)


ROWS = "points that set several inputs are rows: 'interval: {rows: {full: {lo: 0, hi: 1}, late: {lo: 0.5, hi: 1}}}'"


def from_values(values: Sequence[Any], context: Context) -> Axis:
    """An axis that sets the input of its own name."""
    name = context.name
    if not values:
        raise UserError(f"the axis '{name}' has no values")
    for value in values:
        if isinstance(value, (dict, list)) or value is None:
            raise UserError(f"the axis '{name}' lists numbers and texts, not {kind_of(value)}", hint=ROWS)
    check_distinct(values, name)
    return plain_axis(values, context)


def plain_axis(values: Sequence[Any], context: Context) -> Axis:
    """An axis whose values are known to be good."""
    labels = tuple(values)
    return Axis(context.name, labels, Points({context.name: labels}), context.at)


def check_distinct(labels: Sequence[Any], name: str, hint: str = "") -> None:
    """Labels name points, so each stands once; 1 and 1.0 are one number, and no truth value.

    Among texts all labels read as texts in results, and so 12 and '12' are one.
    """
    kinds = set(map(type, labels))
    told = [exact_text(label) for label in labels] if str in kinds and len(kinds) > 1 else labels
    if len(set(told)) == len(told):
        return
    seen: set[Any] = set()
    for label, text in zip(labels, told, strict=True):
        if (isinstance(text, bool), text) in seen:
            raise UserError(f"the axis '{name}' holds {label!r} twice", hint=hint)
        seen.add((isinstance(text, bool), text))


def from_mapping(spec: dict[str, Any], context: Context) -> Axis:
    """``{range: 8}`` and its kin."""
    kinds = [k for k in spec if k in OPTIONS]
    if not kinds:
        wrong = next(map(str, spec), "{}")
        word, *rest = re.split(r"[\s:=]+", wrong, maxsplit=1)
        told = word in OPTIONS and rest and rest[0] and spec[wrong] is None
        hint = f"a colon and a space are missing: {{{word}: {rest[0]}}}" if told else did_you_mean(wrong, OPTIONS)
        raise UserError(f"the axis '{context.name}' can't be made from '{wrong}'", hint=hint)
    if len(kinds) > 1:
        raise UserError(f"the axis '{context.name}' is made from one thing, not from {' and '.join(kinds)}")
    kind = kinds[0]
    for word in spec:
        if word != kind and word not in OPTIONS[kind]:
            hint = did_you_mean(str(word), OPTIONS[kind])
            raise UserError(f"the axis '{context.name}': '{kind}' takes no '{word}'", hint=hint)
    return maker(kind)(spec, context)


def maker(kind: str) -> Callable[[dict[str, Any], Context], Axis]:
    """What makes an axis of a kind."""
    from flowgen.language import draw, sources, tables

    makers: dict[str, Callable[[dict[str, Any], Context], Axis]] = {
        "range": lambda spec, context: plain_axis(from_range(context.name, spec["range"]), context),
        "linspace": lambda spec, context: from_values(spaced(context.name, "linspace", spec["linspace"]), context),
        "logspace": lambda spec, context: from_values(spaced(context.name, "logspace", spec["logspace"]), context),
        "rows": from_rows,
        "lines": sources.from_lines,
        "files": sources.from_files,
        "csv": tables.from_table,
        "jsonl": tables.from_table,
        "parquet": tables.from_table,
        "draw": draw.drawn,
        "cases": from_cases,
    }
    return makers[kind]


def from_range(name: str, value: Any) -> range:
    """``range: 8`` or ``range: [first, end]``, the end excluded."""
    bounds = value if isinstance(value, list) else [0, value]
    if len(bounds) not in (2, 3) or not all(isinstance(b, int) and not isinstance(b, bool) for b in bounds):
        hint = "range: [first, end, step] is of whole numbers too; linspace: [first, last, how many] of any"
        raise UserError(f"the axis '{name}': range takes a whole number or [first, end]", hint=hint)
    if bounds[2:] == [0]:
        raise UserError(f"the axis '{name}': range takes a step that isn't 0")
    numbers = range(*bounds)
    if not numbers:
        hint = "range: 3 is 0, 1, 2, and range: [2, 4] is 2, 3: the end, which is left out, is the greater one"
        raise UserError(f"the axis '{name}' has no values", hint=hint)
    try:
        if len(numbers) <= MAX_POINTS:
            return numbers
    except OverflowError:
        pass
    raise UserError(f"the axis '{name}' would have more than {MAX_POINTS} points")


def spaced(name: str, kind: str, value: Any) -> list[float]:
    """``linspace: [first, last, n]`` and ``logspace``, ends included."""
    good = isinstance(value, list) and len(value) == 3 and all(is_number(v) for v in value)
    if not good or not isinstance(value[2], int) or not 2 <= value[2] <= MAX_POINTS:
        raise UserError(f"the axis '{name}': {kind} takes [first, last, how many]")
    first, last, count = value
    if kind == "linspace":
        return linear(first, last, count)
    if first <= 0 or last <= 0:
        raise UserError(f"the axis '{name}': logspace takes positive ends")
    return geometric(first, last, count)


def is_number(value: Any) -> bool:
    """Whether a value is a number that floats reach."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def from_rows(spec: dict[str, Any], context: Context) -> Axis:
    """``rows: {label: {input: value, ...}, ...}``, or a list of rows, numbered or named by one of their inputs."""
    name, value, column = context.name, spec["rows"], spec.get("labels")
    rows = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        hint = "or a list of rows: [{input: value}, ...]"
        raise UserError(f"the axis '{name}': rows takes {{label: {{input: value}}, ...}}", hint=hint)
    labels: list[Any] = list(map(str, value)) if isinstance(value, dict) else list(range(len(rows)))
    for word in rows[0]:
        if not isinstance(word, str) or not NAME.fullmatch(word):
            raise UserError(f"the axis '{name}': '{word}' is not the name of an input")
    for label, row in zip(labels, rows, strict=True):
        if set(row) != set(rows[0]):
            odd = sorted(map(str, set(row) ^ set(rows[0])))
            raise UserError(f"the axis '{name}': row '{label}' differs from the first in {', '.join(odd)}")
    check_distinct(labels, name)
    if column is not None:
        if isinstance(value, dict):
            raise UserError(f"the axis '{name}': these rows have labels", hint="leave out 'labels', or list the rows")
        if not isinstance(column, str):
            raise UserError(f"the axis '{name}': 'labels' takes the name of an input")
        if column not in rows[0]:
            hint = did_you_mean(column, rows[0])
            raise UserError(f"the axis '{name}': the rows have no '{column}' to be labels", hint=hint)
        labels = list(from_values([row[column] for row in rows], context).labels)
    return Axis(name, tuple(labels), Points({key: tuple(row[key] for row in rows) for key in rows[0]}), context.at)


def from_cases(spec: dict[str, Any], context: Context) -> Axis:
    """``cases: {label: piece of a node, ...}``: the labels; what they stand for is the node's that takes them over."""
    cases = spec["cases"]
    good = isinstance(cases, dict) and cases and all(isinstance(label, str) for label in cases)
    if not good or not all(isinstance(piece, (str, dict)) for piece in cases.values()):
        hint = "cases: {ddim: {type: scheduler.ddim, eta: 0}, ddpm: {type: scheduler.ddpm}}"
        raise UserError(f"the axis '{context.name}': cases takes {{label: piece of a node, ...}}", hint=hint)
    return plain_axis(list(cases), context)


def whole(spec: dict[str, Any], word: str, context: Context, low: int = 1) -> int | None:
    """An option that is a whole number, or None where it is left out."""
    value = spec.get(word)
    if word not in spec:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise UserError(f"the axis '{context.name}': '{word}' is a whole number of at least {low}, not {value!r}")
    return value


def kind_of(value: Any) -> str:
    """A value's kind in the user's words."""
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a whole number"}
    return "nothing" if value is None else names.get(type(value), "a number")
