"""Which points of an array are read and written together: boxes that follow the chunks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

MOST = 2**18
"""points of a box, however small its items"""


def box(lengths: Sequence[int], points: int) -> tuple[int, ...]:
    """The shape of a box of at most ``points`` points: last axes whole, one split, the first ones 1."""
    left, shape = max(1, min(points, MOST)), []
    for length in reversed(lengths):
        side = max(1, min(length, left))
        left = left // side if side == length else 1
        shape.append(side)
    return tuple(reversed(shape))


def aligned(slab: Sequence[int], chunk: Sequence[int], lengths: Sequence[int]) -> tuple[int, ...]:
    """A slab rounded down to whole chunks."""
    return tuple(s if s == length else max(c, s // c * c) for s, c, length in zip(slab, chunk, lengths, strict=True))


def regions(lengths: Sequence[int], shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """The boxes of a shape that cover an array; a single empty tuple for an array without axes."""
    starts = [range(0, length, side) for length, side in zip(lengths, shape, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, shape, lengths, strict=True))
