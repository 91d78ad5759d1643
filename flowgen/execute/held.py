"""Values of a parcel's items, equal ones held once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flowgen.values import Record


class Held:
    """A batch, and for every item of the parcel the row that is its value (-1: it has none)."""

    __slots__ = ("_index", "count", "items", "record")

    def __init__(
        self, record: Record, count: int, items: Sequence[int] | None = None, index: NDArray[np.int64] | None = None
    ) -> None:
        self.record = record
        self.count = count
        """items of the parcel"""
        self.items = items
        """the items that the rows are, where that is all there is to say: the index is made when it is asked for"""
        self._index = index

    @property
    def index(self) -> NDArray[np.int64]:
        """The rows of the parcel's items."""
        if self._index is None:
            self._index = np.full(self.count, -1, dtype=np.int64)
            self._index[np.asarray(self.items, dtype=np.int64)] = np.arange(len(self.items or ()))
        return self._index

    def rows(self, items: Sequence[int]) -> Record:
        """The values of some items, in their order."""
        if items == self.items:
            return self.record
        wanted = self.index[np.asarray(items, dtype=np.int64)]
        if len(wanted) and wanted.min() < 0:
            raise LookupError("an item is read that was not computed")
        if len(wanted) == len(self.record) and np.array_equal(wanted, np.arange(len(wanted))):
            return self.record
        return self.record.take(wanted.tolist())
