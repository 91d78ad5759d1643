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

    about: what node code raises stands at this argument of the node. Of several, separated by spaces, it is the first
    that the graph gives; without, the one whose name the message begins with.
    """

    def __init__(self, message: str, at: Position | None = None, hint: str = "", about: str = "") -> None:
        super().__init__(message, at, hint, about)
        self.message = message
        self.at = at
        self.hint = hint
        self.about = about

    def __str__(self) -> str:
        place = f"{self.at}: " if self.at else ""
        return f"{place}{self.message}" + (f"\n  {self.hint}" if self.hint else "")

    def located(self, at: Position | None) -> UserError:
        """This error, with a place if it has none yet."""
        return self if self.at or at is None else type(self)(self.message, at, self.hint, self.about)


class WiringError(UserError):
    """Values that don't fit together: a latent of another space, a prediction of another kind, wrong shapes.

    Node code raises it; the engine adds the place of the argument that it is about, else of the node.
    """


def exit_text(error: SystemExit) -> str:
    """``exit``, and what code said that called it."""
    return "exit" if error.code is None else f"exit: {error.code}"


def with_article(noun: str) -> str:
    """``an Image``, ``a Latent``; the U of a UNet is spoken as in "you"."""
    return f"{'an' if noun.lower().startswith(('a', 'e', 'i', 'o')) else 'a'} {noun}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest valid name, or lists them all."""
    names = sorted(known)
    if near := difflib.get_close_matches(name, names, n=3, cutoff=0.6):
        swapped = [other for other in near if sorted(other) == sorted(name)]  # letters that changed places
        return f"did you mean '{(swapped or near)[0]}'?"
    return f"known: {', '.join(names)}" if names else "there are none"
