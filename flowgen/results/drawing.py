"""A graph as an SVG drawing: left to right, loops framed, feedback dashed, models as tags."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import networkx as nx

from flowgen.language.labels import readable
from flowgen.results.fonts import font
from flowgen.results.layout import Arrangement, Box, Layout
from flowgen.results.sheet import fitted

NARROW, WIDE, HIGH, TAG = 96.0, 190.0, 44.0, 15.0
"""a box's least and greatest width, its height, and what a line with its models adds; pixels"""
MARGIN = 12.0
LEAST = 0.6
"""of its size that the drawing keeps on a narrow page, which scrolls then"""
STYLE = """
.fg-graph { --fg-line: #8a939c; --fg-box: #ffffff; --fg-edge: #b9c0c7; --fg-out: #3b7dd8; --fg-back: #c2691f;
  --fg-frame: #f0992e1c; --fg-rim: #d9a05b; color: #1f2328; font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .fg-graph { --fg-line: #7d8791; --fg-box: #22272e; --fg-edge: #4a525b;
  --fg-out: #6ea8f7; --fg-back: #eba15f; --fg-frame: #f0992e1f; --fg-rim: #8f6a3c; color: #e6e8ea; } }
.fg-graph text { fill: currentColor; font-size: 11px; }
.fg-graph .name { font-size: 13px; font-weight: 600; }
.fg-graph .small { opacity: .72; }
.fg-graph .box { fill: var(--fg-box); stroke: var(--fg-edge); }
.fg-graph .output { stroke: var(--fg-out); stroke-width: 2; }
.fg-graph .frame { fill: var(--fg-frame); stroke: var(--fg-rim); stroke-dasharray: 2 3; }
.fg-graph .model { fill: none; stroke: var(--fg-edge); }
.fg-graph .wire { fill: none; stroke: var(--fg-line); stroke-width: 1.4; }
.fg-graph .feedback { stroke: var(--fg-back); stroke-dasharray: 5 4; }
.fg-graph .head { fill: var(--fg-line); }
.fg-graph .head-back { fill: var(--fg-back); }
"""


def draw_graph(graph: nx.DiGraph[str]) -> str:
    """The graph as one ``svg`` element, to stand alone or in a page.

    Nodes have ``type``, ``loop`` (the loop node whose body they are in, or None) and ``output``, edges ``port`` and
    ``feedback``. Models are named in the boxes that use them and listed below; tooltips say the ports.
    """
    models = {n: [m for m in graph.predecessors(n) if is_model(graph, m)] for n in graph}
    shown = [n for n in graph if not is_model(graph, n)]
    wide = max((text_width(graph, n, models[n]) for n in shown), default=NARROW)
    width = min(WIDE, max(NARROW, wide))
    sizes = {n: (width, HIGH + TAG * bool(models[n])) for n in shown}
    layout = Arrangement(graph, sizes).layout()
    parts = [draw_frame(name, box) for name, box in layout.frames.items()]
    parts += draw_wires(graph, layout)
    parts += [draw_box(graph, name, box, models[name]) for name, box in layout.boxes.items()]
    pills, across, down = draw_models([n for n in graph if is_model(graph, n)], layout)
    size = f"{across + 2 * MARGIN:.0f}", f"{down + 2 * MARGIN:.0f}"
    fits = f"height:auto;max-width:max(100%,{LEAST * (across + 2 * MARGIN):.0f}px)"
    return (
        f'<svg class="fg-graph" xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="{-MARGIN:g} {-MARGIN:g} {size[0]} {size[1]}" role="img" aria-label="node graph" style="{fits}">'
        f"<style>{STYLE}</style>{marker('head')}{marker('head-back')}{''.join(parts + pills)}</svg>"
    )


def is_model(graph: nx.DiGraph[str], name: str) -> bool:
    """True for nodes that only name weights."""
    return bool(graph.nodes[name].get("type") == "model")


def text_width(graph: nx.DiGraph[str], name: str, models: Sequence[str]) -> float:
    """Pixels that a box needs for its texts."""
    small = font(size=11)
    lines = [small.getlength(str(graph.nodes[name].get("type", ""))), small.getlength(" ".join(models)) + 14]
    return max(font(size=13, bold=True).getlength(name), *lines) + 20


def marker(name: str) -> str:
    """An arrow head."""
    return (
        f'<marker id="fg-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="{name}" d="M0 0.5 L8 4 L0 7.5 z"/></marker>'
    )


def draw_frame(name: str, box: Box) -> str:
    """The tinted box around a loop."""
    label = escape(fitted(readable(f"loop of {name}"), font(size=11), box.width - 24))
    return f'{rectangle(box, "frame", 10)}<text class="small" x="{box.x + 12:.1f}" y="{box.y + 18:.1f}">{label}</text>'


