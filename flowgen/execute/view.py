"""A run's course as a terminal shows it: narrow, and never higher than the screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flowgen.execute.course import ENDS, Course, NodeCourse
from flowgen.language.labels import readable
from flowgen.store.quantities import counted, duration

WIDEST = 110
"""columns"""
NAME = 24
"""columns of a node's name"""
COLUMNS = ("done", "in hand", "in store", "rate", "left")
ABOUT = 2
"""digits of times that are estimates, or change while one looks"""
NARROW = 60
"""columns of a terminal that can't show all of these"""
SPARED = ("in store", "rate")
WRITTEN = 2
"""things that are written, the latest, that are shown"""
BESIDE = 4
"""lines around the rows of nodes: the head, what is left out, the prompt"""


def view(course: Course, width: int, height: int, now: float, bars: bool = True) -> RenderableType:
    """The nodes that have something to compute, then the whole in a line or two; ``bars`` fill the width."""
    if not course.planned and not course.wrote:
        return Text("planning", style="dim")
    whole = Text(" · ".join(summary(course, now)), style="dim")
    nodes = {name: node for name, node in course.nodes.items() if node.total}
    if not nodes and not course.wrote:
        return whole
    table = Table(box=None, pad_edge=False, width=min(width, WIDEST) if bars else None, header_style="dim")
    table.add_column("node", max_width=NAME, overflow="ellipsis", no_wrap=True)
    if bars:
        table.add_column("", ratio=1)
    spared = (SPARED if width < NARROW else ()) + (("left",) if course.state in ENDS else ())
    spared += () if any(node.hand for node in nodes.values()) else ("in hand",)
    kept = [name for name in COLUMNS if name not in spared]
    for name in kept:
        table.add_column(name, justify="right", no_wrap=True)
    wrote = list(course.wrote.items())[-WRITTEN:]
    beside = BESIDE + len(wrote) + len(whole) // width + 2
    shown, ended, later = chosen(nodes, max(1, height - beside))
    if ended:
        table.add_row(Text(f"{ended} nodes are done", style="dim"))
    for name in shown:
        node, cells = nodes[name], row(nodes[name])
        drawn = [bar(node.done + node.begun, node.total)] if bars else []
        table.add_row(Text(readable(name)), *drawn, *(cells[c] for c in kept))
    if later:
        table.add_row(Text(f"{later} more", style="dim"))
    return Group(*([table] if nodes else []), written(wrote, table.width), whole)


def written(wrote: Sequence[tuple[str, tuple[int, int]]], width: int | None) -> Table:
    """What is written of the run's folder, in whole words; bars fill a width."""
    table = Table(box=None, pad_edge=False, show_header=False, width=width)
    table.add_column(no_wrap=True)
    if width:
        table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for what, (done, total) in wrote:
        table.add_row(Text(readable(f"writing {what}")), *([bar(done, total)] if width else []), f"{done}/{total}")
    return table


def bar(done: float, total: int) -> ProgressBar:
    """How much of the whole; in colours that terminals of sixteen can tell apart."""
    return ProgressBar(max(1, total), done, complete_style="cyan", finished_style="green")


def chosen(nodes: dict[str, NodeCourse], room: int) -> tuple[list[str], int, int]:
    """The nodes to show where there isn't room for all, and how many are left out: done ones first, then late ones."""
    ended = [name for name, node in nodes.items() if not node.remaining]
    away = set(ended[: max(0, len(nodes) - room)])
    shown = [name for name in nodes if name not in away]
    return shown[:room], len(away), max(0, len(shown) - room)


def row(node: NodeCourse) -> dict[str, Text]:
    """A node's cells, by column."""
    left = node.left() if node.remaining else None
    failed = f" ({node.failed} failed)" if node.failed else ""
    return {
        "done": Text(f"{node.done}/{node.total}{failed}", style="red" if failed else ""),
        "in hand": Text(in_hand(node).removesuffix(" in hand")),
        "in store": Text(str(node.known or "")),
        "rate": Text(rate(node.rate)),
        "left": Text("" if left is None else duration(left, ABOUT)),
    }


def in_hand(node: NodeCourse) -> str:
    """How far the items are that are computed now; empty if none has said so."""
    return f"{node.begun / node.in_hand:.0%} of {node.in_hand} in hand" if node.in_hand else ""


def summary(course: Course, now: float) -> list[str]:
    """What is true of the whole."""
    found = [f"{course.state} {duration(max(0.0, now - course.first), ABOUT)}"]
    if course.state == "running" and course.done < course.total:
        left = course.left()
        found.append("time left not known yet" if left is None else f"about {duration(left, ABOUT)} left")
    if course.state == "stopping":
        found.append("batches in hand are finished; Ctrl-C again ends it at once")
    if course.workers > 1 or course.deaths:
        found.append(counted(course.workers, "worker"))
    found += retries(course.deaths, course.repeated)
    if course.dashboard:
        found.append(readable(course.dashboard))
    return found


def retries(deaths: int, repeated: int) -> list[str]:
    """What was lost on the way, if anything."""
    again = f", {counted(repeated, 'task')} sent again" if repeated else ""
    return [f"{counted(deaths, 'worker')} died{again}"] if deaths else []


def rate(each: float | None) -> str:
    """Items a second, or seconds an item, three digits at least."""
    if not each:
        return ""
    if each >= 1000:
        return f"{each:.0f} items/s"
    return f"{each:.3g} items/s" if each >= 1 else f"{1 / each:.3g} s/item"
