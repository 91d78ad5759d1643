"""What belongs to an output in a dataset: the further fields of its record, the metadata of its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray


def fields(dataset: xarray.Dataset, name: str) -> dict[str, xarray.DataArray]:
    """The fields of an output's record beside its main one, by their names in the record."""
    return belonging(dataset, name, "field")


def belonging(dataset: xarray.Dataset, name: str, word: str) -> dict[str, xarray.DataArray]:
    """The variables that say they belong to an output, by what they say they are of it."""
    return {
        variable.attrs[word]: variable
        for variable in dataset.data_vars.values()
        if "record" not in variable.attrs and variable.attrs.get("output") == name and word in variable.attrs
    }


@dataclass(frozen=True)
class Said:
    """One metadatum of an output's items."""

    shared: Any
    """of all items, or what stands for it where they don't have it"""
    own: xarray.DataArray | None
    """of each point, where items differ"""

    def at(self, point: Mapping[str, int]) -> Any:
        """That of an item; point: its index along each axis."""
        return self.shared if self.own is None else self.own.isel(point).values.tolist()


def said(dataset: xarray.Dataset, name: str, word: str, otherwise: Any = None) -> Said:
    """What the items of an output say under a word."""
    own = belonging(dataset, name, "metadata").get(word)
    return Said(dataset[name].attrs.get(word, otherwise), None if own is None else own.load())


def bounds(dataset: xarray.Dataset, name: str) -> Said:
    """What stands for black and white in pictures."""
    return said(dataset, name, "range", (-1.0, 1.0))
