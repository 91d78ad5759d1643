"""What results are made from: the keys of each output, and whatever reads records by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flowgen.values import Record


@dataclass(frozen=True)
class Column:
    """One output of a run."""

    name: str
    """the output's name as in ``outputs:``"""
    axes: tuple[str, ...]
    """its axes, document order"""
    keys: NDArray[np.bytes_]
    """dtype S40, one key per point, shaped by the axes' lengths; an empty key is a point without a result"""
    output: str
    """name of the node's output in the store, e.g. ``sample``"""
    form: Record | None = None
    """what items are like, in numbers that mean nothing: looked at where no point has a result"""


class Reader(Protocol):
    """Reads records by key; the store does."""

    def read(self, keys: Sequence[str], output: str) -> list[tuple[list[int], Record]]:
        """Groups of items of equal signature: positions in ``keys``, and a batch with those items in that order."""
        ...  # pragma: no cover
