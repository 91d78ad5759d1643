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

from flowgen.language.labels import all_readable, digits, exact_text, readable
from flowgen.language.outputs import Curve
from flowgen.results.curves import COLOURS, INK, LINES, STYLE, as_svg, labels_of
from flowgen.results.files import whole, write_text
from flowgen.results.labels import FAILED, is_seed
from flowgen.results.views import is_text

FOLDER = "curves"
LABELLED = 40
"""points of a line that may be labelled"""
NEAR = 0.04
"""of a drawing's sides: points this near to a labelled one get no label"""
BESIDE = 16
"""characters of the lines' labels that fit beside a drawing; longer ones go below"""


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
        below = total > 1 and sum(max(map(len, map(readable, labels[axis]))) for axis in free) > BESIDE
        figure = Figure(figsize=(6.4, 4.2 + 0.22 * below * len(points)), layout="constrained")
        pen = figure.add_subplot()
        pen.grid(color=INK, alpha=0.12, linewidth=0.8)
        pen.margins(0.1)
        handles, seen, entries = [], [], []
        for n, at in enumerate(points):
            here = np.atleast_1d(x.values[at]), np.atleast_1d(y.values[at])
            handles.append(line(pen, *here, labels[along] if along else [""], COLOURS[n % len(COLOURS)]))
            if not (np.isfinite(here[0]) & np.isfinite(here[1])).any():
                continue  # all its items failed: no entry
            seen.append(handles[-1])
            where = {axis: labels[axis][i] for axis, i in zip(others, at, strict=True) if axis in free}
            words = (f"{axis} = {readable(label, 40, digits(labels[axis]))}" for axis, label in where.items())
            entries.append(", ".join(words))
        label_points(pen, handles, labels[along] if along else [""])
        pen.set_xlabel(said(x))
        pen.set_ylabel(said(y))
        if along:
            pen.set_title(f"points along {along}", loc="left", fontsize=10)
        if free and seen:
            figure.legend(
                seen,
                entries,
                frameon=False,
                fontsize=10,
                loc="outside lower left" if below else "outside right upper",
            )
        note = f"the first {len(points)} of {total} lines; all are in {curve.name}.csv"
        return as_svg(figure), note if total > len(points) else ""


def line(pen: Any, x: NDArray[Any], y: NDArray[Any], labels: Sequence[Any], colour: str) -> Any:
    """One line; points joined in the order of their numbers, or of the axis."""
    order = order_of(labels)
    return pen.plot(x[order], y[order], "-o", color=colour, markersize=4.5, linewidth=1.6)[0]


def order_of(labels: Sequence[Any]) -> NDArray[Any]:
    """Numbers by size, texts as they come."""
    return np.arange(len(labels)) if is_text(labels) else np.argsort(np.asarray(labels), kind="stable")


def label_points(pen: Any, drawn: Sequence[Any], labels: Sequence[Any]) -> None:
    """Labels beside points, the ends of each line first, as far as there is room."""
    order, texts = order_of(labels), all_readable(labels, 20)
    ends = [0, len(order) - 1] if len(order) > 1 else [0]
    everything = np.concatenate([handle.get_xydata() for handle in drawn])
    everything = everything[np.isfinite(everything).all(axis=1)]
    if not len(everything):
        return
    span = np.ptp(everything, axis=0)
    span[span == 0] = 1.0
    taken: list[NDArray[Any]] = []
    for handle in drawn:
        points = handle.get_xydata()
        for n in [*ends, *range(1, len(order) - 1)][:LABELLED]:
            free = all((np.abs(points[n] - other) / span).max() >= NEAR for other in taken)
            if np.isfinite(points[n]).all() and free:
                taken.append(points[n])
                pen.annotate(texts[order[n]], points[n], (5, 5), textcoords="offset points", fontsize=9)


def said(variable: xarray.DataArray) -> str:
    """A score's name in words, with its name in the graph."""
    words = variable.attrs.get("long_name")
    return f"{words} ({variable.name})" if words and words != variable.name else str(variable.name)