def draw_box(graph: nx.DiGraph[str], name: str, box: Box, models: Sequence[str]) -> str:
    """A node: its name, its type, its models."""
    kind, inner = readable(graph.nodes[name].get("type", "")), box.width - 16
    middle = box.x + box.width / 2
    lines = [
        ("name", 19.0, fitted(readable(name), font(size=13, bold=True), inner)),
        ("small", 34.0, fitted(kind, font(size=11), inner)),
    ]
    if models:
        lines.append(("small", 49.0, fitted("◇ " + readable(", ".join(models)), font(size=11), inner)))
    texts = "".join(
        f'<text class="{style}" text-anchor="middle" x="{middle:.1f}" y="{box.y + y:.1f}">{escape(text)}</text>'
        for style, y, text in lines
    )
    style = "box output" if graph.nodes[name].get("output") else "box"
    said = f"{readable(name)}: {kind}" + (", an output" if graph.nodes[name].get("output") else "")
    return f"<g><title>{escape(said)}</title>{rectangle(box, style, 6)}{texts}</g>"


def draw_wires(graph: nx.DiGraph[str], layout: Layout) -> list[str]:
    """All wires; those that end at one box are spread over its left side."""
    parts = []
    for target, box in layout.boxes.items():
        sources = [s for s in graph.predecessors(target) if (s, target) in layout.routes]
        ends = {s: [(layout.boxes[s].right, middle(layout.boxes[s])), *layout.routes[s, target]] for s in sources}
        sources.sort(key=lambda s: ends[s][-1][1])
        back = [s for s in graph.predecessors(target) if graph.edges[s, target].get("feedback") and s in layout.boxes]
        step = min(9.0, (box.height - 12) / max(1, len(sources) + len(back)))
        first = middle(box) - step * (len(sources) + len(back) - 1) / 2
        for n, source in enumerate(sources):
            path = curve([*ends[source], (box.x, first + n * step)])
            parts.append(wire(graph, source, target, path, "wire"))
        for n, source in enumerate(back):
            end = first + (len(sources) + n) * step
            parts.append(wire(graph, source, target, backward(layout, source, target, n, end), "wire feedback"))
    return parts


def wire(graph: nx.DiGraph[str], source: str, target: str, path: str, style: str) -> str:
    """A wire, with what it joins as a tooltip."""
    said = escape(readable(f"{source} → {target}.{graph.edges[source, target].get('port', '')}"))
    head = "head-back" if "feedback" in style else "head"
    return f'<path class="{style}" d="{path}" marker-end="url(#fg-{head})"><title>{said}</title></path>'


def curve(points: Sequence[tuple[float, float]]) -> str:
    """A smooth path that is horizontal at every point."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (ax, ay), (bx, by) in zip(points, points[1:], strict=False):
        bend = (bx - ax) / 2
        text += f" C{ax + bend:.1f} {ay:.1f} {bx - bend:.1f} {by:.1f} {bx:.1f} {by:.1f}"
    return text


def backward(layout: Layout, source: str, target: str, lane: int, end: float) -> str:
    """A feedback wire: right of its source's column, down, along the foot of the frame, up into its loop node."""
    start, box = layout.boxes[source], layout.boxes[target]
    frame = layout.frames.get(target, Box(0, 0, layout.width, layout.height))
    right, left = layout.gutters[source] + 12 + 6 * lane, box.x - 14 - 5 * lane
    foot = frame.bottom - 9 - 10 * lane
    corners = [(right, middle(start)), (right, foot), (left, foot), (left, end)]
    return rounded([(start.right, middle(start)), *corners, (box.x, end)])


def rounded(points: Sequence[tuple[float, float]], radius: float = 8.0) -> str:
    """Straight lines with round corners."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, (x, y), after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = toward((x, y), before, radius), toward((x, y), after, radius)
        text += f" L{ax:.1f} {ay:.1f} Q{x:.1f} {y:.1f} {bx:.1f} {by:.1f}"
    return text + f" L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def toward(point: tuple[float, float], other: tuple[float, float], distance: float) -> tuple[float, float]:
    """The point at a distance towards another, halfway at most."""
    dx, dy = other[0] - point[0], other[1] - point[1]
    share = min(0.5, distance / max(1e-9, abs(dx) + abs(dy)))
    return point[0] + dx * share, point[1] + dy * share


def draw_models(models: Sequence[str], layout: Layout) -> tuple[list[str], float, float]:
    """The models in a row below; the drawing's width and height with them."""
    x, y, width = 0.0, layout.height + 22, layout.width
    parts: list[str] = []
    for name in models:
        text = fitted("◇ " + readable(name), font(size=11), WIDE)
        box = Box(x, y, font(size=11).getlength(text) + 18, 22)
        parts.append(rectangle(box, "model", 11))
        parts.append(f'<text class="small" x="{box.x + 9:.1f}" y="{box.y + 15:.1f}">{escape(text)}</text>')
        x, width = box.right + 8, max(width, box.right)
    return parts, width, y + 22 if models else layout.height


def rectangle(box: Box, style: str, radius: float) -> str:
    """A rectangle with round corners."""
    place: Any = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    return f'<rect class="{style}" {place} rx="{radius:g}"/>'


def middle(box: Box) -> float:
    """Halfway down a box."""
    return box.y + box.height / 2
