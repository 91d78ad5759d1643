"""What earlier runs computed, in the terms of their graphs, so that a later plan can say what has changed.

One compressed JSON file a run, the newest KEPT of them, beside the store. Disposable: without them a plan says that
nothing like it has been computed.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flowgen.store.medium import Medium, get
from flowgen.store.patience import Unwritable
from flowgen.store.processes import machine

FOLDER, SUFFIX = "history", ".json.gz"
KEPT = 50
"""runs that are remembered"""


class History:
    """The remembered runs of a store."""

    def __init__(self, medium: Medium) -> None:
        self.medium = medium

    def keep(self, recipe: Mapping[str, Any]) -> None:
        """Remember a run. A place that can't be written to is no error."""
        name = f"{FOLDER}/{time.time_ns():020d}-{machine()}-{os.getpid()}{SUFFIX}"
        try:
            self.medium.put(name, gzip.compress(json.dumps(recipe, ensure_ascii=False).encode(), 1))
            self.medium.delete(self.names()[KEPT:])
        except (OSError, Unwritable):
            return

    def names(self) -> list[str]:
        """The newest first."""
        found = [entry.name for entry in self.medium.entries(FOLDER)]
        return sorted((name for name in found if name.endswith(SUFFIX)), reverse=True)

    def recipes(self) -> Iterator[dict[str, Any]]:
        """The remembered runs that can be read, the newest first."""
        for name in self.names():
            try:
                yield json.loads(gzip.decompress(get(self.medium, name)))
            except (OSError, EOFError, ValueError):
                continue
