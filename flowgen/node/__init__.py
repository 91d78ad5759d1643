"""What a node is: a function, a loop or a reduction, its contract read from its signature."""

from __future__ import annotations

from flowgen.node.kinds import Carry, Feedback, Loop, Named, Phase, Reduce, Source, Stream, Stretch, Uses
from flowgen.node.registry import NodeType, node, node_type, node_types, scheme, shipped_graphs

__all__ = [
    "Carry",
    "Feedback",
    "Loop",
    "Named",
    "NodeType",
    "Phase",
    "Reduce",
    "Source",
    "Stream",
    "Stretch",
    "Uses",
    "node",
    "node_type",
    "node_types",
    "scheme",
    "shipped_graphs",
]
