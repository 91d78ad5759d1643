"""Axes from tables: csv, jsonl and parquet. A row is a point, a column an input; cells are data, never references."""

from __future__ import annotations

import csv
import itertools
import json
import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowgen.errors import UserError, did_you_mean
from flowgen.language.axes import MAX_POINTS, Axis, Context, Points, check_distinct, whole
from flowgen.language.cells import SOUND, Cells, check_cell, find_columns
from flowgen.language.expressions import NAME
from flowgen.language.parquet import read_parquet
from flowgen.language.sources import check_count, located_file, text_lines

WHOLE = re.compile(r"\s*[-+]?(?:0|[1-9][0-9]{0,299})\s*")
NUMBER = re.compile(r"\s*[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]{0,299})(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\s*")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

BATCH = 256
"""rows at once; fewer than make the garbage collector look at all cells again and again"""


def from_table(spec: dict[str, Any], context: Context) -> Axis:
    """``{csv: file, columns: {input: column}, labels: column, limit: n}``, likewise jsonl and parquet."""
    kind = next(k for k in READERS if k in spec)
    path, limit = located_file(spec, kind, context), whole(spec, "limit", context)
    columns, label = spec.get("columns"), spec.get("labels")
    if columns is not None:
        check_columns(columns, context)
    if label is not None and not isinstance(label, str):
        raise UserError(f"the axis '{context.name}': 'labels' takes the name of a column")
    wanted = None if columns is None else list(dict.fromkeys([*columns.values(), *([label] if label else [])]))
    cells = READERS[kind](path, wanted, limit)
    if columns is None:
        columns = {name: name for name in cells}
        check_inputs(columns, path)
        find_columns([label] if label else [], list(cells), path)
    kinds = {name: typed(column) for name, column in cells.items()} if kind == "csv" else cells
    found = {name: (cells if name in context.texts else kinds)[column][:limit] for name, column in columns.items()}
    count = len(next(iter(found.values())))
    if not count:
        raise UserError(f"{path} has no rows")
    labels = tuple(range(count))
    if label:
        named = [name for name, column in columns.items() if column == label]
        labels = tuple((cells if named and context.texts.issuperset(named) else kinds)[label][:limit])
        check_distinct(labels, context.name, "leave out 'labels' to number the rows")
    return Axis(context.name, labels, Points(found), context.at)


def check_columns(columns: Any, context: Context) -> None:
    """``columns`` maps inputs to columns."""
    good = isinstance(columns, dict) and columns and all(isinstance(c, str) for c in columns.values())
    if not good:
        hint = "leave it out to take every column under its own name"
        raise UserError(f"the axis '{context.name}': 'columns' takes {{input: column, ...}}", hint=hint)
    for name in columns:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UserError(f"the axis '{context.name}': '{name}' is not the name of an input")


def check_inputs(columns: Mapping[str, str], path: Path) -> None:
    """Without ``columns``, what the table calls its columns must do as names of inputs."""
    for name in columns:
        if not NAME.fullmatch(name):
            hint = f"name the inputs: columns: {{INPUT: {name!r}, ...}}"
            raise UserError(f"{path}: the column '{name}' is no name for an input", hint=hint)


