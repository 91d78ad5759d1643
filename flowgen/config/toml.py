"""TOML of settings: small and flat, which is looked at before the text is parsed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError

MAX_CHARACTERS = 100_000
MAX_DEPTH = 8
"""of brackets within each other, and parts of a key"""
MAX_DIGITS = 300
"""of a number"""
ASIDE = re.compile(
    r"""
    \"{3}(?:\\?.)*?(?:\"{3}|\Z) | '{3}.*?(?:'{3}|\Z)
    | \"(?:\\?[^\n])*?(?:\"|(?=\n)|\Z) | '[^'\n]*'?
    | \#[^\n]*
    """,
    re.DOTALL | re.VERBOSE,
)
"""texts and comments; one without an end goes as far as it may"""
DEEP_KEY = re.compile(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{MAX_DEPTH}}}")
LONG_NUMBER = re.compile(rf"(?<![\w.])[-+]?[0-9][\w.]{{{MAX_DIGITS}}}")


def parsed(path: Path) -> tuple[dict[str, Any], str]:
    """What a file says, and its text. Raises UserError with the place."""
    text = read_text(path)
    check(text, path)
    try:
        return tomllib.loads(text), text
    except ValueError as error:
        message, line, column = where(str(error))
        raise UserError(f"not TOML: {message}", Position(str(path), line, column)) from None


def read_text(path: Path) -> str:
    """A file's text. Raises UserError."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"can't read {path}: not a file")
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"can't read {path}: {reason}") from None
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{path} is longer than {MAX_CHARACTERS} characters")
    return text


def check(text: str, path: Path) -> None:
    """Raises UserError for what would take the parser, or who reads on, too long or too deep."""
    bare = ASIDE.sub(blank, text)
    if found := LONG_NUMBER.search(bare):
        raise UserError(f"a number has at most {MAX_DIGITS} digits", position(bare, found.start(), path))
    if found := DEEP_KEY.search(bare):
        raise UserError(f"a key has at most {MAX_DEPTH} parts", position(bare, found.start(), path))
    depth = 0
    for found in re.finditer(r"[\[\]{}]", bare):
        depth = depth + 1 if found[0] in "[{" else max(0, depth - 1)
        if depth > MAX_DEPTH:
            raise UserError(f"nested deeper than {MAX_DEPTH} levels", position(bare, found.start(), path))


def blank(found: re.Match[str]) -> str:
    """As long as a text or comment, without what stands in it; a text is a word still, which a key may be."""
    return re.sub(r"[^\n]", " " if found[0].startswith("#") else "s", found[0])


def position(text: str, offset: int, path: Path) -> Position:
    """Where a character stands."""
    return Position(str(path), text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def where(message: str) -> tuple[str, int, int]:
    """tomllib's message without its place, and the place: line and column, 1 where it gives none."""
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    return (message[: found.start()], int(found[1]), int(found[2])) if found else (message.split(" (at")[0], 1, 1)
