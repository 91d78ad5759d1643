"""How an axis' labels read: as coordinates, in text, in file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

INT64 = range(-(2**63), 2**63)
EXACT = 2**53
"""whole numbers up to here are exact as float64"""
NAME_BYTES = 150
"""file systems take 255"""


def coordinate(labels: Sequence[Any]) -> NDArray[Any]:
    """Labels as an array: booleans, int64, float64, or strings where kinds are mixed or a number doesn't fit."""
    if all(isinstance(label, bool) for label in labels):
        return np.array(labels, dtype=np.bool_)
    if all(isinstance(label, (int, float)) and not isinstance(label, bool) for label in labels):
        if all(isinstance(label, int) for label in labels):
            if all(label in INT64 for label in labels):
                return np.array(labels, dtype=np.int64)
        elif all(isinstance(label, float) or abs(label) <= EXACT for label in labels):
            return np.array(labels, dtype=np.float64)
    return np.array([exact_text(label) for label in labels], dtype=np.dtypes.StringDType())


def exact_text(label: Any) -> str:
    """A label as a string that keeps all of it; what isn't valid UTF-8 is escaped."""
    text = str(label).lower() if isinstance(label, bool) else str(label)
    return text.encode("utf-8", "backslashreplace").decode()


def readable(label: Any, longest: int = 0) -> str:
    """A label to be read by people: short numbers, no control characters; cut off with … beyond ``longest``."""
    if isinstance(label, (float, np.floating)):
        text = f"{label:.6g}"
    elif isinstance(label, (bool, np.bool_)):
        text = str(label).lower()
    else:
        text = "".join(c if c.isprintable() else " " for c in exact_text(label))
    return text if not longest or len(text) <= longest else text[: longest - 1] + "…"


def significant(value: Any) -> str:
    """A cell of a table: numbers to 4 significant digits, whole numbers as they are."""
    if isinstance(value, (float, np.floating)):
        return f"{value:#.4g}".rstrip(".") if np.isfinite(value) else str(value)
    return readable(value)


def safe_name(text: str) -> str:
    """A text as one component of a path, on any file system."""
    text = re.sub(r"[^\w .=+,()-]", "_", readable(text)).strip(" .")
    return text.encode()[:NAME_BYTES].decode(errors="ignore").rstrip(" .") or "_"


def is_seed(axis: str) -> bool:
    """True for axes along which only the noise differs."""
    return "seed" in axis.lower()
