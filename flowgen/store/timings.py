"""How long items took, remembered beside the store for the next plan. Disposable: without it times are unknown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from flowgen.store.medium import Medium, get
from flowgen.store.patience import Unwritable

NAME = "timings.json"
KEPT = 0.5
"""weight of what was known before, so that the last runs count most"""
MOST = 1000
"""kinds of work that are remembered"""


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work: what takes about the same time whatever the graph."""

    type: str
    """node type"""
    flops: int
    """of one item; of one step, for a loop"""
    place: str
    """device, threads and numerics"""

    def text(self) -> str:
        """As the file holds it."""
        return f"{self.type}|{self.place}|{self.flops}"


class Timings:
    """Seconds by kind of work."""

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.known: dict[str, tuple[float, float]] = {}
        """seconds, and the items (steps, for a loop) that they were taken for"""
        try:
            read = json.loads(get(medium, NAME))
            self.known = {str(work): (float(seconds), float(count)) for work, (seconds, count) in read.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # missing or unreadable: as good as empty

    def seconds(self, work: Work) -> float | None:
        """Seconds for one item, or None. Another size of the same type stands in, by its FLOPs."""
        if (found := self.of(work)) is not None:
            return found
        others = []
        for text, (seconds, count) in self.known.items():
            type, place, flops = text.split("|")
            if (type, place) == (work.type, work.place) and work.flops and int(flops):
                ratio = work.flops / int(flops)
                others.append((max(ratio, 1 / ratio), seconds / count * ratio))
        return min(others)[1] if others else None

    def of(self, work: Work) -> float | None:
        """Seconds for one item of this very kind, or None."""
        found = self.known.get(work.text())
        return found[0] / found[1] if found else None

    def learn(self, measured: Iterable[tuple[Work, float, int]]) -> None:
        """Remember seconds and counts. A file that can't be written is no error."""
        for work, seconds, count in measured:
            before = self.known.pop(work.text(), (0.0, 0.0))
            self.known[work.text()] = (KEPT * before[0] + seconds, KEPT * before[1] + count)
        self.known = dict(list(self.known.items())[-MOST:])
        with suppress(OSError, Unwritable):
            self.medium.put(NAME, json.dumps(self.known).encode())
