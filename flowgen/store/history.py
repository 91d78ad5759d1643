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
from pathlib import Path
from typing import Any

KEPT = 50
"""runs that are remembered"""


class History:
    """The remembered runs of a store."""

    def __init__(self, store: Path) -> None:
        self.folder = store / "history"

    def keep(self, recipe: Mapping[str, Any]) -> None:
        """Remember a run. A place that can't be written to is no error."""
        name = f"{time.time_ns():020d}-{os.getpid()}.json.gz"
        aside = self.folder / f"{name}.part"
        try:
            self.folder.mkdir(exist_ok=True)
            aside.write_bytes(gzip.compress(json.dumps(recipe, ensure_ascii=False).encode(), 1))
            aside.replace(self.folder / name)
            for path in self.files()[KEPT:]:
                path.unlink(missing_ok=True)
        except OSError:
            aside.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("*.json.gz"), reverse=True)

    def recipes(self) -> Iterator[dict[str, Any]]:
        """The remembered runs that can be read, the newest first."""
        for path in self.files():
            try:
                yield json.loads(gzip.decompress(path.read_bytes()))
            except (OSError, EOFError, ValueError):
                continue
