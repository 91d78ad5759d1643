"""Which sheets show a set of pictures well: what goes along rows and columns, and what is fixed on each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowgen.language.labels import readable
from flowgen.results.labels import is_seed

STEP = "step"
"""the axis of a trajectory, which runs from left to right"""
LONG = 14
"""characters beyond which labels go beside rows rather than over columns"""


@dataclass(frozen=True)
class View:
    """A kind of sheet: its two axes; of the others, some fixed at the first point, some one sheet per point."""

    rows: str | None
    columns: str | None
    first: tuple[str, ...] = ()
    each: tuple[str, ...] = ()

    def sheets(self, lengths: Mapping[str, int]) -> Iterator[dict[str, int]]:
        """The points of the other axes that get a sheet."""
        for indices in itertools.product(*(range(lengths[axis]) for axis in self.each)):
            yield dict.fromkeys(self.first, 0) | dict(zip(self.each, indices, strict=True))


def views(labels: Mapping[str, Sequence[Any]]) -> list[View]:
    """For adherence what was asked for, seed fixed; for effects each further axis at one seed; for diversity seeds.

    Axes of one point are fixed. Axes of texts come before numbers, long before short; a trajectory's steps come
    second and run along columns.
    """
    fixed = tuple(axis for axis, found in labels.items() if len(found) == 1)
    free = [axis for axis in labels if axis not in fixed]
    seeds = [axis for axis in free if is_seed(axis)]
    asked = sorted((a for a in free if a not in seeds), key=lambda a: (not is_text(labels[a]), -len(labels[a])))
    if STEP in asked:
        asked.remove(STEP)
        asked.insert(min(1, len(asked)), STEP)
    order = asked + seeds
    if len(order) < 2:
        return [View(None, order[0] if order else None, fixed)]
    more, unseen = tuple(asked[2:]), tuple(seeds if len(asked) > 1 else seeds[1:] if asked else seeds[2:])
    found = [View(*sides(order[0], order[1], labels), fixed + unseen, more)]
    for axis in more:
        others = tuple(a for a in order[1:] if a != axis)
        found.append(View(*sides(asked[0], axis, labels), fixed + others))
    if len(asked) >= 2 and seeds:
        found.append(View(*sides(asked[0], seeds[0], labels), (*fixed, asked[1], *seeds[1:]), more))
    return found


def sides(main: str, other: str, labels: Mapping[str, Sequence[Any]]) -> tuple[str, str]:
    """Rows and columns of two axes: long labels beside rows, else seeds along rows, else the longer axis across."""
    if STEP in (main, other):
        return (other if main == STEP else main), STEP
    lengths = [max(len(readable(label)) for label in labels[axis]) for axis in (main, other)]
    if max(lengths) > LONG:
        return (main, other) if lengths[0] >= lengths[1] else (other, main)
    if is_seed(other) or len(labels[main]) >= len(labels[other]):
        return other, main
    return main, other


def is_text(labels: Sequence[Any]) -> bool:
    """True for an axis of texts."""
    return any(isinstance(label, str) for label in labels)
