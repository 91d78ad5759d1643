"""Axes from text files and file names; data files are read within bounds, so that a hostile one ends in a message."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError
from flowgen.language.axes import MAX_POINTS, Axis, Context, plain_axis, whole
from flowgen.language.wildcards import matching

MAX_LINE = 1_000_000
"""characters"""


def real(path: Path) -> Path:
    """Where a path leads through links; itself where they lead in a circle, so that nothing is there. Raises UserError
    for what no path can be.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise UserError(f"{str(path)!r} is no path: {error}") from None


def text_lines(path: Path, newline: str | None = None) -> Iterator[str]:
    """The lines of a UTF-8 file, with or without a byte order mark. Raises UserError for what isn't one."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"can't read {path}: not a file")
        with path.open(encoding="utf-8-sig", newline=newline) as handle:
            number = 0
            while line := handle.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise UserError(f"{path}, line {number}: longer than {MAX_LINE} characters")
                if "\0" in line:
                    raise UserError(f"can't read {path}: not a text file (line {number} holds a zero byte)")
                yield line
    except (OSError, ValueError) as error:
        raise UserError(f"can't read {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None


def located_file(spec: dict[str, Any], kind: str, context: Context) -> Path:
    """The file that an axis is read from."""
    text = spec[kind]
    if not isinstance(text, str) or not text:
        raise UserError(f"the axis '{context.name}': '{kind}' takes the name of a file")
    return context.folder / text


def from_lines(spec: dict[str, Any], context: Context) -> Axis:
    """``lines: file``: the lines that are not blank."""
    path, limit = located_file(spec, "lines", context), whole(spec, "limit", context)
    lines = ((n, text) for n, line in enumerate(text_lines(path), 1) if (text := line.strip()))
    found = dict[str, int]()
    for n, text in itertools.islice(lines, min(limit or MAX_POINTS + 1, MAX_POINTS + 1)):
        if (first := found.setdefault(text, n)) != n:
            said = f"the axis '{context.name}' holds {text!r} twice"
            raise UserError(said, Position(str(path), n, 1), f"line {first} has it too: leave one of them out")
    check_count(len(found), str(path))
    if not found:
        raise UserError(f"{path} has no lines that aren't blank")
    return plain_axis(list(found), context)


def from_files(spec: dict[str, Any], context: Context) -> Axis:
    """``files: glob``: paths as texts, relative to the folder, sorted; what begins with a dot isn't matched by *."""
    pattern, limit = spec["files"], whole(spec, "limit", context)
    if not isinstance(pattern, str) or not pattern:
        raise UserError(f"the axis '{context.name}': 'files' takes a pattern like \"photos/*.png\"")
    try:
        found = matching(pattern, context.folder)
    except UserError as error:
        raise UserError(f"the axis '{context.name}': {error.message}", hint=error.hint) from None
    except ValueError as error:
        raise UserError(f"the axis '{context.name}': '{pattern!r}' is no pattern ({error})") from None
    if not found:
        raise UserError(
            f"the axis '{context.name}': no file matches '{pattern}'",
            hint=f"looked in {context.folder.resolve()}; ** stands for folders of any depth",
        )
    check_count(len(found), f"'{pattern}'")
    for text in found:
        if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
            raise UserError(
                f"the axis '{context.name}': the name {text!r} is not valid Unicode", hint="rename the file"
            )
    return plain_axis(sorted(found)[:limit], context)


def check_count(count: int, what: str) -> None:
    """An axis has a bound."""
    if count > MAX_POINTS:
        raise UserError(f"{what} gives more than {MAX_POINTS} points", hint="limit: N takes the first N")
