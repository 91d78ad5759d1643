"""The store: what was computed, by key."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgen.store.answers import Gone, Location, Lost
    from flowgen.store.patience import Unreachable, Unwritable, briefly
    from flowgen.store.store import Store

__all__ = ["Gone", "Location", "Lost", "Store", "Unreachable", "Unwritable", "briefly"]

_HOMES = {
    **dict.fromkeys(("Gone", "Location", "Lost"), "flowgen.store.answers"),
    **dict.fromkeys(("Unreachable", "Unwritable", "briefly"), "flowgen.store.patience"),
    "Store": "flowgen.store.store",
}


def __getattr__(name: str) -> Any:
    """These names, imported when they are asked for: who looks at runs needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'flowgen.store' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
