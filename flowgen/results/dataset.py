"""Outputs as one labelled dataset, written slab by slab to a Zarr group that xarray opens."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from flowgen.errors import UserError
from flowgen.execute.memory import give_back
from flowgen.language.axes import Axis
from flowgen.language.strict_json import strict
from flowgen.results.columns import Column, Reader
from flowgen.results.files import Told, untold
from flowgen.results.labels import coordinate
from flowgen.results.metadata import Metadata
from flowgen.results.slabs import MOST, aligned, box, regions
from flowgen.results.variables import Names, Variable, as_numpy, attributes_of, form, variables_of, wanted
from flowgen.values import Record

NAME = "results.zarr"
SLAB = 8 * 2**20
"""bytes read and written at a time; some copies of them are held"""
CHUNK = 4 * 2**20
"""bytes of a chunk, where one item isn't more"""
PACKED = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"), Crc32cCodec()
"""numbers' bytes by their place, which of many pictures leaves less than Zarr's own choice in two thirds of the time;
and a checksum, without which a damaged chunk may answer other numbers"""
LABELS = ZstdCodec(), Crc32cCodec()
"""of labels, which may be texts"""


def write_dataset(
    folder: Path,
    axes: Mapping[str, Axis],
    columns: Sequence[Column],
    reader: Reader,
    attributes: Mapping[str, Any],
    slab_bytes: int = SLAB,
    told: Told = untold,
) -> xarray.Dataset:
    """Write ``folder/results.zarr`` and open it, arrays read on demand.

    A variable per output over its axes and its record's own dimensions; further tensors as ``OUTPUT_FIELD``, and so
    metadata that isn't the same for all items. Written aside and renamed: a ``results.zarr`` that exists is whole.
    Raises UserError where the items of an output differ in shape, and whatever the reader raises. told: how many points
    of all outputs are written.
    """
    aside = folder / f".{NAME}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        group = zarr.create_group(aside, zarr_format=3, attributes=strict(attributes))
        used = {name: axes[name] for name in axes if any(name in column.axes for column in columns)}
        for axis in used.values():
            write_coordinate(group, axis)
        names = Names(frozenset(used), {column.name for column in columns})
        points, total = 0, sum(column.keys.size for column in columns)
        told("results", points, total)
        for column in columns:
            for count in write_column(group, column, reader, names, slab_bytes):
                points += count
                told("results", points, total)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata")  # no standard yet, but xarray asks
            zarr.consolidate_metadata(aside)
        shutil.rmtree(folder / NAME, ignore_errors=True)
        aside.rename(folder / NAME)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    # without chunks no Dask arrays come about, so reading never becomes tasks of a cluster that is running
    opened: xarray.Dataset = xarray.open_zarr(folder / NAME, chunks=None)
    return opened


def write_coordinate(group: Any, axis: Axis) -> None:
    """An axis' labels."""
    labels = coordinate(axis.labels)
    kind = str if labels.dtype.kind == "T" else labels.dtype
    array = group.create_array(
        axis.name,
        shape=labels.shape,
        chunks=labels.shape,
        dtype=kind,
        compressors=LABELS,
        dimension_names=(axis.name,),
    )
    array[:] = labels


