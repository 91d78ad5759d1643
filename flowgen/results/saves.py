"""Outputs as files of their own: one for each point, or a table or an animation for the points along some axes."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from flowgen.language.labels import exact_text
from flowgen.language.outputs import Making, Output
from flowgen.language.patterns import Pattern
from flowgen.results.animations import write_animation
from flowgen.results.columns import Column
from flowgen.results.dataset import SLAB
from flowgen.results.files import Told, inside, untold, whole
from flowgen.results.labels import FAILED
from flowgen.results.lookup import Said, bounds, fields, said
from flowgen.results.sheet import CAPTION, pixels
from flowgen.results.slabs import aligned, box, regions
from flowgen.results.sounds import write_sound

QUALITY = 95
"""of jpg and webp"""
Point = dict[str, Any]
"""labels by axis"""


def write_saves(
    folder: Path,
    output: Output,
    column: Column,
    dataset: xarray.Dataset,
    labels: Mapping[str, Sequence[Any]],
    told: Told = untold,
) -> list[Path]:
    """Write the files of an output; their paths. Points without a result get no file, and 'failed' in a table.

    column: where the output's values are, under its name in ``dataset``. labels: of its axes, as the graph has them.
    """
    making = output.making
    if making is None or making.save is None:
        return []
    if making.time is not None:
        written = animations(folder, making, making.save, column, dataset, labels)
    elif making.save.kind == ".csv":
        written = tables(folder, making.save, column, dataset, labels)
    else:
        written = singles(folder, output.name, making.save, column, dataset, labels)
    total, paths = math.prod(len(labels[axis]) for axis in making.save.axes), list[Path]()
    told(f"'{output.name}'", 0, total)
    for path in written:
        paths.append(path)
        told(f"'{output.name}'", len(paths), total)
    return paths


def singles(
    folder: Path,
    name: str,
    save: Pattern,
    column: Column,
    dataset: xarray.Dataset,
    labels: Mapping[str, Sequence[Any]],
) -> Iterator[Path]:
    """A file for each point, read slab by slab."""
    main = dataset[column.name]
    wanted = {main.attrs["field"]: main, **(fields(dataset, column.name) if save.kind == ".safetensors" else {})}
    about = {"record": Said(main.attrs["record"], None), "range": bounds(dataset, column.name)}
    about["rate"] = said(dataset, column.name, "rate")
    lengths = column.keys.shape
    item = max(1, sum(field.nbytes for field in wanted.values()) // max(1, column.keys.size))
    chunk = main.encoding.get("chunks", ())[: len(lengths)] or (1,) * len(lengths)
    for region in regions(lengths, aligned(box(lengths, max(1, SLAB // item)), chunk, lengths)):
        read = {name: field.variable[region].values for name, field in wanted.items()}
        keys = np.asarray(column.keys[region])
        for at in np.ndindex(*keys.shape):
            if keys[at]:
                point = {axis: s.start + n for axis, s, n in zip(column.axes, region, at, strict=True)}
                where = {axis: labels[axis][n] for axis, n in point.items()}
                told = {word: found.at(point) for word, found in about.items()}
                path = inside(folder, save.fill(where))
                with whole(path) as aside:
                    write_one(aside, save.kind, {k: v[at] for k, v in read.items()}, told, where, name)
                yield path


def write_one(
    path: Path, kind: str, values: Mapping[str, NDArray[Any]], about: Mapping[str, Any], where: Point, name: str
) -> None:
    """One point's file. about: its item's ``record``, ``range`` and ``rate``."""
    first = next(iter(values.values()))
    if kind == ".npy":
        with path.open("wb") as file:
            np.save(file, first, allow_pickle=False)
    elif kind == ".safetensors":
        from safetensors.numpy import save_file

        point = {axis: exact_text(label) for axis, label in where.items()}
        save_file({k: np.ascontiguousarray(v) for k, v in values.items()}, path, metadata=point)
    elif kind == ".txt":
        path.write_text(f"{first}\n", encoding="utf-8")
    elif kind == ".wav":
        write_sound(path, first, about["rate"])
    elif about["record"] == "Video":
        write_animation(path, kind, (pixels(frame, about["range"]) for frame in first), about["rate"])
    else:
        place = ", ".join(f"{axis} = {exact_text(label)}" for axis, label in where.items())
        write_picture(path, kind, pixels(first, about["range"]), f"{name} at {place}" if place else name)


def write_picture(path: Path, kind: str, picture: NDArray[np.uint8], said: str) -> None:
    """A picture [H, W, 3]; a png says in its text entry which point it is."""
    image = Image.fromarray(picture)
    if kind == ".png":
        about = PngInfo()
        about.add_itxt(CAPTION, said)
        image.save(path, format="PNG", pnginfo=about)
    else:
        image.save(path, format="WEBP" if kind == ".webp" else "JPEG", quality=QUALITY)


def points(axes: Sequence[str], labels: Mapping[str, Sequence[Any]]) -> Iterator[tuple[dict[str, int], Point]]:
    """Indices and labels of the points along some axes."""
    for at in itertools.product(*(range(len(labels[axis])) for axis in axes)):
        yield (
            dict(zip(axes, at, strict=True)),
            {axis: labels[axis][n] for axis, n in zip(axes, at, strict=True)},
        )


def tables(
    folder: Path, save: Pattern, column: Column, dataset: xarray.Dataset, labels: Mapping[str, Sequence[Any]]
) -> Iterator[Path]:
    """A csv for each point of the axes in its name, a row for each point of the others."""
    values = dataset[column.name].load()
    counts = fields(dataset, column.name).get("count")
    counts = None if counts is None else counts.load()
    rest = [axis for axis in column.axes if axis not in save.axes]
    for at, where in points(save.axes, labels):
        path = inside(folder, save.fill(where))
        here = values.isel(at).values
        n = counts.isel(at).values if counts is not None else None
        with whole(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*rest, column.name, *(["n"] if n is not None else [])])
            for index in np.ndindex(*here.shape):
                row = [exact_text(labels[axis][i]) for axis, i in zip(rest, index, strict=True)]
                number = here[index]
                row.append(FAILED if np.isnan(number) else str(number))
                writer.writerow([*row, *([str(n[index])] if n is not None else [])])
        yield path


def animations(
    folder: Path,
    making: Making,
    save: Pattern,
    column: Column,
    dataset: xarray.Dataset,
    labels: Mapping[str, Sequence[Any]],
) -> Iterator[Path]:
    """An animation for each point of the other axes; frames without a result are left out."""
    assert making.time is not None
    main = dataset[column.name]
    scale = bounds(dataset, column.name)
    others = [axis for axis in column.axes if axis != making.time]
    for at, where in points(others, labels):
        there = column.keys[tuple(at.get(axis, slice(None)) for axis in column.axes)] != b""
        if there.any():
            path = inside(folder, save.fill(where))
            shown = ({**at, making.time: int(n)} for n in np.flatnonzero(there))
            frames = (pixels(main.isel(point).values, scale.at(point)) for point in shown)
            with whole(path) as aside:
                write_animation(aside, save.kind, frames, making.fps)
            yield path
