"""Tables in parquet files, within bounds: a small file can hold one text very often."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowgen.errors import UserError
from flowgen.language.cells import SOUND, Cells, check_cell, find_columns
from flowgen.language.sources import check_count

MAX_BYTES = 2 << 30
"""of a parquet file's cells in memory"""
CELL = 40
"""bytes of a cell in memory, beside its text"""


def read_parquet(path: Path, wanted: Sequence[str] | None, limit: int | None) -> Cells:
    """A parquet file, read in batches. Needs pyarrow."""
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(f"reading {path} needs pyarrow", hint="pip install pyarrow") from None
    if not path.is_file():
        raise UserError(f"can't read {path}: {'not a file' if path.exists() else 'No such file or directory'}")
    try:
        with parquet.ParquetFile(path) as file:
            known = list(file.schema_arrow.names)
        find_columns(wanted or (), known, path)
        check_count(file.metadata.num_rows if limit is None else min(limit, file.metadata.num_rows), str(path))
        names = known if wanted is None else wanted
        kinds = {name: file.schema_arrow.field(name).type for name in names}
        check_kinds(kinds, path)
        repeating = repeating_columns(file.metadata)
        once = [name for name, kind in kinds.items() if is_text(kind) and name not in repeating]
        rows = min(65_536, 2**22 // len(names), *(2**28 // max(1, repeating.get(name, 1)) for name in names))
        with parquet.ParquetFile(path, read_dictionary=once) as file:  # a text that stands often is decoded once
            cells = parquet_cells(file.iter_batches(max(1, rows), columns=list(names)), names, limit, path)
    except (arrow.ArrowException, OSError, KeyError) as error:
        raise UserError(f"can't read {path}: {str(error).splitlines()[0]}") from None
    for name, column in cells.items():
        for number, value in enumerate(column):
            if type(value) not in SOUND:
                check_cell(value, f"{path}, row {number}: '{name}'")
    return cells


def check_kinds(kinds: Mapping[str, Any], path: Path) -> None:
    """Columns must be of a kind that cells can come from."""
    types = importlib.import_module("pyarrow").types
    if not kinds:
        raise UserError(f"{path} has no columns")
    for name, kind in kinds.items():
        good = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)
        if not good and not is_text(kind):
            raise UserError(f"{path}: the column '{name}' is of {kind}; a cell is a number, a text, true or false")


def is_text(kind: Any) -> bool:
    """Whether a column holds texts, each as it stands or by its number in a list of them."""
    types = importlib.import_module("pyarrow").types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind))


def repeating_columns(about: Any) -> dict[str, int]:
    """The columns whose encoding lets a value repeat all of the one before it, and the length that one may have."""
    found: dict[str, int] = {}
    for group in map(about.row_group, range(about.num_row_groups)):
        for chunk in map(group.column, range(about.num_columns)):
            if "DELTA_BYTE_ARRAY" in chunk.encodings:
                name = chunk.path_in_schema
                found[name] = max(found.get(name, 0), chunk.total_uncompressed_size)
    return found


def parquet_cells(batches: Iterable[Any], names: Sequence[str], limit: int | None, path: Path) -> Cells:
    """The columns of these names, their size counted before they are made: a small file can hold one text very often.

    Raises UserError.
    """
    cells: Cells = {name: [] for name in names}
    count, size = 0, 0
    for batch in batches:
        batch = batch if limit is None else batch.slice(0, limit - count)
        count += len(batch)
        check_count(count, str(path))
        size += sum(size_of(batch.column(name)) for name in names)
        if size > MAX_BYTES:
            hint = "limit: N takes the first N rows; columns: {INPUT: COLUMN} takes the columns that are named"
            raise UserError(f"{path} takes more than {MAX_BYTES >> 30} GiB of memory", hint=hint)
        for name, column in cells.items():
            column += batch.column(name).to_pylist()
        if count == limit:
            break
    return cells


def size_of(column: Any) -> int:
    """Bytes that a column of Arrow takes as Python's values, about."""
    types, compute = importlib.import_module("pyarrow").types, importlib.import_module("pyarrow.compute")
    lengths = None
    if types.is_dictionary(column.type):
        lengths = compute.binary_length(column.dictionary).cast("int64").take(column.indices)
    elif is_text(column.type):
        lengths = compute.binary_length(column).cast("int64")
    return CELL * len(column) + (compute.sum(lengths).as_py() or 0 if lengths is not None else 0)
