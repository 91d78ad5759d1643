"""The node ``select``."""

from __future__ import annotations

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import PerItem, Record


@node("select", passes=True)
def select(from_: list[Record], index: PerItem[int]) -> Record:
    """One of several values of one kind, as it is: the one with this number, counted from 0.

    index: may change along the sweep and, in a loop, from step to step. What isn't chosen is neither computed nor part
    of any key, and a chosen value's key is its own: an item is the same item with and without a select.
    """
    for value in from_[1:]:
        if value.signature() != from_[0].signature():
            raise WiringError(
                f"the values to select from differ: {difference(from_[0], value)}",
                hint="values of one model and one size can take each other's place; for others, select among what "
                "is made of them",
                about="from",
            )
    return from_[0]  # the engine hands over the chosen one alone; a check sees all of them


def difference(one: Record, other: Record) -> str:
    """The first thing in which two values of unequal signature differ."""
    first, second = one.tensors(), other.tensors()
    for name in first | second:
        if name not in first or name not in second:
            return f"one has '{name}', another doesn't"
        a, b = first[name], second[name]
        if (a.shape[1:], a.dtype) != (b.shape[1:], b.dtype):
            sizes = [f"{list(each.shape[1:])} {str(each.dtype).removeprefix('torch.')}" for each in (a, b)]
            return f"'{name}' is {sizes[0]} and {sizes[1]}"
    said, told = one.metadata(), other.metadata()
    name = next(name for name in said if said[name] != told.get(name))
    return f"'{name}' is '{said[name]}' and '{told[name]}'"
