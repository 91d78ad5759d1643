"""A run's folder: the graph, where everything came from, labelled results, pictures, a report."""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flowgen.execute.driver import Tally
from flowgen.execute.memory import give_back
from flowgen.graph.model import Wire
from flowgen.graph.selects import stored_output
from flowgen.plan.plan import Plan
from flowgen.results.columns import Column
from flowgen.results.dataset import NAME as RESULTS
from flowgen.results.dataset import write_dataset
from flowgen.results.failures import failures
from flowgen.results.files import Told, untold, write_json, write_text
from flowgen.results.making import make_outputs
from flowgen.results.report import write_report
from flowgen.results.standing import replaced, write_keys
from flowgen.store import Lost, Store
from flowgen.store.reach import KEYS
from flowgen.values import Record
from flowgen.values.model import Part

LIBRARIES = ("flowgen", "torch", "diffusers", "transformers", "zarr", "distributed", "numpy")
ATTEMPTS = 3


def write_run(
    folder: Path, plan: Plan, tally: Tally, store: Store, again: Callable[[list[Lost]], Any], told: Told = untold
) -> None:
    """Fill the folder of a run whose items are all in the store. ``again`` computes what turns out to be lost.

    Raises FileNotFoundError if somebody removes the folder.
    """
    give_back()
    attributes: dict[str, Any] = {"graph": plan.graph.document.file, "description": plan.graph.document.description}
    if plan.check.warnings:
        attributes["warnings"] = plan.check.warnings
    for attempt in range(ATTEMPTS):
        columns = outputs(plan, tally)
        try:
            dataset = write_dataset(folder, plan.graph.document.axes, columns, store, attributes, told=told)
            break
        except Lost as lost:
            if attempt + 1 == ATTEMPTS:
                raise
            again([lost, *unreadable(store, columns)])
    about = provenance(plan, tally)
    store.recent.clear()  # nobody reads blocks any more, and sheets take tens of megabytes
    write_text(folder / "graph.yaml", plan.graph.document.source)
    write_json(folder / "resolved.json", resolved(plan))
    write_keys(folder / KEYS, {column.name: column.keys for column in columns})
    made = make_outputs(folder, plan, columns, dataset, told)
    told("the report", 0, 1)
    write_report(
        folder,
        title=Path(plan.graph.document.file).stem.replace("_", " "),
        description=plan.graph.document.description,
        dataset=dataset,
        made=made,
        graph=plan.graph.networkx(),
        facts=facts(plan, about),
        failures=about["failures"],
        source=plan.graph.document.source,
    )
    told("the report", 1, 1)
    about["files"] = {name: [path.relative_to(folder).as_posix() for path in made.files[name]] for name in made.files}
    (folder / RESULTS).stat()  # a folder that was removed meanwhile isn't finished
    # last, since a folder that has it is a finished run
    write_json(folder / "provenance.json", about)


