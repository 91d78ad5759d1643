"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import networkx as nx
import xarray
from markupsafe import Markup
from PIL import Image

from flowgen.execute.memory import give_back
from flowgen.language.labels import digits, readable
from flowgen.results.curves import curves
from flowgen.results.drawing import draw_graph
from flowgen.results.failures import Failure, grouped
from flowgen.results.files import write_text
from flowgen.results.labels import significant
from flowgen.results.making import Made
from flowgen.results.sheet import CAPTION
from flowgen.results.table import ROWS, row_axes, scalar_summary

NAME = "report.html"
SHOWN = 8
"""sheets that show at once; the others unfold"""
HEAVY = 1_500_000
"""bytes beyond which a sheet is embedded smaller, as JPEG"""
FAILURES = 20
"""causes for which items have no result that are listed"""
MOVING = 8
"""animations that are embedded"""
FILES = 12
"""files of an output that are named"""
LABEL = 80
"""characters of a label in the table; a tooltip has all of it"""
LARGE = 2400
"""pixels of its longer side then"""
LONG = 1.5
"""a sheet's longer side by its shorter one from which it isn't shrunk to fit: one that is wide has a line of its own"""
LEAST = 0.7
"""of its size that such a sheet keeps, so that its labels can be read: it is scrolled"""


def write_report(
    folder: Path,
    *,
    title: str,
    description: str,
    dataset: xarray.Dataset,
    made: Made,
    graph: nx.DiGraph[str],
    facts: Mapping[str, str],
    failures: Sequence[Mapping[str, Any]],
    source: str,
) -> Path:
    """Write ``folder/report.html``: facts, what went wrong, scores, curves, pictures, the graph and its text; its path.

    Pictures are embedded, nothing is loaded from elsewhere, every text from outside is escaped.
    """
    text = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(text).render(
        title=title,
        description=description or "",
        facts=facts,
        table=table(dataset),
        warnings=dataset.attrs.get("warnings", ()),
        failures=(failed := grouped(Failure(**failure) for failure in failures))[:FAILURES],
        more_failures=max(0, len(failed) - FAILURES),
        failed_items=len(failures),
        curves=[(name, Markup(drawing)) for name, drawing in [*made.curves, *curves(dataset)]],
        moving=[embedded(path) for path in moving(made)],
        grids=[embedded(path) for path in made.sheets],
        files=[listed(name, paths, folder) for name, paths in made.files.items()],
        shown=SHOWN,
        drawing=Markup(draw_graph(graph)),
        source=source,
    )
    return write_text(folder / NAME, page)


def listed(name: str, paths: Sequence[Path], folder: Path) -> dict[str, Any]:
    """An output's files: the first few, and how many more."""
    shown = [path.relative_to(folder).as_posix() for path in paths[:FILES]]
    return {"name": name, "paths": shown, "more": len(paths) - len(shown)}


def table(dataset: xarray.Dataset) -> dict[str, Any]:
    """The scalar table as the template reads it."""
    headers, rows = scalar_summary(dataset, ROWS)
    axes = row_axes(dataset)
    labels, total = len(axes), math.prod(dataset.sizes[axis] for axis in axes)
    heads = []
    for n, header in enumerate(headers):
        name, _, detail = header.partition(", ")
        heads.append({"name": name, "detail": detail, "style": "label" if n < labels else "n" if header == "n" else ""})
    enough = [digits(column) for column in list(zip(*rows, strict=True))[:labels]]
    cells = [
        [label_cell(c, enough[n]) if n < labels else (significant(c), "") for n, c in enumerate(row)] for row in rows
    ]
    note = f"The first {ROWS} of {total} rows; all are in results.zarr." if total > ROWS else ""
    return {"heads": heads, "rows": cells, "note": note}


def moving(made: Made) -> list[Path]:
    """The animations that are embedded: the first few that are small and that a picture can hold."""
    return [path for path in made.animations if path.suffix != ".mp4" and path.stat().st_size <= HEAVY][:MOVING]


def label_cell(label: Any, enough: int) -> tuple[str, str]:
    """A label as it is shown, computed numbers with ``enough`` digits, and the whole of it where that isn't all."""
    text = readable(label, digits=enough)
    return readable(label, LABEL, enough), text if len(text) > LABEL else ""


def embedded(path: Path) -> dict[str, Any]:
    """A sheet as a data URI, with its caption and size."""
    data, kind = path.read_bytes(), {".gif": "gif", ".webp": "webp"}.get(path.suffix, "png")
    with Image.open(path) as image:
        caption = str(image.info.get(CAPTION) or readable(path.stem, LABEL))
        width, height = image.size
    if len(data) > HEAVY:
        smaller, target = shrunk(path), io.BytesIO()
        width, height = smaller.size
        smaller.save(target, format="JPEG", quality=88)
        data, kind = target.getvalue(), "jpeg"
    give_back()
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    kept, across = "max-width:100%;max-height:80vh", width > LONG * height
    if across:
        kept = f"max-width:max(100%,{LEAST * width:.0f}px)"
    elif height > LONG * width:
        kept = f"max-width:100%;max-height:max(80vh,{LEAST * height:.0f}px)"
    return {"source": uri, "caption": caption, "width": width, "height": height, "across": across, "style": kept}


def shrunk(path: Path) -> Image.Image:
    """A sheet of at most LARGE pixels. It has tens of megabytes: made narrower first, it is held once."""
    with Image.open(path) as image:
        scale = min(1.0, LARGE / max(image.size))
        width, height = (max(1, round(side * scale)) for side in image.size)
        narrow = (image if image.mode == "RGB" else image.convert("RGB")).resize((width, image.height))
    image.close()  # lets the pixels go
    return narrow.resize((width, height))
