"""The axes of a sweep: each a name and a list of points; a point sets one input, or several (rows)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError, did_you_mean

KINDS = ("range", "linspace", "logspace", "lines", "rows")
LATER = ("files", "csv", "jsonl", "parquet", "draw", "cases")


@dataclass(frozen=True, slots=True)
class Axis:
    """A named axis of the sweep."""

    name: str
    labels: tuple[Any, ...]
    """how each point reads in results: the value, or a row's name"""
    points: tuple[dict[str, Any], ...]
    """the inputs that each point sets"""
    at: Position | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that this axis sets."""
        return tuple(self.points[0])


def read_axis(name: str, spec: Any, folder: Path, at: Position | None) -> Axis:
    """An axis from its entry under ``sweep``; files are sought relative to ``folder``."""
    try:
        if isinstance(spec, dict):
            return from_mapping(name, spec, folder, at)
        values = spec if isinstance(spec, list) else [spec]
        return from_values(name, values, at)
    except UserError as error:
        raise error.located(at) from None


def from_values(name: str, values: list[Any], at: Position | None) -> Axis:
    """An axis that sets the input of its own name."""
    if not values:
        raise UserError(f"the axis '{name}' has no values")
    for value in values:
        if isinstance(value, (dict, list)) or value is None:
            raise UserError(f"the axis '{name}' lists numbers and texts, not {kind_of(value)}", hint="see rows")
    seen: set[Any] = set()
    for value in values:
        if (type(value), value) in seen:
            raise UserError(f"the axis '{name}' holds {value!r} twice")
        seen.add((type(value), value))
    return Axis(name, tuple(values), tuple({name: v} for v in values), at)


def from_mapping(name: str, spec: dict[str, Any], folder: Path, at: Position | None) -> Axis:
    """``{range: 8}`` and its kin."""
    kinds = [k for k in spec if k in KINDS]
    later = [k for k in spec if k in LATER]
    if later:
        raise UserError(f"an axis from '{later[0]}' is not available yet", hint=f"available: {', '.join(KINDS)}")
    if len(kinds) != 1 or len(spec) != 1:
        wrong = next((str(k) for k in spec if k not in KINDS), name)
        raise UserError(f"the axis '{name}' can't be made from '{wrong}'", hint=did_you_mean(wrong, KINDS))
    kind, value = kinds[0], spec[kinds[0]]
    if kind == "rows":
        return from_rows(name, value, at)
    if kind == "lines":
        return from_values(name, read_lines(folder / str(value)), at)
    if kind == "range":
        return from_values(name, from_range(name, value), at)
    return from_values(name, spaced(name, kind, value), at)


def from_range(name: str, value: Any) -> list[int]:
    """``range: 8`` or ``range: [first, end]``, the end excluded."""
    bounds = value if isinstance(value, list) else [0, value]
    if len(bounds) not in (2, 3) or not all(isinstance(b, int) and not isinstance(b, bool) for b in bounds):
        raise UserError(f"the axis '{name}': range takes a whole number or [first, end]")
    numbers = list(range(*bounds))
    if len(numbers) > 10_000_000:
        raise UserError(f"the axis '{name}' would have {len(numbers)} points")
    return numbers


def spaced(name: str, kind: str, value: Any) -> list[float]:
    """``linspace: [first, last, n]`` and ``logspace``, ends included."""
    good = isinstance(value, list) and len(value) == 3 and all(isinstance(v, (int, float)) for v in value)
    if not good or not isinstance(value[2], int) or value[2] < 2:
        raise UserError(f"the axis '{name}': {kind} takes [first, last, how many]")
    first, last, count = value
    if kind == "linspace":
        return [first + (last - first) * n / (count - 1) for n in range(count)]
    if first <= 0 or last <= 0:
        raise UserError(f"the axis '{name}': logspace takes positive ends")
    return [float(first * (last / first) ** (n / (count - 1))) for n in range(count)]


def from_rows(name: str, value: Any, at: Position | None) -> Axis:
    """``rows: {label: {input: value, ...}, ...}``: named points that set several inputs."""
    if not isinstance(value, dict) or not value or not all(isinstance(row, dict) and row for row in value.values()):
        raise UserError(f"the axis '{name}': rows takes {{label: {{input: value}}, ...}}")
    rows = list(value.values())
    for label, row in value.items():
        if set(row) != set(rows[0]):
            odd = sorted(map(str, set(row) ^ set(rows[0])))
            raise UserError(f"the axis '{name}': row '{label}' differs from the first in {', '.join(odd)}")
    return Axis(name, tuple(map(str, value)), tuple(dict(row) for row in rows), at)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    return [line for line in lines if line]


def kind_of(value: Any) -> str:
    """A value's kind in the user's words."""
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a whole number"}
    return "nothing" if value is None else names.get(type(value), "a number")
