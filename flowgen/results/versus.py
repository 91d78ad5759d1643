"""One score against another: a line for each point of the other axes, its points labelled."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flowgen.language.labels import exact_text, readable
from flowgen.language.outputs import Curve
from flowgen.results.curves import COLOURS, INK, LINES, STYLE, as_svg, labels_of
from flowgen.results.files import whole, write_text
from flowgen.results.labels import FAILED, is_seed
from flowgen.results.views import is_text

FOLDER = "curves"
LABELLED = 40
"""points that are all labelled; of more, the ends of each line"""


def write_curve(folder: Path, curve: Curve, x: xarray.DataArray, y: xarray.DataArray) -> tuple[str, str, list[Path]]:
    """Write ``curves/NAME.svg`` and ``NAME.csv``, which has all points; title, drawing and paths.

    x, y: one number per point, each over its own axes; where one lacks an axis its number stands for all of it.
    """
    x, y = xarray.broadcast(x.load(), y.load())
    axes = [str(dim) for dim in x.dims]
    labels = {axis: labels_of(x, axis) for axis in axes}
    along = curve.along or joined(labels)
    others = [axis for axis in axes if axis != along]
    drawing, note = draw(curve, x.transpose(*others, ...), y.transpose(*others, ...), labels, along)
    title = f"{curve.name}: {y.name} by {x.name}" + (f", {note}" if note else "")
    svg = write_text(folder / FOLDER / f"{curve.name}.svg", drawing)
    table = folder / FOLDER / f"{curve.name}.csv"
    with whole(table) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*axes, x.name, y.name])
        for at in np.ndindex(*x.shape):
            numbers = [FAILED if np.isnan(v) else str(v) for v in (x.values[at], y.values[at])]
            writer.writerow([*(exact_text(labels[a][n]) for a, n in zip(axes, at, strict=True)), *numbers])
    return title, drawing, [svg, table]


def joined(labels: dict[str, list[Any]]) -> str | None:
    """The axis along which points are joined: numbers before texts before seeds, then the longer one."""
    free = [axis for axis, found in labels.items() if len(found) > 1]
    return max(free, key=lambda a: (not is_seed(a), not is_text(labels[a]), len(labels[a])), default=None)


def draw(
    curve: Curve, x: xarray.DataArray, y: xarray.DataArray, labels: dict[str, list[Any]], along: str | None
) -> tuple[str, str]:
    """The drawing, and what it leaves out in words. x, y: the axis of the points last."""
    others = [axis for axis in labels if axis != along]
    free = [axis for axis in others if len(labels[axis]) > 1]
    total = math.prod(len(labels[axis]) for axis in others)
    points = list(itertools.islice(itertools.product(*(range(len(labels[a])) for a in others)), LINES))
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": curve.name}):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        pen = figure.add_subplot()
        pen.grid(color=INK, alpha=0.12, linewidth=0.8)
        pen.margins(0.1)
        handles, entries = [], []
        for n, at in enumerate(points):
            here = np.atleast_1d(x.values[at]), np.atleast_1d(y.values[at])
            handles.append(line(pen, *here, labels[along] if along else [""], COLOURS[n % len(COLOURS)], len(points)))
            where = {axis: labels[axis][i] for axis, i in zip(others, at, strict=True) if axis in free}
            entries.append(", ".join(f"{axis} = {readable(label, 24)}" for axis, label in where.items()))
        pen.set_xlabel(said(x))
        pen.set_ylabel(said(y))
        if along:
            pen.set_title(f"points along {along}", loc="left", fontsize=10)
        if free:
            figure.legend(handles, entries, frameon=False, fontsize=10, loc="outside right upper")
        note = f"the first {len(points)} of {total} lines; all are in {curve.name}.csv" if total > len(points) else ""
        return as_svg(figure), note


def line(pen: Any, x: NDArray[Any], y: NDArray[Any], labels: Sequence[Any], colour: str, lines: int) -> Any:
    """One line; points joined in the order of their numbers, or of the axis."""
    order = np.arange(len(x)) if is_text(labels) else np.argsort(np.asarray(labels), kind="stable")
    drawn = pen.plot(x[order], y[order], "-o", color=colour, markersize=4.5, linewidth=1.6)[0]
    there = [int(n) for n in order if np.isfinite(x[n]) and np.isfinite(y[n])]
    for n in there if lines * len(x) <= LABELLED else there[:1] + there[1:][-1:]:
        text = readable(labels[n], 20)
        pen.annotate(text, (x[n], y[n]), (5, 5), textcoords="offset points", fontsize=9)
    return drawn


def said(variable: xarray.DataArray) -> str:
    """A score's name in words, with its name in the graph."""
    words = variable.attrs.get("long_name")
    return f"{words} ({variable.name})" if words and words != variable.name else str(variable.name)
