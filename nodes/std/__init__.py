"""Graphs that ship with flowgen, to be used as nodes: ``type: std:NAME``."""

from __future__ import annotations

from pathlib import Path

from flowgen.errors import UserError, did_you_mean
from flowgen.node import scheme

FOLDER = Path(__file__).parent


@scheme("std")
def find(name: str) -> Path:
    """The file of a shipped graph. Raises UserError that names those which exist."""
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in known:
        hint = did_you_mean(name, known)
        raise UserError(
            f"there is no 'std:{name}'",
            hint=hint if hint.startswith("known") else f"{hint} (known: {', '.join(known)})",
        )
    return FOLDER / f"{name}.yaml"
