"""Labels and numbers in results: as coordinates, as cells of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.language.labels import exact_text, readable

INT64 = range(-(2**63), 2**63)
FAILED = "failed"
"""in place of a number that there isn't"""
EXACT = 2**53
"""whole numbers up to here are exact as float64"""


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


def significant(value: Any) -> str:
    """A cell of a table: numbers to 4 significant digits, whole numbers as they are, no number as failed."""
    if isinstance(value, (float, np.floating)):
        return FAILED if np.isnan(value) else f"{value:#.4g}".rstrip(".") if np.isfinite(value) else str(value)
    return readable(value)


def is_seed(axis: str) -> bool:
    """True for axes along which only the noise differs."""
    return "seed" in axis.lower()
