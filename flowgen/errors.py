"""What flowgen says when the user's input is wrong: where, what was expected, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file that the user wrote."""

    file: str
    """path as the user gave it"""
    line: int
    """1-based"""
    column: int
    """1-based"""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class UserError(Exception):
    """The user's input is wrong (exit code 2): a message, its place, and a way out.

    ``str(error)`` is ``file:line:column: message`` and, on a second line, the hint.
    """

    def __init__(self, message: str, at: Position | None = None, hint: str = "") -> None:
        super().__init__(message, at, hint)
        self.message = message
        self.at = at
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.at}: " if self.at else ""
        return f"{place}{self.message}" + (f"\n  {self.hint}" if self.hint else "")

    def located(self, at: Position | None) -> UserError:
        """This error, with a place if it has none yet."""
        return self if self.at or at is None else type(self)(self.message, at, self.hint)


class WiringError(UserError):
    """Values that don't fit together: a latent of another space, a prediction of another kind, wrong shapes.

    Node code raises it; the engine adds the line of the node.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest valid name, or lists them all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else "there are none"
