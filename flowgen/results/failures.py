"""Items that failed, as points of the sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgen.execute.driver import Tally
from flowgen.plan.keying import as_text
from flowgen.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Failure:
    """An item without a result."""

    node: str
    point: dict[str, Any]
    """the first point of the sweep that it stands for: labels by axis"""
    points: int
    """how many points share it"""
    cause: str

    def __str__(self) -> str:
        place = ", ".join(f"{axis}={label}" for axis, label in self.point.items())
        return f"{self.node}[{place}]: {self.cause}" if place else f"{self.node}: {self.cause}"


def failures(plan: Plan, tally: Tally) -> list[Failure]:
    """What failed in a run, in the order of the graph and the sweep."""
    causes = tally.failed
    if not causes:
        return []
    axes = plan.graph.document.axes
    found: list[Failure] = []
    for name, node in plan.nodes.items():
        if not node.stored:
            continue
        values = plan.keys[name].values
        keys, first, counts = np.unique(values, return_index=True, return_counts=True)
        for key, index, count in sorted(zip(keys, first, counts, strict=True), key=lambda entry: int(entry[1])):
            if (cause := causes.get(as_text(key))) is not None:
                where = np.unravel_index(int(index), values.shape) if values.shape else ()
                point = {axis: axes[axis].labels[int(n)] for axis, n in zip(node.axes, where, strict=True)}
                found.append(Failure(name, point, int(count), cause))
    return found
