"""Graphs written in Python: the same language, built from calls."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowgen.errors import UserError
from flowgen.experiment import Experiment
from flowgen.language.document import document
from flowgen.language.given import unwrapped
from flowgen.language.tree import Tree


class Handle(str):
    """A node of a graph under construction: the text ``$name``, with its outputs as ``handle["port"]``."""

    __slots__ = ()

    def __getitem__(self, output: Any) -> Any:
        return f"{self}.{output}" if isinstance(output, str) else super().__getitem__(output)


class Graph:
    """A graph in Python. ``graph.node(...)`` returns what other nodes take as a port.

    A loop's feedback is wired by name, since its source comes later: ``prediction="$guided"``.
    """

    def __init__(self, description: str = "", numerics: str = "fast", folder: str | Path = ".") -> None:
        self.folder = Path(folder)
        self.data: dict[str, Any] = {
            "flowgen": 1,
            "description": description,
            "numerics": numerics,
            "inputs": {},
            "sweep": {},
            "defaults": {},
            "nodes": {},
            "outputs": [],
        }

    def inputs(self, **values: Any) -> Graph:
        """Declare inputs and their defaults."""
        self.data["inputs"] |= unwrapped(values, "inputs")
        return self

    def sweep(self, **axes: Any) -> Graph:
        """Add axes: lists, ranges, or mappings as in a file (``{"linspace": [0, 1, 5]}``)."""
        for name, axis in axes.items():
            found = unwrapped(axis, f"sweep[{name!r}]")
            if not isinstance(found, (dict, list)):
                raise UserError(f"the axis '{name}' is a list or a mapping, not {found!r}")
            self.data["sweep"][name] = found
        return self

    def defaults(self, **values: Any) -> Graph:
        """What fills a port or parameter of that name where a node leaves it out."""
        self.data["defaults"] |= unwrapped(values, "defaults")
        return self

    def node(self, name: str, type: str, **arguments: Any) -> Handle:
        """Add a node. ``from_`` stands for ``from``. Raises UserError where there is one of that name."""
        if name in self.data["nodes"]:
            raise UserError(f"the graph has a node '{name}' already", hint="give this one another name")
        given = unwrapped(arguments, f"nodes[{name!r}]")
        self.data["nodes"][name] = {"type": type} | {k.removesuffix("_"): v for k, v in given.items()}
        return Handle(f"${name}")

    def outputs(self, *names: Iterable[str] | str, **made: Any) -> Graph:
        """Name the results, and by name what is made of them: ``sheet={"from": "$image", "grid": ["prompt", "seed"]}``.

        ``from_`` stands for ``from``.
        """
        if isinstance(self.data["outputs"], list) and not made:
            self.data["outputs"] += [str(name) for name in names]
            return self
        if isinstance(self.data["outputs"], list):
            names, self.data["outputs"] = (*self.data["outputs"], *names), {}
        for name in map(str, names):
            self.data["outputs"][name.removeprefix("$").replace(".", "_")] = f"${name.removeprefix('$')}"
        for name, entry in unwrapped(made, "outputs").items():
            keyed = {k.removesuffix("_"): v for k, v in entry.items()} if isinstance(entry, dict) else entry
            self.data["outputs"][name] = keyed
        return self

    def load(self) -> Experiment:
        """The graph, ready to check, plan and run. Raises UserError."""
        plain = {k: v for k, v in self.data.items() if v or k in ("nodes", "outputs")}
        return Experiment(document(Tree(unhandled(plain)), "<Python>", self.folder, self.yaml(), {}))

    def yaml(self) -> str:
        """The graph as a file."""
        import io

        from ruamel.yaml import YAML

        writer, text = YAML(typ="safe", pure=True), io.StringIO()
        writer.default_flow_style = None
        writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        writer.dump(unhandled({k: v for k, v in self.data.items() if v}), text)
        return text.getvalue()


def unhandled(value: Any) -> Any:
    """Handles as plain texts."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {k: unhandled(v) for k, v in value.items()}
    return [unhandled(v) for v in value] if isinstance(value, list) else value
