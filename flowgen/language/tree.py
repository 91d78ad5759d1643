"""YAML 1.2 text to plain data, with the position of every key and value.

Built from the parser's events, not by a YAML library's constructor: no tags, no anchors, no surprises. Depth and size
are bounded, so a hostile file ends in a message.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from flowgen.errors import Position, UserError

Steps = tuple[Hashable, ...]
"""The way to a value: keys and list indices from the root."""

MAX_DEPTH = 24
MAX_VALUES = 200_000
MAX_BYTES = 8_000_000
MAX_DIGITS = 300
"""of a whole number: any has a float beside it"""

NULL = re.compile(r"~|null|Null|NULL|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(slots=True)
class Tree:
    """Plain data and where each part of it stands."""

    data: Any
    keys: dict[Steps, Position] = field(default_factory=dict)
    """where a mapping's key stands, by path"""
    values: dict[Steps, Position] = field(default_factory=dict)
    """where a value starts, by path"""

    def at(self, path: Steps, key: bool = False) -> Position | None:
        """The position of a path, or of the nearest enclosing one that is written in the file."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        while path:
            if found := first.get(path) or second.get(path):
                return found
            path = path[:-1]
        return self.values.get(())


def scalar(text: str) -> Any:
    """A plain (unquoted) scalar by the YAML 1.2 core schema: ``1e-4`` is a number, ``no`` is text. Raises UserError."""
    if NULL.fullmatch(text):
        return None
    if BOOL.fullmatch(text):
        return text.lower() == "true"
    if INT.fullmatch(text):
        return whole_number(text)
    if FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def whole_number(text: str) -> int:
    """What a whole number's text stands for. Raises UserError for one that is too large."""
    if len(text) <= MAX_DIGITS + 2:
        number = int(text, 0 if text[:2] in ("0x", "0o") else 10)
        if abs(number) < 10**MAX_DIGITS:
            return number
    raise UserError(f"a whole number has at most {MAX_DIGITS} digits", hint="in quotes it is a text")


def read_tree(text: str, file: str) -> Tree:
    """Parse YAML text; ``file`` is named in positions. Raises UserError."""
    if len(text) > MAX_BYTES:
        raise too_large(file)
    builder = Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
        raise UserError(f"not valid YAML: {error.problem or error.context}", at, yaml_hint(text, at)) from None
    except (YAMLError, ValueError, OverflowError) as error:
        raise UserError(f"not valid YAML: {str(error).splitlines()[0]}", Position(file, 1, 1)) from None
    builder.tree.values.setdefault((), Position(file, 1, 1))
    return builder.tree


def too_large(file: str) -> UserError:
    """A graph is written by hand; what is large belongs into tables beside it."""
    return UserError(f"the file is larger than {MAX_BYTES // 10**6} MB", Position(file, 1, 1))


def yaml_hint(text: str, at: Position) -> str:
    """The usual mend for a syntax error on this line."""
    lines = text.splitlines()
    line = lines[min(at.line, len(lines)) - 1] if lines else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    return (
        "a text that holds ', ' or ': ' or starts with a special character needs quotes; check brackets and indentation"
    )


class Builder:
    """Grows plain data from events; iterative, so that depth can't exhaust the stack."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.tree = Tree(None)
        self.stack: list[tuple[Any, Steps]] = []
        self.pending: list[Hashable | None] = []
        self.count = self.documents = 0

    def take(self, event: Any) -> None:
        """Use one event of the parser."""
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise UserError("a graph file holds one YAML document", self.position(event), "remove the '---'")
        elif isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            hint = "write the value out, or use inputs, defaults and ${name}"
            raise UserError("anchors and aliases are not part of the language", self.position(event), hint)
        elif isinstance(event, ScalarEvent):
            self.add(self.scalar_value(event), event)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            if event.tag is not None:
                raise UserError(f"the tag '{event.tag}' is not allowed: a graph is data", self.position(event))
            self.open({} if isinstance(event, MappingStartEvent) else [], event)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self.stack.pop()
            self.pending.pop()

    def position(self, event: Any) -> Position:
        """Where an event starts."""
        return Position(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def scalar_value(self, event: Any) -> Any:
        """The typed value of a scalar event."""
        if event.tag not in (None, "!"):
            raise UserError(f"the tag '{event.tag}' is not allowed: a graph is data", self.position(event))
        if event.style is not None or event.tag is not None:
            return event.value
        try:
            return scalar(event.value)
        except UserError as error:
            raise error.located(self.position(event)) from None

    def open(self, container: Any, event: Any) -> None:
        """Start a mapping or list."""
        path = self.add(container, event)
        if len(self.stack) >= MAX_DEPTH:
            raise UserError(f"nested deeper than {MAX_DEPTH} levels", self.position(event))
        self.stack.append((container, path))
        self.pending.append(None)

    def add(self, value: Any, event: Any) -> Steps:
        """Put a value where it belongs; returns its path."""
        self.count += 1
        at = self.position(event)
        if self.count > MAX_VALUES:
            raise UserError(f"more than {MAX_VALUES} values", at)
        if not self.stack:
            self.tree.data = value
            self.tree.values[()] = at
            return ()
        container, path = self.stack[-1]
        if isinstance(container, list):
            container.append(value)
            path = (*path, len(container) - 1)
        elif self.pending[-1] is None:
            self.key(container, path, value, at)
            return path
        else:
            name = self.pending[-1]
            self.pending[-1] = None
            container[name] = value
            path = (*path, name)
        self.tree.values[path] = at
        return path

    def key(self, container: dict[Any, Any], path: Steps, value: Any, at: Position) -> None:
        """Note a mapping's key until its value comes."""
        if isinstance(value, (dict, list)) or value is None:
            raise UserError("a key must be a name", at, "a text that starts with '{' or '[' needs quotes")
        if value == "<<":
            raise UserError("merge keys '<<' are not part of the language", at, "use defaults")
        if value in container:
            first = self.tree.keys[(*path, value)]
            raise UserError(f"duplicate key '{value}'", at, f"it stands first at line {first.line}")
        self.tree.keys[(*path, value)] = at
        self.pending[-1] = value


def read_file(path: Path) -> Tree:
    """Parse a YAML file. Raises UserError if it can't be read."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"can't read {path}: not a file")
        if path.stat().st_size > MAX_BYTES:
            raise too_large(str(path))
        return read_tree(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
