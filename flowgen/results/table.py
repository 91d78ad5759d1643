"""Scalar outputs in a table: reduced ones as they are, others averaged over the axes that the table doesn't have."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from flowgen.language.labels import all_readable
from flowgen.results.labels import is_seed, significant
from flowgen.results.lookup import fields

ROWS = 40
"""rows shown at most"""


def scalars(dataset: xarray.Dataset) -> dict[str, xarray.DataArray]:
    """The outputs with one number per point, by name; those with the fewest axes last."""
    found = {
        str(name): variable
        for name, variable in dataset.data_vars.items()
        if "record" in variable.attrs and list(variable.dims) == list(variable.attrs["axes"])
    }
    return dict(sorted(found.items(), key=lambda entry: -entry[1].ndim))


def row_axes(dataset: xarray.Dataset) -> tuple[str, ...]:
    """The axes of the table's rows: those of the scalars with the fewest axes, none left out unless rows are many.

    Where that makes more than 40 rows, seeds are averaged over.
    """
    found = scalars(dataset).values()
    fewest = min((variable.ndim for variable in found if variable.ndim), default=0)
    axes = dict.fromkeys(str(dim) for variable in found if variable.ndim == fewest for dim in variable.dims)
    if math.prod(dataset.sizes[axis] for axis in axes) > ROWS and not all(map(is_seed, axes)):
        return tuple(axis for axis in axes if not is_seed(axis))
    return tuple(axes)


def mean_over(variable: xarray.DataArray, axes: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and number of values over all but these axes, missing ones left out; both over the axes in their order.

    An axis that the variable doesn't have gets length 1.
    """
    has = [axis for axis in axes if axis in variable.dims]
    values = variable.transpose(*has, ...).values.astype(np.float64)
    values = values.reshape(*(variable.sizes.get(axis, 1) for axis in axes), -1)
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0).sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0), count


def averaged(variable: xarray.DataArray, axes: Sequence[str]) -> list[str]:
    """The axes that a scalar is averaged over in a table with these rows."""
    return [str(dim) for dim in variable.dims if dim not in axes]


def scalar_summary(dataset: xarray.Dataset, most: int | None = None) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of the table, ``most`` at most: labels, and for each scalar its number and n, not rounded.

    For a mean n is how many points it is over; otherwise the ``count`` of the score.
    """
    axes = row_axes(dataset)
    shape = tuple(dataset.sizes[axis] for axis in axes)
    headers, parts = list(axes), []
    for name, variable in scalars(dataset).items():
        over = averaged(variable, axes)
        means, count = mean_over(variable, axes)
        if not over and (own := fields(dataset, name).get("count")) is not None:
            count = mean_over(own, axes)[0].astype(np.int64)
        headers += [f"{name}, mean over {', '.join(over)}" if over else name, "n"]
        parts.append((np.broadcast_to(means, shape), np.broadcast_to(count, shape)))
    if not parts:
        return [], []
    labels = [dataset.coords[a].values if a in dataset.coords else np.arange(dataset.sizes[a]) for a in axes]
    rows = []
    for at in itertools.islice(np.ndindex(*shape), most):
        row: list[Any] = [found[n] for found, n in zip(labels, at, strict=True)]
        for means, count in parts:
            row += [float(means[at]), int(count[at])]
        rows.append(row)
    return headers, rows


def scalar_table(dataset: xarray.Dataset) -> Table | None:
    """The table for a terminal, its first 40 rows; None without scalar outputs."""
    headers, rows = scalar_summary(dataset, ROWS)
    if not rows:
        return None
    axes = row_axes(dataset)
    labels, total = len(axes), math.prod(dataset.sizes[axis] for axis in axes)
    table = Table(caption=f"the first {ROWS} of {total} rows; all are in results.zarr" if total > ROWS else None)
    for n, header in enumerate(headers):
        is_label = n < labels
        table.add_column(escape(header.replace(", mean over", "\nmean over")), justify="left" if is_label else "right")
    columns = [
        all_readable(cells, 60) if n < labels else [significant(cell) for cell in cells]
        for n, cells in enumerate(zip(*rows, strict=True))
    ]
    for row in zip(*columns, strict=True):
        table.add_row(*map(escape, row))
    return table
