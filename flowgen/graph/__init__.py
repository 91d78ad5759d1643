"""Graphs: typed nodes and wires, loops, axes, and the abstract run that checks them before any weight is read."""

from __future__ import annotations

from flowgen.graph.build import build
from flowgen.graph.check import Check, check
from flowgen.graph.model import Graph, GraphNode, Wire

__all__ = ["Check", "Graph", "GraphNode", "Wire", "build", "check"]
