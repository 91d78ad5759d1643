"""Models that ship with flowgen, as ``zoo:NAME``."""

from __future__ import annotations

from pathlib import Path

from flowgen.errors import UserError, did_you_mean
from flowgen.node import scheme

FOLDER = Path(__file__).parent / "weights"


@scheme("zoo")
def find(name: str) -> Path:
    """The folder of a shipped model. Raises UserError."""
    there = [path for path in FOLDER.iterdir() if path.is_dir()] if FOLDER.is_dir() else []
    wanted, known = f"zoo:{name}", [f"zoo:{path.name}" for path in there]
    if wanted not in known:
        raise UserError(f"there is no '{wanted}'", hint=did_you_mean(wanted, known))
    return FOLDER / name
