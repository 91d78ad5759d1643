"""Values: records with one main tensor ``data``, and arithmetic that aligns the item axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values.per_item import PerItem, over_items
from flowgen.values.record import Record


class Value(Record):
    """A record whose main tensor is ``data`` [B, ...].

    ``+ - * /`` work between values of one type, and with numbers, ``PerItem`` and tensors [B]: one number per item,
    which scales that item and never broadcasts against another axis. The left value's other fields are kept.
    """

    data: Tensor

    def __len__(self) -> int:
        return self.data.shape[0]  # torch's len() is Python code

    def _with(self, other: Any, function: Callable[[Tensor, Any], Tensor]) -> Any:
        if isinstance(other, Value):
            self.same_as(other)
            operand: Any = other.data
        elif isinstance(other, PerItem):
            operand = other.like(self.data)
        elif isinstance(other, Tensor):
            if other.dim() > 1:
                raise WiringError("a tensor in a value's arithmetic holds one number per item, shape [B]")
            operand = over_items(other, self.data)
        elif isinstance(other, (int, float)):
            operand = other
        else:
            return NotImplemented
        return self.replace(data=function(self.data, operand))

    def same_as(self, other: Value) -> None:
        """Raise WiringError unless ``other`` may be added: same type, same metadata, same shape."""
        if type(self) is not type(other):
            raise WiringError(f"{type(self).__name__} and {type(other).__name__} don't add up")
        for name, mine in self._fields():
            if isinstance(mine, (Tensor, Record)):
                continue
            if mine != (theirs := getattr(other, name)):
                raise WiringError(f"{type(self).__name__}s of {name} '{mine}' and '{theirs}' don't add up")
        if self.data.shape != other.data.shape:
            raise WiringError(f"shapes {tuple(self.data.shape)} and {tuple(other.data.shape)} differ")

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

    def __neg__(self) -> Self:
        return self.replace(data=-self.data)
