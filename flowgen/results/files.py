"""Files of a run's folder: each is there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowgen.errors import UserError
from flowgen.language.strict_json import strict

Told = Callable[[str, int, int], None]
"""who is told what is being written, how much of it is done, and of how much"""


def untold(what: str, done: int, total: int) -> None:
    """Nobody."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to in place of ``path``, which it becomes when all went well; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text as UTF-8, what isn't valid Unicode escaped; the path."""
    with whole(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write a value as strict JSON, piece by piece; the path."""
    with whole(path) as aside, aside.open("w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(strict(value), file, indent=2, ensure_ascii=False, allow_nan=False)
    return path


def inside(folder: Path, name: str) -> Path:
    """A file under a folder. Raises UserError where a link that stands there leads out of it."""
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"'{name}' leaves the run's folder by a link")
    return path
