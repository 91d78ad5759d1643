"""How labels read: to people, in texts and in file names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

DIGITS = 6
"""enough to read a computed number by, where no other is as near"""
NAME_BYTES = 120
"""of a label in a file name; file systems take 255 for the whole name"""


def exact_text(label: Any) -> str:
    """A label as a string that keeps all of it; what isn't valid UTF-8 is escaped."""
    text = str(label).lower() if isinstance(label, (bool, np.bool_)) else str(label)
    return text.encode("utf-8", "backslashreplace").decode()


def tidy(number: float, digits: int = DIGITS) -> str:
    """A number as it was written, to 12 digits; of one that has more, and so was computed, as many as are asked for."""
    written = f"{number:.12g}"
    return written if float(written) == number else f"{number:.{digits}g}"


def digits(labels: Iterable[Any]) -> int:
    """How many digits tell the computed numbers among an axis' labels apart."""
    numbers = {float(label) for label in labels if isinstance(label, (float, np.floating))}
    for count in range(DIGITS, 17):
        if len({tidy(number, count) for number in numbers}) == len(numbers):
            return count
    return 17


def readable(label: Any, longest: int = 0, digits: int = DIGITS) -> str:
    """A label to be read by people: numbers ``tidy``, no control characters; beyond ``longest`` cut in the middle.

    Long texts of one sweep tend to differ at their ends, so both ends stay.
    """
    if isinstance(label, (float, np.floating)):
        text = tidy(float(label), digits)
    else:
        text = "".join(c if c.isprintable() else " " for c in exact_text(label))
    if not longest or len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return text[: longest - 1 - tail].rstrip() + "…" + text[len(text) - tail :].lstrip()


def all_readable(labels: Sequence[Any], longest: int = 0) -> list[str]:
    """An axis' labels to be read by people, computed numbers with the digits that tell them apart."""
    enough = digits(labels)
    return [readable(label, longest, enough) for label in labels]


def safe_name(text: str) -> str:
    """A text as one component of a path, on any file system; long ones end in eight digits of their SHA-256."""
    safe = re.sub(r"[^\w .=+,()-]", "_", readable(text)).strip(" .")
    if len(safe.encode()) > NAME_BYTES:
        digest = hashlib.sha256(exact_text(text).encode()).hexdigest()[:8]
        return safe.encode()[: NAME_BYTES - 9].decode(errors="ignore").rstrip(" .") + "~" + digest
    return safe or "_"
