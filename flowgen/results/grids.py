"""Sheets of pictures as PNG files: rows and columns are axes of the sweep."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo

from flowgen.execute.memory import give_back
from flowgen.language.labels import all_readable, digits, readable, safe_name
from flowgen.results.files import whole
from flowgen.results.lookup import Said, bounds
from flowgen.results.sheet import CAPTION, Sheet, draw
from flowgen.results.views import View, views

FILES = 24
"""sheets of an output at most"""
SIDE = 40
"""rows and columns of a sheet at most"""
LOADED = 2 * 2**20
"""bytes of pictures held at a time, where one isn't more"""


def write_grids(
    folder: Path, dataset: xarray.Dataset, asked: Mapping[str, Mapping[str, tuple[str, str]]] | None = None
) -> dict[str, list[Path]]:
    """Write the sheets of each image output into ``folder/images``; the paths by output, in the order to look at them.

    asked: by variable, the sheets wanted in place of the usual ones: rows and columns by the name of the output. At
    most 24 sheets of 40 × 40 pictures per output; what is left out is said on the sheet and in its description.
    """
    found: dict[str, list[Path]] = {}
    for name, variable in dataset.data_vars.items():
        if variable.attrs.get("record") == "Image" and variable.ndim == len(variable.attrs["axes"]) + 3:
            labels = labels_of(variable)
            wanted = {output: [view_of(labels, *axes)] for output, axes in (asked or {}).get(str(name), {}).items()}
            for output, kinds in (wanted or {str(name): views(labels)}).items():
                taken = [path for paths in found.values() for path in paths]
                scale = bounds(dataset, str(name))
                found[output] = write_output(folder / "images", output, variable, scale, kinds, taken)
    return found


def view_of(labels: Mapping[str, Sequence[Any]], rows: str, columns: str) -> View:
    """Two axes that were asked for; each point of the others has its sheet."""
    others = [axis for axis in labels if axis not in (rows, columns)]
    fixed = tuple(axis for axis in others if len(labels[axis]) == 1)
    return View(rows, columns, fixed, tuple(axis for axis in others if axis not in fixed))


def write_output(
    folder: Path, name: str, pictures: xarray.DataArray, scale: Said, kinds: Sequence[View], taken: Sequence[Path]
) -> list[Path]:
    """The sheets of one output. scale: what stands for black and white in each picture."""
    labels = labels_of(pictures)
    lengths = {axis: len(found) for axis, found in labels.items()}
    planned = [(view, list(itertools.islice(view.sheets(lengths), share))) for view, share in shares(kinds, lengths)]
    left_out = sum(math.prod(lengths[a] for a in view.each) - len(points) for view, points in planned)
    more = [f"{left_out} more sheets of '{name}' are left out."] if left_out else []
    paths: list[Path] = []
    for view, points in planned:
        for at in ({axis: chosen[axis] for axis in labels if axis in chosen} for chosen in points):
            said = [f"{axis}={readable(labels[axis][index], 40, digits(labels[axis]))}" for axis, index in at.items()]
            path = free_path(folder, safe_name(" ".join([name, *said])), [*taken, *paths])
            sheet = make_sheet(name, pictures, scale, labels, view, at)
            write_sheet(path, sheet, caption(name, labels, view, at), more)
            give_back()  # tens of megabytes
            paths.append(path)
    return paths


def write_sheet(path: Path, sheet: Sheet, said: str, more: Sequence[str]) -> None:
    """Draw a sheet with further notes, which its text entry says too."""
    notes, about = [*sheet.notes, *more], PngInfo()
    about.add_itxt(CAPTION, ". ".join([said, *notes]))
    with whole(path) as aside:
        draw(replace(sheet, notes=notes)).save(aside, format="PNG", pnginfo=about, compress_type=zlib.Z_RLE)


