"""Items on their way that wait for places."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from flowgen.values import Record


@dataclass(frozen=True, slots=True)
class Parked:
    """Items that have left their lanes and wait for places."""

    items: list[int]
    steps: list[int]
    state: Record
    carried: dict[tuple[str, str], Tensor]

    def cut(self, count: int) -> list[Parked]:
        """The first so many, and the others if there are any."""
        if count >= len(self.items):
            return [self]
        states = self.state.split([count, len(self.items) - count])
        found = []
        for part, state in zip((slice(count), slice(count, None)), states, strict=True):
            carried = {place: kept[part] for place, kept in self.carried.items()}
            found.append(Parked(self.items[part], self.steps[part], state, carried))
        return found
