"""Columns: one value for every point of some axes. Plans are made of columns, not of an object per item."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.language.document import Document
from flowgen.language.expressions import evaluate, references


@dataclass(frozen=True, slots=True)
class Column:
    """Values over the product of axes, axes in the order of the sweep."""

    axes: tuple[str, ...]
    values: NDArray[Any]
    """shape: the axes' lengths"""

    def over(self, axes: Sequence[str], lengths: Mapping[str, int]) -> NDArray[Any]:
        """The values at every point of more axes, flat."""
        return spread(self.values, self.axes, axes, lengths).ravel()

    def at(self, axes: Sequence[str], lengths: Mapping[str, int], rows: NDArray[np.int64]) -> NDArray[Any]:
        """The values at some points of more axes, by their flat index."""
        if not self.axes:
            return np.broadcast_to(self.values, rows.shape)
        shape = [lengths[name] for name in axes]
        index = dict(zip(axes, np.unravel_index(rows, shape), strict=True))
        return np.asarray(self.values[tuple(index[name] for name in self.axes)])

    def map(self, function: Callable[[Any], Any]) -> Column:
        """A column of ``function(value)``."""
        made = np.empty(self.values.size, dtype=object)
        for n, value in enumerate(self.values.flat):
            made[n] = function(value)
        return Column(self.axes, made.reshape(self.values.shape))


def constant(value: Any) -> Column:
    """The same value everywhere."""
    held = np.empty((), dtype=object)
    held[()] = value
    return Column((), held)


def numbers(shape: Sequence[int]) -> NDArray[np.int64]:
    """0, 1, 2, ... in a shape: where each value of a column stands in it when it is flat."""
    return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)


def spread(values: NDArray[Any], have: Sequence[str], want: Sequence[str], lengths: Mapping[str, int]) -> NDArray[Any]:
    """``values`` over the axes ``have`` as a view over the axes ``want``, which hold them all, in the same order."""
    index = tuple(slice(None) if name in have else None for name in want)
    shape = tuple(lengths[name] for name in want)
    return np.broadcast_to(values[index] if want else values, shape)


def shrink(
    mask: NDArray[np.bool_], have: Sequence[str], want: Sequence[str], lengths: Mapping[str, int]
) -> NDArray[np.bool_]:
    """A mask over ``have`` as one over ``want``: true where any point that agrees in the common axes is true."""
    gone = tuple(n for n, name in enumerate(have) if name not in want)
    common = [name for name in have if name in want]
    return spread(np.asarray(mask.any(axis=gone)), common, want, lengths)


def input_axes(expression: Any, document: Document) -> tuple[str, ...]:
    """The axes that an expression of inputs depends on, in the order of the sweep."""
    used = {document.setters[ref.name] for ref in references(expression) if ref.name in document.setters}
    return ordered(used, document)


def ordered(axes: set[str], document: Document) -> tuple[str, ...]:
    """Axes in the order of the sweep."""
    return tuple(name for name in document.axes if name in axes)


def column(expression: Any, document: Document) -> Column:
    """An expression's values over the axes that it depends on."""
    axes = input_axes(expression, document)
    points = [document.axes[name].points for name in axes]
    made = np.empty([len(p) for p in points], dtype=object)
    flat = made.reshape(-1)
    for n, chosen in enumerate(itertools.product(*points)):
        inputs = dict(document.inputs)
        for point in chosen:
            inputs |= point
        flat[n] = evaluate(expression, inputs)
    return Column(axes, made)
