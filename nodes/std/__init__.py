"""Graphs that ship with flowgen, to be used as nodes: ``type: std:NAME``."""

from __future__ import annotations

from pathlib import Path

from flowgen.errors import UserError, did_you_mean
from flowgen.node import scheme

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The shipped graphs."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@scheme("std", names)
def find(name: str) -> Path:
    """The file of a shipped graph. Raises UserError that names those which exist."""
    wanted, known = f"std:{name}", [f"std:{name}" for name in names()]
    if wanted not in known:
        hint = did_you_mean(wanted, known)
        more = "" if hint.startswith("known") else f" (known: {', '.join(known)})"
        raise UserError(f"there is no '{wanted}'", hint=hint + more)
    return FOLDER / f"{name}.yaml"
