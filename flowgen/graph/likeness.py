"""Calls in an abstract run that have the same outcome."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from flowgen.graph.model import GraphNode
from flowgen.values import Record
from flowgen.values.model import Reference


def likeness(node: GraphNode, arguments: Mapping[str, Any]) -> Hashable:
    """What two calls share whose outcomes are the same; None for nodes that are always run.

    Only those that use a model are worth it: a guided denoiser is called twice with values of one shape.
    """
    if node.type.kind != "function" or not node.type.uses_model or node.type.signature.carries:
        return None
    return node.type.name, tuple((name, kept(value)) for name, value in sorted(arguments.items()))


def kept(value: Any) -> Hashable:
    """What matters of an argument where there are no numbers."""
    if isinstance(value, Record):
        return value.signature(), len(value)
    if isinstance(value, list):
        return tuple(map(kept, value))
    return id(value) if isinstance(value, Reference) else repr(value)
