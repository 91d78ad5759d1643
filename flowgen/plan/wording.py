"""Canonical values and digests as a user reads them, and how far two labels are from each other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def gap(one: str, other: str | None) -> int:
    """How far two canonical labels are from each other: 0 if they are equal, 20 for texts, less for near numbers."""
    if one == other:
        return 0
    first, second = (number(text) for text in (one, other))
    if first is None or second is None or not 0 < (size := abs(first) + abs(second)) < math.inf:
        return 20
    return 10 + round(10 * abs(first - second) / size)


def number(text: str | None) -> float | None:
    """The number that a canonical text stands for, if it is one."""
    value = None if text is None else json.loads(text)
    if isinstance(value, dict) and set(value) == {"number"}:
        return float.fromhex(value["number"])
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else None


def short(old: Mapping[str, str], new: Mapping[str, str], part: str) -> tuple[str, str]:
    """Two digests, as much of them as tells them apart at a glance."""
    return old.get(part, "")[:12], new.get(part, "")[:12]


def shown(text: str | None) -> str:
    """A canonical value as a user writes it."""
    return "nothing" if text is None else written(json.loads(text))


def written(value: Any) -> str:
    """Plain JSON of a key as text."""
    if (found := number(json.dumps(value))) is not None:
        return f"{found:g}" if isinstance(value, dict) else str(value)
    if isinstance(value, dict) and "schedule" in value:
        pieces = [f"{by} [{written(lo)}, {written(hi)}]: {written(v)}" for by, lo, hi, v in value["schedule"]]
        return f"{{{'; '.join(pieces)}; else: {written(value['else'])}}}"
    if isinstance(value, str):
        return value or '""' if len(value) <= 60 else value[:59] + "…"
    return json.dumps(value, ensure_ascii=False)
