"""What an output becomes in a dataset: the variables of its record, their dimensions and attributes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flowgen.language.strict_json import strict
from flowgen.results.columns import Column
from flowgen.values import Record

RESERVED = {"_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "units", "calendar", "coordinates"}
"""attributes that xarray acts upon"""


@dataclass
class Names:
    """The names in use in a dataset."""

    axes: frozenset[str]
    variables: set[str]
    dims: dict[str, int] = field(default_factory=dict)
    """dimensions that are no axes, with their lengths"""

    def variable(self, wanted: str) -> str:
        """A name for a variable: the one wanted, with a number where it is taken."""
        tries = itertools.chain([wanted], (f"{wanted}_{n}" for n in itertools.count(2)))
        found = next(t for t in tries if t not in self.variables | self.axes and t not in self.dims)
        self.variables.add(found)
        return found

    def dim(self, wanted: str, owner: str, length: int, taken: tuple[str, ...]) -> str:
        """A name for a dimension: shared where lengths agree, else prefixed by its variable's name."""
        tries = itertools.chain([wanted, f"{owner}_{wanted}"], (f"{owner}_{wanted}_{n}" for n in itertools.count(2)))
        free = (t for t in tries if t not in taken and t not in self.variables | self.axes)
        return next(t for t in free if self.dims.setdefault(t, length) == length)


@dataclass(frozen=True)
class Variable:
    """One tensor of a record, as it is written."""

    name: str
    field: str
    """dotted name in the record"""
    dims: tuple[str, ...]
    """its own, after the axes"""
    shape: tuple[int, ...]
    """of one item"""
    dtype: np.dtype[Any]

    @property
    def item_bytes(self) -> int:
        """Bytes of one item as written."""
        return math.prod(self.shape) * self.dtype.itemsize


def main_field(tensors: Mapping[str, Tensor]) -> str:
    """The field that stands for the whole record."""
    return "data" if "data" in tensors else next(iter(tensors))


def wanted(record: Record) -> dict[str, Tensor]:
    """A record's tensors without random streams, the main one first."""
    tensors = {name: tensor for name, tensor in record.tensors().items() if not is_stream(record, name)}
    main = main_field(tensors)
    return {main: tensors[main], **tensors}


def is_stream(record: Record, dotted: str) -> bool:
    """True for the state of random generators, which nobody reads."""
    owner, name = owner_of(record, dotted)
    return name == "stream" and getattr(owner, name).dtype == torch.uint8


def owner_of(record: Record, dotted: str) -> tuple[Record, str]:
    """The record that holds a tensor directly, and its name there."""
    *path, name = dotted.split(".")
    for step in path:
        record = getattr(record, step)
    return record, name


def variables_of(column: Column, record: Record, names: Names) -> list[Variable]:
    """The variables of an output, named; ``names`` grows by them. The main one's name is already in there."""
    found = []
    for number, (dotted, tensor) in enumerate(wanted(record).items()):
        name = column.name if number == 0 else names.variable(f"{column.name}_{dotted.replace('.', '_')}")
        shape = tuple(tensor.shape[1:])
        owner, inner = owner_of(record, dotted)
        known = owner.dimensions(inner, len(shape))
        dims: tuple[str, ...] = ()
        for n, length in enumerate(shape):
            called = known[n] if known else f"{name}_dim_{n}"
            dims += (names.dim(called, name, length, dims),)
        dtype = as_numpy(tensor[:0]).dtype
        found.append(Variable(name, dotted, dims, shape, dtype if number else with_missing(dtype, shape, column)))
    return found


def with_missing(dtype: np.dtype[Any], shape: tuple[int, ...], column: Column) -> np.dtype[Any]:
    """The dtype of an output's values: where points have no result whole numbers become floats, which have NaN."""
    if dtype.kind not in "biu" or (column.keys != b"").all():
        return dtype
    return np.promote_types(dtype, np.float32 if shape else np.float64)


def attributes_of(
    column: Column, variable: Variable, metadata: Mapping[str, Any], record: type[Record]
) -> dict[str, Any]:
    """Attributes of a variable: its ``field``. Main ones say their ``record`` and ``axes``, others their ``output``."""
    if variable.name != column.name:
        return {"output": column.name, "field": variable.field}
    found: dict[str, Any] = {"record": record.__name__, "axes": list(column.axes), "field": variable.field}
    for name, value in metadata.items():
        if name == "name":
            found["long_name"] = str(value)
        elif not (isinstance(value, dict) and "record" in value):
            found[f"{name}_" if name in RESERVED or name in found else name] = strict(value)
    return found


def as_numpy(tensor: Tensor) -> NDArray[Any]:
    """A tensor as an array; float formats of fewer bits than 32 become float32."""
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor.contiguous().numpy()


def form(record: Record) -> str:
    """A record's class and the shape of an item, as errors say it."""
    parts = [f"{'×'.join(map(str, t.shape[1:])) or 'number'} {as_numpy(t[:0]).dtype}" for t in wanted(record).values()]
    return f"{type(record).__name__} of {', '.join(parts)}"
