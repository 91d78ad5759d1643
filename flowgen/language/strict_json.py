"""Values as strict JSON, which every reader takes: Python writes infinity as no other one reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def strict(value: Any) -> Any:
    """A value as strict JSON can hold it: what it has nothing for, infinite numbers among it, as text."""
    if isinstance(value, Mapping):
        return {str(name): strict(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def json_text(value: Any, ascii: bool = False) -> str:
    """A value as JSON to read; ascii: other letters as escapes."""
    return json.dumps(strict(value), indent=2, ensure_ascii=ascii, allow_nan=False)
