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
    if any(value.signature() != from_[0].signature() for value in from_[1:]):
        raise WiringError(
            "the values to select from differ in shape or kind",
            hint="values of one model and one size can take each other's place",
            about="from",
        )
    return from_[0]  # the engine hands over the chosen one alone; a check sees all of them
