"""Values of a parcel's items, equal ones held once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowgen.values import Record


@dataclass(frozen=True, slots=True)
class Held:
    """A batch, and for every item of the parcel the row that is its value (-1: it has none)."""

    record: Record
    index: NDArray[np.int64]

    def rows(self, items: Sequence[int]) -> Record:
        """The values of some items, in their order."""
        wanted = self.index[np.asarray(items, dtype=np.int64)]
        if len(wanted) and wanted.min() < 0:
            raise LookupError("an item is read that was not computed")
        if len(wanted) == len(self.record) and np.array_equal(wanted, np.arange(len(wanted))):
            return self.record
        return self.record.take(wanted.tolist())


def hold(record: Record, items: Sequence[int], count: int) -> Held:
    """A batch whose rows are these items, of a parcel with ``count`` items."""
    index = np.full(count, -1, dtype=np.int64)
    index[np.asarray(items, dtype=np.int64)] = np.arange(len(items))
    return Held(record, index)
