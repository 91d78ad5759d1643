"""flowgen: a declarative engine for generation graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgen.experiment import Experiment, load
    from flowgen.graph_builder import Graph
    from flowgen.runner import Run

__version__ = "0.1.0"
__all__ = ["Experiment", "Graph", "Run", "load"]

_HOMES = {
    "Experiment": "flowgen.experiment",
    "Run": "flowgen.runner",
    "load": "flowgen.experiment",
    "Graph": "flowgen.graph_builder",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: ``flowgen --help`` needs no torch."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'flowgen' has no attribute '{name}'")
    module = importlib.import_module(_HOMES[name])
    return getattr(module, name)