def shares(kinds: Sequence[View], lengths: Mapping[str, int]) -> list[tuple[View, int]]:
    """How many sheets each view may have; one leaves what it doesn't need to the others."""
    left, found = FILES, []
    for n, view in enumerate(kinds):
        after = sum(math.prod(lengths[a] for a in other.each) for other in kinds[n + 1 :])
        share = max(left // (len(kinds) - n), left - after)
        needed = min(share, math.prod(lengths[a] for a in view.each))
        found.append((view, needed))
        left -= needed
    return found


def labels_of(pictures: xarray.DataArray) -> dict[str, Sequence[Any]]:
    """The labels of each axis, which may be a million; numbers from 0 where it has none."""
    return {
        str(axis): pictures.coords[axis].values if axis in pictures.coords else range(pictures.sizes[axis])
        for axis in pictures.attrs["axes"]
    }


def make_sheet(
    name: str,
    pictures: xarray.DataArray,
    scale: Said,
    labels: Mapping[str, Sequence[Any]],
    view: View,
    at: Mapping[str, int],
) -> Sheet:
    """The sheet of a view at one point of the other axes."""
    title = ", ".join(
        [name, *(f"{axis} = {readable(labels[axis][index], 60, digits(labels[axis]))}" for axis, index in at.items())]
    )
    here, rows, columns = pictures.isel(at), view.rows, view.columns
    if rows is None:
        return strip(title, here, lambda along: scale.at({**at, **along}), labels, columns)
    assert columns is not None
    notes = [
        f"{axis}: the first {SIDE} of {len(labels[axis])} are shown."
        for axis in (rows, columns)
        if len(labels[axis]) > SIDE
    ]
    shown = here.isel({rows: slice(SIDE), columns: slice(SIDE)})

    def scale_at(row: int, column: int) -> Any:
        return scale.at({**at, rows: row, columns: column})

    down, across = ((axis, all_readable(labels[axis][:SIDE])) for axis in (rows, columns))
    return Sheet(title, down, across, reader(shown, rows, columns), scale_at, notes)


def caption(name: str, labels: Mapping[str, Sequence[Any]], view: View, at: Mapping[str, int]) -> str:
    """What a sheet shows, in words."""
    along = " × ".join(axis for axis in (view.rows, view.columns) if axis)
    where = ", ".join(
        f"{axis} = {readable(labels[axis][index], 60, digits(labels[axis]))}" for axis, index in at.items()
    )
    return name + (f": {along}" if along else "") + (f" at {where}" if where else "")


def strip(
    title: str,
    pictures: xarray.DataArray,
    scale: Callable[[dict[str, int]], Any],
    labels: Mapping[str, Sequence[Any]],
    axis: str | None,
) -> Sheet:
    """A single axis: one row, or several where that would be too wide; no axis: one picture."""
    if axis is None:
        picture = pictures.values
        return Sheet(title, ("", [""]), ("", [""]), lambda row, column: picture, lambda row, column: scale({}))
    count = len(labels[axis])
    across = count if count <= 10 else min(SIDE, 8 if count <= 64 else math.ceil(math.sqrt(count)))
    down = min(SIDE, math.ceil(count / across))
    shown = min(count, down * across)
    found = all_readable(labels[axis][:shown])
    notes = [f"{axis}: the first {shown} of {count} are shown."] if shown < count else []
    read = reader(pictures.isel({axis: slice(shown)}), axis)

    def picture_at(row: int, column: int) -> NDArray[Any] | None:
        n = row * across + column
        return read(n) if n < shown else None

    def label_at(row: int, column: int) -> str:
        n = row * across + column
        return found[n] if n < shown else ""

    def scale_at(row: int, column: int) -> Any:
        return scale({axis: row * across + column})

    return Sheet(title, ("", [""] * down), (axis, [""] * across), picture_at, scale_at, notes, label_at)


def reader(pictures: xarray.DataArray, *axes: str) -> Callable[..., NDArray[Any]]:
    """Pictures by their places along one or two axes: some of the first are read at once where they are small enough,
    else each by itself. They are turned when they are in memory: of a turned array Zarr seeks every number by itself.
    """
    many = LOADED // max(1, pictures.isel({axes[0]: 0}).nbytes)
    if not many:
        return lambda *at: pictures.isel(dict(zip(axes, at, strict=True))).values

    @lru_cache(maxsize=1)
    def rows(block: int) -> NDArray[Any]:
        some = pictures.isel({axes[0]: slice(block * many, (block + 1) * many)}).load()
        return np.asarray(some.transpose(*axes, ...).values)

    return lambda row, *column: np.asarray(rows(row // many)[(row % many, *column)])


def free_path(folder: Path, stem: str, taken: Sequence[Path]) -> Path:
    """A path that no other sheet has, on file systems that don't tell cases apart either."""
    used = {path.name.casefold() for path in taken}
    names = itertools.chain([f"{stem}.png"], (f"{stem}~{n}.png" for n in itertools.count(2)))
    return folder / next(name for name in names if name.casefold() not in used)
