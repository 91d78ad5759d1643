"""How many items calls may have at once, where memory ran out, remembered beside the store. Disposable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from flowgen.store.medium import Medium, get
from flowgen.store.patience import Unwritable

NAME = "limits.json"
MOST = 1000
"""calls that are remembered, the newest"""


def remembered(medium: Medium) -> dict[str, int]:
    """By call, the most items. A file that is missing or can't be read is as good as empty."""
    try:
        read = json.loads(get(medium, NAME))
        return {str(call): max(1, int(count)) for call, count in read.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember(medium: Medium, learned: Mapping[str, int]) -> None:
    """Add what a run learned. A file that can't be written is no error."""
    if not learned:
        return
    known = {call: count for call, count in remembered(medium).items() if call not in learned} | dict(learned)
    with suppress(OSError, Unwritable):
        medium.put(NAME, json.dumps(dict(list(known.items())[-MOST:])).encode())
