"""Files of a model's folder, read so that whatever lies in it ends in a message: regular files, of a bounded size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowgen.errors import UserError, with_article

LARGEST = 16 << 20
"""bytes of JSON: of a configuration, of an index, of the header of weights"""
LARGEST_VOCABULARY = 128 << 20
"""bytes of a tokeniser's file"""
DEEPEST = 64
"""levels of JSON"""
NAMES_OF_CODE = (
    "auto_map",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
)


def regular(path: Path, largest: int | None = None) -> Path:
    """The path of a file. Raises UserError for a device and a pipe, which may never end, and for what is too large."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file")
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
    if largest is not None and size > largest:
        raise UserError(f"{path} is larger than {largest >> 20} MiB, the most that such a file may have")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A configuration, without what names code. Raises UserError."""
    try:
        return mapping(regular(path, LARGEST).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"can't read {path}: {error}") from None


def mapping(text: bytes) -> dict[str, Any]:
    """The mapping that JSON holds, without what names code. Raises ValueError, also for what is nested too deep."""
    try:
        found: dict[str, Any] = json.loads(text, object_hook=without_code)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds {with_article(type(found).__name__)}, not a mapping")
    level: list[Any] = [found]
    for _ in range(DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [value for each in inner for value in each]
    if level:
        raise ValueError("it is nested too deep")
    return found


def without_code(entries: dict[str, Any]) -> dict[str, Any]:
    """An object of a configuration without the entries that name code of the model's own or of the Hub (kernels)."""
    return {name: value for name, value in entries.items() if name not in NAMES_OF_CODE}
