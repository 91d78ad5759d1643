"""Items that failed, as points of the sweep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgen.execute.driver import Tally
from flowgen.language.labels import readable
from flowgen.plan.keying import as_text
from flowgen.plan.plan import Plan
from flowgen.store.quantities import counted

FIRST = 3
"""points that are named of items that failed alike"""
CAUSES = 4
"""causes that are told of each node, those of most items"""
LABEL, CAUSE = 60, 300
"""characters of a label, and of a cause, that are shown"""


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


def grouped(found: Iterable[Failure]) -> list[tuple[str, str]]:
    """Failures for people, those of one node and cause together: what failed, and where if that are several items."""
    nodes: dict[str, dict[str, list[Failure]]] = {}
    for failure in found:
        nodes.setdefault(failure.node, {}).setdefault(failure.cause, []).append(failure)
    lines: list[tuple[str, str]] = []
    for node, causes in nodes.items():
        groups = sorted(causes.values(), key=len, reverse=True)
        shown = CAUSES if len(groups) > CAUSES + 1 else len(groups)
        lines += map(told, groups[:shown])
        if rest := [failure for group in groups[shown:] for failure in group]:
            lines.append(
                (f"{counted(len(rest), 'more item')} of '{node}', for {len(groups) - shown} other causes", points(rest))
            )
    return lines


def told(group: list[Failure]) -> tuple[str, str]:
    """Items of one node and cause in words."""
    first, cause = group[0], readable(group[0].cause, CAUSE)
    if len(group) == 1:
        return f"{first.node}{place(first)}: {cause}", ""
    return f"{len(group)} items of '{first.node}': {cause}", points(group)


def points(failed: list[Failure]) -> str:
    """The first points of some, and how many there are."""
    more = f" and {len(failed) - FIRST} more" if len(failed) > FIRST else ""
    return ", ".join(map(place, failed[:FIRST])) + more


def place(failure: Failure) -> str:
    """A point as ``[seed=0, guidance=2]``; nothing for a node without axes."""
    labels = ", ".join(f"{axis}={readable(label, LABEL)}" for axis, label in failure.point.items())
    points = f" ({failure.points} points)" if failure.points > 1 else ""
    return f"[{labels}]{points}" if labels else points.strip()


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
