"""Names of files with a place for each axis' label: ``png/{solver}/{seed:03}.png``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from string import Formatter
from typing import Any

from flowgen.errors import UserError
from flowgen.language.expressions import NAME
from flowgen.language.labels import exact_text, safe_name, tidy

COMPONENT = 240
"""bytes of a component of a path; file systems take 255, and a file is written under a longer name first"""
RESERVED = ("images", "curves", "results.zarr")
"""what a run's folder has of its own"""
OWN = "a run's folder has that of its own; write another folder, as in png/{seed}.png"
UNDER = "files go under the run's folder: write a relative path without '..', as in png/{seed}.png"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an axis' label goes in a name."""

    axis: str
    form: str
    """as Python formats numbers: ``03``, ``.2f``; empty for the label as results show it"""

    def text(self, label: Any) -> str:
        """The label as a part of a file's name. Raises UserError where the format doesn't suit it."""
        plain = tidy(label) if isinstance(label, float) else label
        try:
            return safe_name(format(label, self.form) if self.form else exact_text(plain))
        except (ValueError, TypeError):
            raise UserError(f"the format '{self.form}' doesn't suit '{label}' of the axis '{self.axis}'") from None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name with places for labels."""

    text: str
    parts: tuple[str | Place, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that the name tells apart."""
        return tuple(dict.fromkeys(part.axis for part in self.parts if isinstance(part, Place)))

    @property
    def kind(self) -> str:
        """The extension, lower case, with its dot."""
        return PurePosixPath(self.text).suffix.lower()

    def fill(self, labels: Mapping[str, Any]) -> str:
        """The name at a point."""
        return "".join(part if isinstance(part, str) else part.text(labels[part.axis]) for part in self.parts)


def read_pattern(text: Any) -> Pattern:
    """A pattern from its text. Raises UserError without a place; the caller knows it."""
    if not isinstance(text, str) or not text:
        raise UserError("'save' is the name of a file", hint="save: png/{seed}.png")
    if "${" in text:
        raise UserError(f"'{text}': places for labels have no dollar here", hint="save: png/{seed}.png")
    parts: list[str | Place] = []
    try:
        for literal, name, form, conversion in Formatter().parse(text):
            if literal:
                parts.append(literal)
            if name is None:
                continue
            if not NAME.fullmatch(name) or conversion or "{" in (form or ""):
                raise UserError(f"'{{{name}}}' is no place for a label", hint="inside {...} stands the name of an axis")
            check_form(form or "")
            parts.append(Place(name, form or ""))
    except ValueError:
        raise UserError(f"'{text}' has a brace without its other half", hint="{{ and }} stand for braces") from None
    found = Pattern(text, tuple(parts))
    check_path("".join(part if isinstance(part, str) else "label" for part in parts))
    return found


def check_form(form: str) -> None:
    """A format that fills no more than a file's name may have: widths are what Python allocates. Raises UserError."""
    for digits in re.findall(r"[0-9]+", form):
        if len(digits) > len(str(COMPONENT)) or int(digits) > COMPONENT:
            raise UserError(f"the format '{form}' is wider than a file's name", hint=f"{COMPONENT} characters at most")


def check_path(path: str) -> None:
    """A path that stays in the run's folder and out of what is there. Raises UserError."""
    if "\\" in path or any(not c.isprintable() for c in path):
        raise UserError(f"'{path}' holds a character that file names can't", hint="folders are parted by '/'")
    parts = path.split("/")
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path) or ".." in parts:
        raise UserError(f"'{path}' leaves the run's folder", hint=UNDER)
    for part in parts:
        if not part.strip(" .") or part.startswith(".") or part != part.rstrip(" ."):
            raise UserError(f"'{part}' in '{path}' is no name of a file or folder", hint=UNDER)
    if parts[0].casefold() in RESERVED:
        raise UserError(f"'{path}' is in '{parts[0]}'", hint=OWN)


def check_length(path: str) -> None:
    """Names that file systems take. Raises UserError."""
    longest = max(path.split("/"), key=lambda part: len(part.encode()))
    if (count := len(longest.encode())) > COMPONENT:
        hint = f"{COMPONENT} bytes at most; name fewer axes in one part, or put some into folders: {{a}}/{{b}}.png"
        raise UserError(f"a file's name would have {count} bytes: '{longest[:60]}…'", hint=hint)
