"""Scalars against the axes of the sweep, as SVG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import xarray
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flowgen.language.labels import all_readable
from flowgen.results.labels import is_seed
from flowgen.results.table import averaged, row_axes, scalars
from flowgen.results.views import is_text

PLOTS = 12
LINES = 8
"""of a plot at most"""
TICKS = 12
"""labels of an axis that are all written"""
LONG, HIGH = 20, 50
"""largest by smallest number along x, and along y, from which an axis is logarithmic"""
LETTER = 0.025
"""of an axis' length: a letter's width"""
INK = "#0c0d0e"
"""stands for the page's own colour of text"""
COLOURS = ("#3b7dd8", "#d9772b", "#3f9d5c", "#b4529b", "#8a6fd1", "#c94c4c", "#2a9d9d", "#98863a")
STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label may hold dollars
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


def curves(dataset: xarray.Dataset) -> list[tuple[str, str]]:
    """Titles and SVG drawings, 12 at most: each scalar against each axis of the table's rows.

    A second row axis of at most 8 points makes a line per point. Everything else is averaged, with a band of ± 1
    standard error. Text is text and takes the page's colour; the same data give the same bytes.
    """
    found = []
    for name, variable in scalars(dataset).items():
        for axis, lines in plots(dataset, variable):
            title = f"{name} by {axis}"
            found.append((title, plot(dataset, name, variable, axis, lines)))
    return found[:PLOTS]


def plots(dataset: xarray.Dataset, variable: xarray.DataArray) -> Iterator[tuple[str, str | None]]:
    """Pairs of the axis along x and the axis with a line per point; texts that are such lines get no plot."""
    free = [a for a in row_axes(dataset) if a in variable.dims and variable.sizes[a] > 1]
    axes = [axis for axis in free if not is_seed(axis)] or free
    done: set[str | None] = set()
    for axis in sorted(axes, key=lambda a: is_text(labels_of(dataset, a))):
        others = [a for a in axes if a != axis and variable.sizes[a] <= LINES]
        others.sort(key=lambda a: not is_text(labels_of(dataset, a)))
        if not (is_text(labels_of(dataset, axis)) and axis in done):
            done.add(others[0] if others else None)
            yield axis, others[0] if others else None


def plot(dataset: xarray.Dataset, name: str, variable: xarray.DataArray, axis: str, lines: str | None) -> str:
    """One drawing."""
    labels = labels_of(dataset, axis)
    kept = [axis, *([lines] if lines else [])]
    mean, error = statistics(variable, kept)
    over = [axis for axis in averaged(variable, kept) if variable.sizes[axis] > 1]
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": f"{name} {axis}"}):
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        pen = figure.add_subplot()
        pen.grid(axis="y", color=INK, alpha=0.12, linewidth=0.8)
        where = place(pen, labels)
        handles = []
        seen = [n for n in range(mean.shape[1]) if np.isfinite(mean[:, n]).any()]
        for n in seen:
            handles.append(draw_line(pen, where, mean[:, n], error[:, n], COLOURS[n % len(COLOURS)], is_text(labels)))
        if wide(mean, HIGH):
            pen.set_yscale("log", nonpositive="clip")
            pen.yaxis.set_major_formatter("{x:g}")
        pen.set_xlabel(axis)
        said = f"mean over {', '.join(over)}; ± standard error" if over else ""
        pen.set_ylabel(variable.attrs.get("long_name", name) if variable.attrs.get("long_name") else name)
        pen.set_title(said, loc="left", fontsize=10)
        if lines and handles:
            told = all_readable(labels_of(dataset, lines), 24)
            entries = [f"{lines} = {told[n]}" for n in seen]
            figure.legend(handles, entries, frameon=False, fontsize=10, loc="outside right upper")
        return as_svg(figure)


def statistics(variable: xarray.DataArray, kept: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard error [x, line] over the other axes, missing values left out."""
    values = variable.transpose(*kept, ...).values.astype(np.float64)
    values = values.reshape(values.shape[0], values.shape[1] if len(kept) > 1 else 1, -1)
    count = (~np.isnan(values)).sum(axis=-1)
    mean = np.divide(np.nansum(values, axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0)
    squares = np.nansum((values - mean[..., None]) ** 2, axis=-1)
    error = np.sqrt(np.divide(squares, (count - 1) * count, out=np.zeros(count.shape), where=count > 1))
    return mean, error


def draw_line(
    pen: Any, where: NDArray[Any], mean: NDArray[Any], error: NDArray[Any], colour: str, separate: bool
) -> Any:
    """Points with bars along texts, a line with a band along numbers."""
    if separate:
        return pen.errorbar(where, mean, error if error.any() else None, fmt="o", color=colour, capsize=3)
    order = np.argsort(where)
    where, mean, error = where[order], mean[order], error[order]
    if error.any():
        pen.fill_between(where, mean - error, mean + error, color=colour, alpha=0.18, linewidth=0)
    return pen.plot(where, mean, "-o", color=colour, markersize=4.5, linewidth=1.8)[0]


def place(pen: Any, labels: Sequence[Any]) -> NDArray[Any]:
    """Ticks for the labels; where each point stands along x."""
    if is_text(labels):
        where = np.arange(len(labels), dtype=np.float64)
        shown = slice(None, None, -(-len(labels) // 30))
        texts = all_readable(labels, 18)
        turned = sum(map(len, texts[shown])) > 50
        pen.set_xticks(where[shown], texts[shown], rotation=35 if turned else 0, ha="right" if turned else "center")
        return where
    where = np.asarray(labels, dtype=np.float64)
    if wide(where, LONG):
        pen.set_xscale("log")
    if len(labels) <= TICKS:
        texts = all_readable(labels)
        kept = apart(where, texts, pen.get_xscale() == "log")
        pen.set_xticks(where[kept], [texts[n] for n in kept])
        pen.minorticks_off()
    return where


def wide(values: NDArray[Any], ratio: float) -> bool:
    """Whether numbers are positive and so far apart that their logarithms are easier to read."""
    finite = values[np.isfinite(values)]
    return bool(finite.size > 2 and finite.min() > 0 and finite.max() / finite.min() >= ratio)


def apart(where: NDArray[Any], texts: Sequence[str], log: bool) -> list[int]:
    """The ticks whose labels leave each other room, the first one kept."""
    at = np.log(where) if log else where
    span = float(np.ptp(at)) or 1.0
    found: list[int] = []
    for n in np.argsort(at, kind="stable").tolist():
        letters = (len(texts[n]) + len(texts[found[-1]])) / 2 + 1 if found else 0
        if not found or (at[n] - at[found[-1]]) / span >= letters * LETTER:
            found.append(n)
    return found


def labels_of(dataset: xarray.Dataset | xarray.DataArray, axis: str) -> list[Any]:
    """An axis' labels; numbers from 0 where it has none."""
    return list(dataset.coords[axis].values) if axis in dataset.coords else list(range(dataset.sizes[axis]))


def as_svg(figure: Figure) -> str:
    """A figure as an ``svg`` element to put into a page."""
    target = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # text stays text: the browser has the glyphs
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return text.replace(INK, "currentColor").strip()
