"""Numbers of a batch's items at some steps in a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from flowgen.values.per_item import kind_of, over_items

T = TypeVar("T")

MOST = 64
"""answers that are kept"""


class Ahead:
    """Numbers of each item of a batch at some steps in a row.

    To make a tensor of a few numbers takes as long as to calculate with a batch, so what is asked for one step is made
    for all of them at once, and kept.
    """

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers
        """[S, B, F] float64: F numbers for each item, by step"""
        self.made: dict[Any, Any] = {}

    def rows(self) -> Sequence[Tensor]:
        """By step, all the numbers, [B, F]."""
        return self.kept("rows", self.numbers.unbind)

    def column(self, n: int, dtype: torch.dtype) -> Sequence[Tensor]:
        """By step, one number of each item, [B]."""
        return self.kept((n, dtype), lambda: self.numbers[..., n].to(dtype).unbind())

    def scales(self, first: int, last: int, x: Tensor) -> Sequence[tuple[Tensor, ...]]:
        """By step, the numbers from ``first`` to before ``last`` in the dtype and on the device of ``x`` [B, ...], each
        shaped [B, 1, ...] to scale its items.
        """

        def make() -> list[tuple[Tensor, ...]]:
            columns = over_items(self.numbers[..., first:last], x).unbind(2)
            return list(zip(*(column.unbind() for column in columns), strict=True))

        return self.kept((first, last, kind_of(x)), make)

    def take(self, rows: tuple[int, ...]) -> Ahead:
        """The numbers of the items at these rows."""
        return self.kept(("take", *rows), lambda: Ahead(self.numbers[:, list(rows)]))

    def beside(self, others: Sequence[Ahead]) -> Ahead:
        """The numbers of its items, and then of those of others."""

        def make() -> tuple[Ahead, list[Ahead]]:
            whole = Ahead(torch.cat([self.numbers, *(other.numbers for other in others)], 1))
            return whole, [other for other in others if other is not self]  # while these live, nothing has their ids

        return self.kept(("beside", *map(id, others)), make)[0]

    def kept(self, asked: Any, make: Callable[[], T]) -> T:
        """The answer, made where it isn't known."""
        if asked not in self.made:
            if len(self.made) >= MOST:
                self.made.clear()
            self.made[asked] = make()
        found: T = self.made[asked]
        return found
