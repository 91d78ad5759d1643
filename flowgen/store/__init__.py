"""The store: what was computed, by key."""

from __future__ import annotations

from flowgen.store.store import Location, Lost, Store

__all__ = ["Location", "Lost", "Store"]
