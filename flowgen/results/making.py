"""What outputs ask for, made from a run's results: sheets, files, animations, curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xarray

from flowgen.graph.model import Wire
from flowgen.graph.outputs import MOVES
from flowgen.plan.plan import Plan
from flowgen.results.columns import Column
from flowgen.results.files import Told, untold
from flowgen.results.grids import write_grids
from flowgen.results.saves import write_saves
from flowgen.results.versus import write_curve


@dataclass(slots=True)
class Made:
    """What was made of a run's results."""

    sheets: list[Path] = field(default_factory=list)
    """in the order to look at them"""
    animations: list[Path] = field(default_factory=list)
    curves: list[tuple[str, str]] = field(default_factory=list)
    """titles and drawings of scores against each other"""
    files: dict[str, list[Path]] = field(default_factory=dict)
    """all of them, by output"""


def make_outputs(
    folder: Path, plan: Plan, columns: Sequence[Column], dataset: xarray.Dataset, told: Told = untold
) -> Made:
    """Write the files of a run's outputs. columns: where the values are, one for each output of a node."""
    document = plan.graph.document
    made = Made()
    by_wire = {plan.graph.outputs[column.name]: column for column in columns}
    found = {output.name: by_wire.get(plan.graph.outputs[output.name]) for output in document.outputs}
    asked: dict[str, dict[str, tuple[str, str]]] = {}
    for output in document.outputs:
        column = found[output.name]
        if column is None or output.making is None:
            continue
        if output.making.grid:
            asked.setdefault(column.name, {})[output.name] = output.making.grid
        labels = {axis: document.axes[axis].labels for axis in column.axes}
        if written := write_saves(folder, output, column, dataset, labels, told):
            made.files[output.name] = written
        if output.making.time or dataset[column.name].attrs.get("record") == "Video":
            made.animations += [path for path in written if path.suffix in MOVES]
    told("sheets of pictures", 0, 1)
    for name, sheets in write_grids(folder, dataset, asked).items():
        made.files[name] = made.files.get(name, []) + sheets
        made.sheets += sheets
    told("sheets of pictures", 1, 1)
    for curve in document.curves:
        ends = [by_wire.get(Wire(ref.name, ref.port or main_output(plan, ref.name))) for ref in (curve.x, curve.y)]
        if ends[0] is not None and ends[1] is not None:
            title, drawing, paths = write_curve(folder, curve, dataset[ends[0].name], dataset[ends[1].name])
            made.curves.append((title, drawing))
            made.files[curve.name] = paths
    return made


def main_output(plan: Plan, node: str) -> str:
    """The first output of a node."""
    return next(iter(plan.graph.nodes[node].type.signature.outputs))
