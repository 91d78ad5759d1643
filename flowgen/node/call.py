"""Calling node code: arguments by their public names in, outputs by name out."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowgen.node.kinds import Carry, Loop, Reduce
from flowgen.node.registry import NodeType


def attribute(name: str) -> str:
    """The Python name of an argument: ``from`` is ``from_``."""
    return f"{name}_" if keyword.iskeyword(name) else name


def spelt(type: NodeType, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments by their Python names."""
    if not type.has_keywords:
        return arguments
    return {attribute(name): value for name, value in arguments.items()}


def named(result: Any, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """A result by output name: a NamedTuple's fields, or the one value under the one name."""
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return dict(zip(result._fields, result, strict=True))
    return {next(iter(outputs)): result}


def call(type: NodeType, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run a function node once. Arguments are ports and parameters."""
    return named(type.code(**spelt(type, arguments)), type.signature.outputs)


def call_with_carry(
    type: NodeType, arguments: Mapping[str, Any], carried: Mapping[str, Tensor | None]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Run a function node that keeps state in a loop: its outputs, and the new state by argument name."""
    carries: dict[str, Carry[Tensor]] = {name: Carry(value) for name, value in carried.items()}
    result, new = type.code(**spelt(type, arguments), **carries)
    kept = new if isinstance(new, tuple) else (new,)
    return named(result, type.signature.outputs), dict(zip(carries, kept, strict=True))


def instance(type: NodeType, arguments: Mapping[str, Any]) -> Any:
    """A Loop or Reduce with its arguments set."""
    made: Loop | Reduce = type.code()
    for name, value in arguments.items():
        setattr(made, attribute(name), value)
    return made
