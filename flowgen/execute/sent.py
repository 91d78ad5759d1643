"""A parcel that is sent, and perhaps sent again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any

from distributed import Future

from flowgen.execute.failures import select
from flowgen.execute.task import Receipt
from flowgen.plan.cuts import Cut
from flowgen.plan.program import Parcel

Name = tuple[str, int]
"""a parcel's stage and number"""
SUSPECT = 2
"""workers that die at a task before it is sent in pieces"""
FEW = 8
"""items of a suspect that are sent one by one"""


@dataclass(slots=True)
class Task:
    """A parcel, or one item of it, that isn't done."""

    order: int
    """of its parcel among all"""
    cut: Cut
    parents: list[Name]
    """parcels that it reads"""
    parcel: Parcel
    deaths: int = 0
    """workers that died while they computed it"""
    doubts: int = 0
    """workers that had it and died before they said what they had begun"""
    since: int = 0
    """workers that had died when it was made"""
    lost: bool = False
    """whether a worker had begun it and died: it is sent again, not only later"""
    key: str = ""
    """Dask's; empty while it waits to be sent"""
    future: Future | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """what Dask was told of the workers that may have it"""

    @property
    def name(self) -> Name:
        """Of its parcel."""
        return self.cut.stage, self.cut.number

    @property
    def suspect(self) -> bool:
        """Whether it may be what its workers die of."""
        return max(self.deaths, self.doubts) >= SUSPECT

    def again(self, deaths: int, lost: bool) -> list[Task]:
        """What is sent once more: it as it is, or pieces of it if one of its items may be to blame.

        deaths: workers that died until now. lost: whether a worker had begun it.
        """
        size = len(self.parcel)
        if not self.suspect or size == 1:
            return [replace(self, key="", future=None, lost=lost)]
        each = isqrt(size - 1) if size > FEW else 1  # two rounds find one of a thousand items
        pieces = [select(self.parcel, list(range(n, min(n + each, size)))) for n in range(0, size, each)]
        return [
            Task(self.order, self.cut, self.parents, piece, doubts=SUSPECT, since=deaths, lost=lost) for piece in pieces
        ]

    def share(self, steps: int) -> float:
        """How much of its work so many steps are; what failed and is tried again counts twice."""
        return min(1.0, steps / max(1, self.parcel.steps))


def given_up(task: Task) -> Receipt:
    """The receipt for an item that workers die of."""
    cause = (
        f"{task.deaths} worker processes died while they computed it: killed from outside, out of memory, "
        "or by a crash in a library (the workers' own output may say which)"
    )
    stage, number = task.name
    return Receipt(stage=stage, number=number, items=0, seconds=0.0, failed=dict.fromkeys(task.parcel.keys, cause))
