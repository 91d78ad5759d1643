"""What a table holds: cells by column, each a number, a text, true or false."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowgen.errors import UserError, did_you_mean, with_article
from flowgen.language.axes import kind_of

SOUND = (str, int, bool)
"""kinds of cells that need no closer look"""
Cells = dict[str, list[Any]]
"""A table's columns by name."""


def find_columns(wanted: Sequence[str], known: Sequence[str], path: Path) -> None:
    """Columns that a table must have."""
    for name in wanted:
        if name not in known:
            raise UserError(f"{path} has no column '{name}'", hint=did_you_mean(name, known))


def check_cell(value: Any, what: str) -> None:
    """A cell is a number, a text, true or false."""
    if not isinstance(value, (str, bool, int, float)):
        said = (
            kind_of(value) if value is None or isinstance(value, (list, dict)) else with_article(type(value).__name__)
        )
        raise UserError(f"{what} is {said}; a cell is a number, a text, true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{what} is {value}, not a finite number")
