"""flowgen.toml: where it is sought, what may stand in it, and where in it each setting stands."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowgen.config.kinds import KINDS, TRUST, Kind, place, understood
from flowgen.config.toml import parsed
from flowgen.errors import Position, UserError, did_you_mean
from flowgen.language.sources import real

NAME = "flowgen.toml"


@dataclass(frozen=True, slots=True)
class File:
    """A flowgen.toml that was read."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    """by setting; paths are relative to the file's folder"""
    places: dict[str, Position] = field(default_factory=dict)
    """where each setting stands"""


def user_file() -> Path:
    """The user's own file: ``$XDG_CONFIG_HOME/flowgen/flowgen.toml``, by default in ``~/.config``."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "flowgen" / NAME


def project_file(folders: list[Path]) -> Path | None:
    """The nearest file at or above the first of some folders that has one; the user's own is not a project's."""
    for folder in folders:
        for parent in (here := folder.resolve(), *here.parents):
            if (found := parent / NAME).is_file() and found != user_file().resolve():
                return found
    return None


def read_user() -> File | None:
    """The user's own file. Raises UserError."""
    return read(user_file(), [*KINDS.values(), TRUST]) if user_file().is_file() else None


def read_project(path: Path, trusted: tuple[Path, ...]) -> File:
    """A project's file. Raises UserError.

    It may have come with somebody's graph, so that in a folder that the user doesn't trust it can neither allow code,
    nor limit a store (which deletes from it), nor name a cluster (which runs code here), nor name places outside its
    own folder.
    """
    file = read(path, list(KINDS.values()))
    if any(path.is_relative_to(folder) for folder in trusted):
        return file
    for name, value in file.values.items():
        outside = isinstance(value, Path) and not real(value).is_relative_to(path.parent)
        outside = outside or (KINDS[name].read is place and not isinstance(value, Path))
        if KINDS[name].trusted or outside:
            what = f"name '{value}', outside its folder," if outside else f"set '{name}'"
            raise UserError(
                f"this file may not {what} before you trust its folder",
                file.places[name],
                f'if you do, write trust = ["{path.parent}"] in {user_file()}',
            )
    return file


def read(path: Path, allowed: list[Kind]) -> File:
    """A file's settings, checked. Raises UserError with file:line:column."""
    data, text = parsed(path)
    kinds = {kind.name: kind for kind in allowed}
    found = File(path)
    for name, value in data.items():
        at = find_key(text, name, path)
        if name not in kinds:
            hint = f"it belongs in your own file, {user_file()}" if name == TRUST.name else did_you_mean(name, kinds)
            raise UserError(f"unknown setting '{name}'", at, hint)
        found.values[name] = understood(kinds[name], value, path.parent, at)
        found.places[name] = at
    return found


def find_key(text: str, name: str, path: Path) -> Position:
    """Where a top-level key or table stands; tomllib keeps no positions. Line 1 if its name is written with escapes."""
    pattern = re.compile(rf"\s*\[*\s*([\"']?){re.escape(name)}\1\s*[=.\]]")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return Position(str(path), number, line.index(name) + 1)
    return Position(str(path), 1, 1)
