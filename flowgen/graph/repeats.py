"""Points that a draw took again: how often before is a hidden input of the axis, which ``per`` counts with."""

from __future__ import annotations

from dataclasses import replace

from flowgen.graph.cases import number_of
from flowgen.language.axes import Axis, Points
from flowgen.language.document import Document
from flowgen.language.entries import NodeEntry


def repeat_of(axis: str) -> str:
    """The hidden input that says how often a point was drawn before; no name that a file can write."""
    return f"{axis}#again"


def with_repeats(document: Document) -> Document:
    """The document with the hidden inputs of the axes that have points which came again."""
    again = [axis for axis in document.axes.values() if any(axis.repeats)]
    if not again:
        return document
    axes = {axis.name: replace(axis, points=with_column(axis)) for axis in again}
    setters = {repeat_of(axis.name): axis.name for axis in again}
    nodes = {name: fixed(entry, again) for name, entry in document.nodes.items()}
    return replace(document, axes={**document.axes, **axes}, setters={**document.setters, **setters}, nodes=nodes)


def with_column(axis: Axis) -> Points:
    """An axis' points with how often each came before."""
    return Points({name: axis.values(name) for name in axis.inputs} | {repeat_of(axis.name): axis.repeats})


def fixed(entry: NodeEntry, again: list[Axis]) -> NodeEntry:
    """A node at another point: one that sets all of an axis is the point that was drawn first, if it says no other.

    A node that stands for one of several cases doesn't say which of the points of that case it is.
    """
    firsts = {repeat_of(axis.name): 0 for axis in again if sets(entry, axis)}
    return replace(entry, fixed={**firsts, **entry.fixed}) if firsts else entry


def sets(entry: NodeEntry, axis: Axis) -> bool:
    """Whether a node is at another point as to a whole axis."""
    number = number_of(axis.name)
    return {*axis.inputs} - {number} <= entry.fixed.keys() and number not in entry.fixed