def read_csv(path: Path, wanted: Sequence[str] | None, limit: int | None) -> Cells:
    """A comma-separated file with a header: texts, of all rows, which say together of what kind a column is."""
    reader = csv.reader(text_lines(path, newline=""), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise UserError(f"{path} is empty", hint="a csv begins with the names of its columns")
        for n, name in enumerate(header):
            if name in header[:n]:
                raise UserError(f"{path}, line 1: the column '{name}' stands twice", hint="rename one of them")
        find_columns(wanted or (), header, path)
        return csv_cells(reader, header, wanted, path)
    except csv.Error as error:
        said = "a cell is too long (a quote left open?)" if "field larger" in str(error) else str(error)
        raise UserError(f"{path}, line {reader.line_num}: not valid csv: {said}") from None


def csv_cells(reader: Any, header: list[str], wanted: Sequence[str] | None, path: Path) -> Cells:
    """The wanted columns as texts."""
    cells: Cells = {name: [] for name in (header if wanted is None else wanted)}
    places = [(header.index(name), column) for name, column in cells.items()]
    count = 0
    while batch := list(itertools.islice(reader, BATCH)):
        if set(map(len, batch)) != {len(header)}:
            if any(len(row) not in (0, len(header)) for row in batch):
                raise ragged(path, len(header))
            batch = list(filter(None, batch))
        for place, column in places:
            column.extend(map(operator.itemgetter(place), batch))
        count += len(batch)
        check_count(count, str(path))
    return cells


def ragged(path: Path, width: int) -> UserError:
    """What is wrong with the first row that isn't as long as the header; blank lines are none."""
    reader = csv.reader(text_lines(path, newline=""), strict=True)
    count = next(len(row) for row in reader if len(row) not in (0, width))
    said = f"{count} cell{'s' * (count != 1)}, but {width} column{'s' * (width != 1)}"
    return UserError(f"{path}, line {reader.line_num}: {said}", hint="a cell that holds a comma needs quotes")


def typed(cells: list[str]) -> list[Any]:
    """Numbers or booleans where every cell of the column is one, else the texts as they are.

    Whole numbers, numbers and true/false read as in YAML 1.2; what begins with needless zeros (``007``) is a text, and
    so is what isn't finite.
    """
    if all(map(WHOLE.fullmatch, cells)):
        return list(map(int, cells))
    if all(map(NUMBER.fullmatch, cells)):
        numbers = list(map(float, cells))
        return numbers if all(map(math.isfinite, numbers)) else cells
    return [cell.lower() == "true" for cell in cells] if all(map(BOOL.fullmatch, cells)) else cells


def read_jsonl(path: Path, wanted: Sequence[str] | None, limit: int | None) -> Cells:
    """A file with one JSON object a line; blank lines are skipped."""
    cells: Cells | None = None
    for count, (number, row) in enumerate(json_rows(path), 1):
        if cells is None:
            cells = {name: [] for name in (row if wanted is None else wanted)}
        for name, column in cells.items():
            if name not in row:
                raise UserError(f"{path}, line {number}: there is no '{name}'", hint=did_you_mean(name, row))
            column.append(value := row[name])
            if type(value) not in SOUND:
                check_cell(value, f"{path}, line {number}: '{name}'")
        if count == limit:
            break
        if count > MAX_POINTS:
            check_count(count, str(path))
    if not cells:
        raise UserError(f"{path} has no rows")
    return cells


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects and their lines."""
    decode = json.JSONDecoder(object_pairs_hook=distinct, parse_constant=not_a_number).raw_decode
    for number, line in enumerate(text_lines(path), 1):
        if not (text := line.strip()):
            continue
        try:
            row, end = decode(text)
            if end < len(text):
                raise json.JSONDecodeError("more than one value", text, end)
            if "\\u" in line and SURROGATE.search(line):
                json.dumps(row, ensure_ascii=False).encode()
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error.message}", hint=error.hint) from None
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}: not valid JSON: {error.msg} (column {error.colno})") from None
        except UnicodeEncodeError:
            raise UserError(f"{path}, line {number}: a text is not valid Unicode") from None
        except (ValueError, RecursionError) as error:
            said = "nested too deep" if isinstance(error, RecursionError) else str(error).partition(":")[0]
            raise UserError(f"{path}, line {number}: not valid JSON: {said}") from None
        if not isinstance(row, dict) or not row:
            raise UserError(f"{path}, line {number}: not an object", hint='a line is {"column": value, ...}')
        yield number, row


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once each."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise UserError(f"{twice!r} stands twice", hint="rename one of them")
    return found


def not_a_number(text: str) -> Any:
    """JSON has no NaN and no infinities."""
    raise ValueError(f"{text} is not a number")


READERS = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}
