"""Plans to results: tasks, loops, models in memory, clusters, progress."""

from __future__ import annotations
