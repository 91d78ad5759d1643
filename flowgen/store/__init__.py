"""The store: what was computed, by key."""

from __future__ import annotations

from flowgen.store.patience import Unreachable, Unwritable
from flowgen.store.store import Gone, Location, Lost, Store

__all__ = ["Gone", "Location", "Lost", "Store", "Unreachable", "Unwritable"]
