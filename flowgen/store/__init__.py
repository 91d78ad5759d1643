"""The store: what was computed, by key."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgen.store.patience import Unreachable, Unwritable
    from flowgen.store.store import Gone, Location, Lost, Store

__all__ = ["Gone", "Location", "Lost", "Store", "Unreachable", "Unwritable"]

_HOMES = dict.fromkeys(("Unreachable", "Unwritable"), "flowgen.store.patience")
"""others are in flowgen.store.store"""


def __getattr__(name: str) -> Any:
    """These names, imported when they are asked for: who looks at runs needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'flowgen.store' has no attribute '{name}'")
    return getattr(import_module(_HOMES.get(name, "flowgen.store.store")), name)
