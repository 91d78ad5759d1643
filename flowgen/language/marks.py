"""Steps of a loop that a graph names: where its states are stored (``checkpoint``) and shown (``trajectory``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flowgen.errors import Position, UserError

KINDS = {
    "checkpoint": {"at": "{at: [0.5]} in fractions of the loop", "step": "{step: [5, 10]}", "every": "{every: 10}"},
    "trajectory": {"at": "{at: [0, 0.5, 1]} in fractions of the loop", "step": "{step: [5, 10]}"},
}
"""how each word may say which states it means; a trajectory is an axis, the same for loops of every length"""
Kind = Literal["at", "step", "every"]


@dataclass(frozen=True, slots=True)
class Marks:
    """States of a loop, by how many steps lie behind them."""

    kind: Kind
    values: tuple[float, ...]
    at: Position | None = None

    def steps(self, length: int) -> tuple[int, ...]:
        """The marked states of a loop of some length, 0 (the start) to ``length`` (the end), in order.

        A fraction stands for the nearest step. Steps beyond the end are left out.
        """
        if self.kind == "every":
            return tuple(range(int(self.values[0]), length + 1, int(self.values[0])))
        if self.kind == "step":
            return tuple(int(step) for step in self.values if step <= length)
        return tuple(sorted({round(fraction * length) for fraction in self.values}))

    def check(self, length: int) -> None:
        """Raise UserError unless a loop of this length has every marked state: an axis must be the same everywhere."""
        if len(self.steps(length)) == len(self.values):
            return
        said = "so few that two fractions are one" if self.kind == "at" else "too few"
        raise UserError(
            f"the trajectory shows {len(self.values)} states, but a loop has {length} steps: {said}", self.at
        )


def read_marks(word: str, spec: Mapping[str, Any], places: Mapping[str, Position]) -> Marks | None:
    """``checkpoint:`` or ``trajectory:`` of a node, None where it has none. Raises UserError."""
    if word not in spec:
        return None
    value, at = spec[word], places.get(word)
    hint = f"write {word}: {' or '.join(KINDS[word].values())}"
    if not isinstance(value, dict) or len(value) != 1:
        raise UserError(f"'{word}' takes one way to say which states of the loop it means", at, hint)
    kind, given = next(iter(value.items()))
    if kind not in KINDS[word]:
        raise UserError(f"'{word}' takes no '{kind}'", at, hint)
    listed = given if isinstance(given, list) else [given]
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in listed)
    good = {
        "every": whole and len(listed) == 1 and listed[0] >= 1 if whole else False,
        "step": whole and all(v >= 0 for v in listed),
        "at": all(isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v <= 1 for v in listed),
    }[kind]
    if not good or not listed:
        raise UserError(f"'{word}: {{{kind}: {given}}}' names no states of a loop", at, hint)
    return Marks(kind, tuple(sorted(set(listed))), at)
