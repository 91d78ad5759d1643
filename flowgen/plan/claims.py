"""Stages with equal items: two nodes that do the same at some points (an alternative, another point of the sweep)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.columns import Column
from flowgen.graph.model import GraphNode

Mask = NDArray[np.bool_]


class Claims:
    """One key is computed by one stage: the first that has it."""

    def __init__(self, kept: list[GraphNode], keys: dict[str, Column], wanted: dict[str, Mask]) -> None:
        self.keys = keys
        self.wanted = wanted
        kinds: dict[tuple[str, int], list[GraphNode]] = {}
        self.before: dict[str, list[GraphNode]] = {}
        """by stage, the earlier ones that may have the same items: those of one type"""
        for node in kept:
            alike = kinds.setdefault((node.type.name, node.type.version), [])
            self.before[node.name] = list(alike)
            alike.append(node)

    def left(self, node: GraphNode, compute: Mask) -> Mask:
        """What is left to a stage to compute; what an earlier one has is wanted there."""
        column = self.keys[node.name].values
        for other in self.before[node.name]:
            if not compute.any():
                break
            theirs = self.keys[other.name].values
            both = np.isin(column, theirs) & compute
            if both.any():
                self.wanted[other.name] |= np.isin(theirs, column[both])
                compute = compute & ~both
        return compute

    def lend(self, node: GraphNode, makers: Mapping[str, NDArray[np.int64]]) -> None:
        """Note, for the points that a stage leaves to an earlier one, the parcels that compute them there."""
        column, mine = self.keys[node.name].values.ravel(), makers[node.name].reshape(-1)
        for other in self.before[node.name]:
            theirs, made = self.keys[other.name].values.ravel(), makers[other.name].ravel()
            lent = np.flatnonzero(made >= 0)
            open_ = np.flatnonzero(mine < 0)
            if not len(lent) or not len(open_):
                continue
            lent = lent[np.argsort(theirs[lent], kind="stable")]
            place = np.minimum(np.searchsorted(theirs[lent], column[open_]), len(lent) - 1)
            equal = theirs[lent][place] == column[open_]
            mine[open_[equal]] = made[lent[place[equal]]]