def write_column(group: Any, column: Column, reader: Reader, names: Names, slab_bytes: int) -> Iterator[int]:
    """One output: arrays made after its first item, filled slab by slab, attributes last; the points of each slab."""
    first = example(column, reader)
    variables = variables_of(column, first, names)
    written = sum(variable.item_bytes for variable in variables)
    held = written + sum(t[:1].numel() * t.element_size() for t in first.tensors().values())
    most = max(1, slab_bytes // max(1, held))
    lengths = column.keys.shape
    chunk = box(lengths, min(most, max(1, CHUNK // max(1, max(v.item_bytes for v in variables)))))
    arrays = {v.field: new_array(group, column, v, chunk) for v in variables}
    metadata = Metadata(lengths, first.metadata())
    for region in regions(lengths, aligned(box(lengths, most), chunk, lengths)):
        keys = column.keys[region]
        values, kinds = gather(column, keys.ravel().tolist(), reader, first, variables, metadata)
        metadata.at[region] = kinds.reshape(keys.shape)
        for variable in variables:
            arrays[variable.field][(*region, ...)] = values[variable.field].reshape((*keys.shape, *variable.shape))
        del values
        give_back()
        yield keys.size
    for variable in variables:
        arrays[variable.field].attrs.update(attributes_of(column, variable, metadata.shared(), type(first)))
    for word, numbers in metadata.differing().items():
        write_metadata(group, column, word, numbers, names)


def write_metadata(group: Any, column: Column, word: str, values: NDArray[Any], names: Names) -> None:
    """What the items of an output say differently under a word, by point."""
    name = names.variable(f"{column.name}_{word}")
    dims: tuple[str, ...] = ()
    for n, length in enumerate(values.shape[len(column.axes) :]):
        dims += (names.dim(f"{name}_dim_{n}", name, length, dims),)
    text = values.dtype.kind == "T"
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(1, side) for side in box(values.shape, MOST)),
        dtype=str if text else values.dtype,
        compressors=LABELS,
        fill_value="" if text else np.nan,
        dimension_names=(*column.axes, *dims),
        attributes={"output": column.name, "metadata": word},
    )
    array[...] = values


def example(column: Column, reader: Reader) -> Record:
    """An item of an output. Raises UserError if no point has a result, and nobody knows what one would be like."""
    known = column.keys != b""
    if known.any():
        key = column.keys.flat[int(known.argmax())].decode()
        return reader.read([key], column.output)[0][1]
    if column.form is None:
        raise UserError(f"no point of the output '{column.name}' has a result")
    return column.form


def new_array(group: Any, column: Column, variable: Variable, chunk: Sequence[int]) -> Any:
    """The array of a variable; points without a result are NaN, and 0 in further fields of whole numbers."""
    return group.create_array(
        variable.name,
        shape=(*column.keys.shape, *variable.shape),
        chunks=(*chunk, *(max(1, n) for n in variable.shape)),
        dtype=variable.dtype,
        compressors=PACKED,
        fill_value=blank(variable.dtype),
        dimension_names=(*column.axes, *variable.dims),
    )


def blank(dtype: np.dtype[Any]) -> Any:
    """What stands where there is no result."""
    return dtype.type(np.nan) if dtype.kind in "fc" else dtype.type(0)


def gather(
    column: Column,
    keys: list[bytes],
    reader: Reader,
    first: Record,
    variables: Sequence[Variable],
    metadata: Metadata,
) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """The values at some points by field, item axis first, and the kinds of their metadata."""
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        if key:
            rows.setdefault(key.decode(), []).append(row)
    values = {v.field: np.full((len(keys), *v.shape), blank(v.dtype), dtype=v.dtype) for v in variables}
    kinds = np.full(len(keys), -1)
    places = list(rows.values())
    groups = reader.read(list(rows), column.output) if rows else []
    for positions, batch in groups:
        check_form(column, first, batch)
        items = [n for n, position in enumerate(positions) for _ in places[position]]
        points = [row for position in positions for row in places[position]]
        kinds[points] = metadata.kind(batch.metadata())
        for name, tensor in wanted(batch).items():
            array = as_numpy(tensor)
            values[name][points] = array if len(items) == len(array) else array[items]
    return values, kinds


def check_form(column: Column, first: Record, batch: Record) -> None:
    """Raise UserError unless items have one shape."""
    if type(first) is not type(batch) or form(first) != form(batch) or [*wanted(first)] != [*wanted(batch)]:
        raise UserError(
            f"the output '{column.name}' has items of several shapes: {form(first)}, and {form(batch)}",
            hint="an axis that changes the shape can't be part of one array: bring them to one shape, or run it apart",
        )
