"""Sizes, ages and times as people write them."""

from __future__ import annotations

import re

from flowgen.config import kinds
from flowgen.errors import UserError

AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def counted(number: int, word: str) -> str:
    """A number of things."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def size(text: str) -> int:
    """Bytes of ``50GB``, ``1.5 TiB``, ``1000``. Raises UserError."""
    try:
        return kinds.size(text)
    except ValueError:
        raise UserError(
            f"'{text}' is no size", hint="a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB: 50GB"
        ) from None


def age(text: str) -> float:
    """Seconds of ``30d``, ``12h``. Raises UserError."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smhdw])\s*", text)
    if found is None:
        raise UserError(f"'{text}' is no age", hint="a number and s, m, h, d or w: 30d")
    return float(found[1]) * AGES[found[2]]


def duration(seconds: float | None, digits: int = 3) -> str:
    """Seconds in the unit that reads best: ``12 s``, ``3.25 min``; ``digits`` for minutes and what is longer."""
    if seconds is None:
        return "unknown"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            count = seconds / length
            return f"{count:.0f} {unit}" if count >= 100 else f"{count:.{digits}g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.2g} s"


def shown(count: float) -> str:
    """Bytes in three digits: ``1.25 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