def new_folder(runs: Path, name: str) -> Path:
    """A fresh folder, named after the time and the graph."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:60] or "graph"
    base = f"{time.strftime('%Y-%m-%d_%H%M%S')}_{safe}"
    for n in range(1000):
        folder = runs / (base if n == 0 else f"{base}_{n + 1}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(base)


def outputs(plan: Plan, tally: Tally) -> list[Column]:
    """Where outputs' values are, each node's output once, under the first of its names.

    A failed item has an empty key.
    """
    found = []
    seen: set[Wire] = set()
    instead = tally.instead
    for name, wire in plan.graph.outputs.items():
        if wire in seen:
            continue
        seen.add(wire)
        node = plan.graph.nodes[wire.node]
        keys = replaced(np.array(plan.keys[wire.node].values, dtype="S40"), instead)
        found.append(Column(name, node.axes, keys, stored_output(plan.graph, wire), form(plan, wire)))
    return found


def unreadable(store: Store, columns: Sequence[Column]) -> Iterator[Lost]:
    """The blocks with outputs' items that can't be read, all of them: each is set aside."""
    keys = {key.decode() for column in columns for key in np.unique(column.keys) if key}
    for block in sorted({place.block for place in store.find(keys).values()}):
        try:
            store.block(block)
        except Lost as lost:
            yield lost


def form(plan: Plan, wire: Wire) -> Record:
    """What the check of the graph tells of an item."""
    abstract = plan.check.outcomes[wire.node][0].outputs[wire.output]
    return abstract.map(lambda tensor: torch.zeros(1, *tensor.shape[1:], dtype=tensor.dtype))


def resolved(plan: Plan) -> dict[str, Any]:
    """The graph with types, wires, parameters and axes as they were understood."""
    graph = plan.graph
    nodes = {}
    for node in graph.nodes.values():
        values = {name: column.values.ravel() for name, column in node.params.items()}
        nodes[node.name] = {
            "type": node.type.name,
            "version": node.type.version,
            "wires": {port: [f"{w.node}.{w.output}" for w in wires] for port, wires in node.wires.items()},
            "parameters": {
                name: v[0] if len(v) == 1 else {"along": list(node.params[name].axes)} for name, v in values.items()
            },
            "axes": list(node.axes),
            "loop": node.body_of,
        }
    axes = {name: axis.labels for name, axis in graph.document.axes.items()}
    return {"axes": axes, "inputs": graph.document.inputs, "numerics": json.loads(plan.numerics.text()), "nodes": nodes}


def provenance(plan: Plan, tally: Tally) -> dict[str, Any]:
    """Versions, weights, counts and timings."""
    stages: dict[str, dict[str, Any]] = {}
    for name, node in plan.nodes.items():
        if node.stored:
            mine = [receipt for receipt in tally.receipts if receipt.stage == name]
            seconds = round(sum(receipt.seconds for receipt in mine), 3)
            stages[name] = {"items": node.items, "computed": tally.computed(name), "seconds": seconds}
            stages[name]["blocks"] = sorted({block for receipt in mine for block in receipt.blocks})
    parts = {k: v for code in plan.programs.values() for k, v in code.parts.items()}
    return {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: found for name in LIBRARIES if (found := installed(name))},
        "python": platform.python_version(),
        "numerics": json.loads(plan.numerics.text()),
        "models": origins(plan),
        "weights": weights(parts),
        "nodes": stages,
        "calls": {name: {"calls": calls, "items": rows} for name, (calls, rows) in tally.calls().items()},
        "failures": [asdict(failure) for failure in failures(plan, tally)],
        "warnings": plan.check.warnings,
        "notes": tally.notes,
        "deaths": tally.deaths,
        "sent_again": tally.repeated,
    }


def origins(plan: Plan) -> dict[str, list[str]]:
    """Where the models of each node came from, those that were fetched by their commit."""
    return {
        name: sorted({model.origin or model.label for model in column.values.flat})
        for name, column in plan.graph.references.items()
    }


def weights(parts: Mapping[Part, str]) -> dict[str, str]:
    """Digests of parts by folder and name; where several are made of one folder, with the digest's first digits."""
    names = Counter(f"{part.folder}/{part.name}" for part in parts)
    found = {}
    for part, digest in parts.items():
        name = f"{part.folder}/{part.name}"
        found[name if names[name] == 1 else f"{name} {digest[:8]}"] = digest
    return dict(sorted(found.items()))


def installed(name: str) -> str | None:
    """A library's version."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def facts(plan: Plan, about: dict[str, Any]) -> dict[str, str]:
    """The few numbers at the top of a report."""
    computed = sum(node["computed"] for node in about["nodes"].values())
    items = sum(node["items"] for node in about["nodes"].values())
    seconds = sum(node["seconds"] for node in about["nodes"].values())
    failed = len(about["failures"])
    return {
        "points": str(max((node.points for node in plan.nodes.values()), default=0)),
        "items": str(items),
        "computed": str(computed),
        "from the store": str(max(0, items - computed - failed)),
        **({"failed": str(failed)} if failed else {}),
        **({"workers that died": str(about["deaths"])} if about["deaths"] else {}),
        **({"tasks sent again": str(about["sent_again"])} if about["sent_again"] else {}),
        "computing": f"{seconds:.1f} s",
        "finished": about["finished"],
        "torch": about["versions"].get("torch", ""),
    }
