"""What ``flowgen plan`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from flowgen.cli.tables import ENDLESS, amount, axes_of, indented
from flowgen.plan.plan import Plan
from flowgen.plan.rows import Rows
from flowgen.plan.summary import NodePlan
from flowgen.store.quantities import duration

COLUMNS = (
    "node", "axes", "items", "in store", "to compute", "batch", "parcels", "rows alone", "rows", "FLOPs", "bytes",
    "time", "why",
)  # fmt: skip
SPARED = ("bytes", "batch", "parcels", "rows alone", "axes", "FLOPs", "why", "rows", "in store")
"""columns that a terminal too narrow for all doesn't show, in the order in which they are given up"""
WORDS = {"node": 12, "axes": 20, "why": 20}
"""columns of words, which may take several lines, and the least that each has"""


def plan_table(made: Plan, width: int = ENDLESS) -> Table:
    """What would be computed of each node, in so many of the columns as fit with whole numbers."""
    console = Console(width=ENDLESS)
    for count in range(len(SPARED) + 1):
        table = with_columns(made, [name for name in COLUMNS if name not in SPARED[:count]])
        if Measurement.get(console, console.options, table).minimum <= width:
            break
    return table


def with_columns(made: Plan, kept: list[str]) -> Table:
    """The table with these columns."""
    rows = [
        {"node": Text("  " * depth + name), "axes": Text(axes_of(made.graph, name)), **row(made, name)}
        for name, depth in indented(made.graph)
    ]
    table = Table(box=None, pad_edge=False)
    for name in kept:
        if name in WORDS:
            table.add_column(name, overflow="fold", min_width=WORDS[name])
        else:
            whole = max(len(name), *(len(cells.get(name, "")) for cells in rows))
            table.add_column(name, justify="right", no_wrap=True, min_width=whole)
    for cells in rows:
        table.add_row(*(cells.get(column, "") for column in kept))
    return table


def row(made: Plan, name: str) -> dict[str, Text]:
    """A node's cells, all but its name and axes."""
    node = made.nodes.get(name)
    if node is None:
        why = "read when a node needs it" if name in made.graph.references else "in every step of its loop"
        return {"why": Text(why, style="dim"), **rows_of(made.bodies.get(name))}
    cells = {"items": str(node.items), "why": node.reason}
    if node.stored:
        cells |= {"in store": str(node.known), "to compute": str(node.compute)}
    if node.compute:
        cells |= {"batch": str(node.batch), "parcels": str(node.parcels), "time": time_of(node)}
        cells |= {"FLOPs": amount(node.flops, ""), "bytes": amount(node.bytes, "B")}
    return {**{column: Text(text) for column, text in cells.items()}, **rows_of(node.rows)}


def rows_of(rows: Rows | None) -> dict[str, Text]:
    """Rows of model calls, if there are any."""
    if rows is None or not rows.alone:
        return {}
    return {"rows alone": Text(str(rows.alone)), "rows": Text(str(rows.planned))}


def time_of(node: NodePlan) -> str:
    """The expected time of a node."""
    return duration(node.seconds)


def totals(made: Plan) -> str:
    """A plan in one line."""
    stored = [node for node in made.nodes.values() if node.stored]
    items = sum(node.items for node in stored)
    if not made.compute:
        return f"nothing to compute: all that is needed of {items} items is in the store"
    flops = amount(sum(node.flops for node in stored), "")
    size = amount(sum(node.bytes for node in stored), "B")
    work = f"{made.compute} of {items} items to compute in {len(made.parcels)} parcels: {flops} FLOPs, {size} to store"
    return work + (f", {duration(made.seconds)} expected" if made.seconds is not None else "")
