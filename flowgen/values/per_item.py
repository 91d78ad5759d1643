"""Parameters with one value per item of a batch, and their arithmetic with values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class PerItem(Generic[T]):
    """A parameter that may differ from item to item; known when planning.

    ``values`` is a list with one entry per item; ``tensor`` [B] the same as numbers. Multiplying a value by it scales
    each item: it never meets any axis but the item axis.
    """

    def __init__(self, values: Sequence[T]) -> None:
        self.values = list(values)
        self._like: dict[tuple[Any, ...], Tensor] = {}

    @property
    def tensor(self) -> Tensor:
        """The numbers as a tensor [B]: int64 for whole numbers, float64 otherwise."""
        whole = all(isinstance(value, int) for value in self.values)
        return torch.tensor(self.values, dtype=torch.long if whole else torch.float64)

    def like(self, tensor: Tensor) -> Tensor:
        """The numbers in the dtype and on the device of ``tensor`` [B, ...], shaped [B, 1, ...] to scale its items."""
        kind = kind_of(tensor)
        if kind not in self._like:  # a loop's parameters are the same for many steps
            self._like[kind] = over_items(torch.tensor(self.values, dtype=torch.float64), tensor)
        return self._like[kind]

    def take(self, rows: Sequence[int]) -> PerItem[T]:
        """The entries at these rows."""
        return PerItem([self.values[row] for row in rows])

    def map(self, function: Callable[[Any], Any]) -> PerItem[Any]:
        """A new parameter from each value."""
        return PerItem([function(value) for value in self.values])

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"PerItem({self.values})"

    def _with(self, other: Any, function: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, PerItem):
            return PerItem([function(a, b) for a, b in zip(self.values, other.values, strict=True)])
        if isinstance(other, (int, float)):
            return self.map(lambda value: function(value, other))
        return NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a + b)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b + a)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a * b)

    def __rmul__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b * a)

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a / b)


def kind_of(x: Tensor) -> Any:
    """What decides the dtype, device and shape of what scales x."""
    return type(x), x.dtype, x.device, x.dim()


def over_items(numbers: Tensor, tensor: Tensor) -> Tensor:
    """``numbers`` [B] or [..., B, N] in the dtype and device of ``tensor`` [B, ...], with axes of 1 for the others."""
    return numbers.to(device=tensor.device, dtype=tensor.dtype).view(*numbers.shape, *[1] * (tensor.dim() - 1))
