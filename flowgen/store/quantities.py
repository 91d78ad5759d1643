"""Sizes and ages as people write them."""

from __future__ import annotations

import os
import re

from flowgen.errors import UserError

SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BINARY = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
LIMIT = "FLOWGEN_STORE_LIMIT"


def size(text: str) -> int:
    """Bytes of ``50GB``, ``1.5 TiB``, ``1000``. Raises UserError."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", text)
    unit = (SIZES | BINARY).get((found[2] or "B").upper()) if found else None
    if found is None or unit is None:
        raise UserError(f"'{text}' is no size", hint="a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB: 50GB")
    return int(float(found[1]) * unit)


def age(text: str) -> float:
    """Seconds of ``30d``, ``12h``. Raises UserError."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smhdw])\s*", text)
    if found is None:
        raise UserError(f"'{text}' is no age", hint="a number and s, m, h, d or w: 30d")
    return float(found[1]) * AGES[found[2]]


def shown(count: float) -> str:
    """Bytes in three digits: ``1.25 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def limit_from_environment() -> int | None:
    """The size that FLOWGEN_STORE_LIMIT sets, in bytes. Raises UserError."""
    text = os.environ.get(LIMIT, "").strip()
    try:
        return size(text) if text else None
    except UserError as error:
        raise UserError(f"{LIMIT}: {error.message}", hint=error.hint) from None
