"""How many items calls may have at once, where memory ran out, remembered beside the store. Disposable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

NAME = "limits.json"
MOST = 1000
"""calls that are remembered, the newest"""


def remembered(store: Path) -> dict[str, int]:
    """By call, the most items. A file that is missing or can't be read is as good as empty."""
    try:
        read = json.loads((store / NAME).read_text(encoding="utf-8"))
        return {str(call): max(1, int(count)) for call, count in read.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember(store: Path, learned: Mapping[str, int]) -> None:
    """Add what a run learned. A file that can't be written is no error."""
    if not learned:
        return
    known = {call: count for call, count in remembered(store).items() if call not in learned} | dict(learned)
    aside = store / f"{NAME}.{os.getpid()}"
    try:
        aside.write_text(json.dumps(dict(list(known.items())[-MOST:])), encoding="utf-8")
        aside.replace(store / NAME)
    except OSError:
        aside.unlink(missing_ok=True)
