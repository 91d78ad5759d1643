"""The store: what was computed, by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgen.store.aside import Unwritable
    from flowgen.store.store import Gone, Location, Lost, Store

__all__ = ["Gone", "Location", "Lost", "Store", "Unwritable"]


def __getattr__(name: str) -> Any:
    """These names, imported when they are asked for: who looks at runs needs no torch."""
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'flowgen.store' has no attribute '{name}'")
    home = "flowgen.store.aside" if name == "Unwritable" else "flowgen.store.store"
    return getattr(importlib.import_module(home), name)
