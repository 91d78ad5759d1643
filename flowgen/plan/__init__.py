"""Plans: which items there are, which are known, why the others must run, and in which parcels."""

from __future__ import annotations
