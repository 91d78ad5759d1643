"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import networkx as nx
import xarray
from markupsafe import Markup
from PIL import Image

from flowgen.results.curves import curves
from flowgen.results.drawing import draw_graph
from flowgen.results.grids import CAPTION
from flowgen.results.labels import readable, significant
from flowgen.results.table import ROWS, row_axes, scalar_summary

NAME = "report.html"
SHOWN = 8
"""sheets that show at once; the others unfold"""
HEAVY = 1_500_000
"""bytes beyond which a sheet is embedded smaller, as JPEG"""
LARGE = 2400
"""pixels of its longer side then"""


def write_report(
    folder: Path,
    *,
    title: str,
    description: str,
    dataset: xarray.Dataset,
    grids: Sequence[Path],
    graph: nx.DiGraph[str],
    facts: Mapping[str, str],
    source: str,
) -> Path:
    """Write ``folder/report.html``: facts, scores, curves, sheets of pictures, the graph and its text; its path.

    Pictures are embedded, nothing is loaded from elsewhere, every text from outside is escaped.
    """
    text = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(text).render(
        title=title,
        description=description or "",
        facts=facts,
        table=table(dataset),
        curves=[(name, Markup(drawing)) for name, drawing in curves(dataset)],
        grids=[embedded(path) for path in grids],
        shown=SHOWN,
        drawing=Markup(draw_graph(graph)),
        source=source,
    )
    aside = folder / f".{NAME}"
    aside.write_text(page, encoding="utf-8", errors="backslashreplace")
    aside.replace(folder / NAME)
    return folder / NAME


def table(dataset: xarray.Dataset) -> dict[str, Any]:
    """The scalar table as the template reads it."""
    headers, rows = scalar_summary(dataset)
    labels = len(row_axes(dataset))
    heads = []
    for n, header in enumerate(headers):
        name, _, detail = header.partition(", ")
        heads.append({"name": name, "detail": detail, "style": "label" if n < labels else "n" if header == "n" else ""})
    cells = [[readable(c, 200) if n < labels else significant(c) for n, c in enumerate(row)] for row in rows[:ROWS]]
    note = f"The first {ROWS} of {len(rows)} rows; all are in results.zarr." if len(rows) > ROWS else ""
    return {"heads": heads, "rows": cells, "note": note}


def embedded(path: Path) -> dict[str, Any]:
    """A sheet as a data URI, with its caption and size."""
    data, kind = path.read_bytes(), "png"
    with Image.open(path) as image:
        caption = str(image.info.get(CAPTION, path.stem))
        width, height = image.size
        if len(data) > HEAVY:
            smaller = image.convert("RGB")
            smaller.thumbnail((LARGE, LARGE))
            width, height = smaller.size
            target = io.BytesIO()
            smaller.save(target, format="JPEG", quality=88)
            data, kind = target.getvalue(), "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"source": uri, "caption": caption, "width": width, "height": height}
