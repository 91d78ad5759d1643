"""The files and folders that parameters name, and what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flowgen.node import Source
from flowgen.store import keys

FileDigest = Callable[[Path], str]
PLAIN = {bool, int, float, str, type(None)}


def files_in(value: Any) -> Iterator[Source]:
    """The files and folders in a value, lists and mappings of any depth."""
    if isinstance(value, Source):
        yield value
    elif isinstance(value, Mapping):
        yield from files_in(list(value.values()))
    elif isinstance(value, list | tuple) and not PLAIN.issuperset(map(type, value)):  # columns are long
        for entry in value:
            yield from files_in(entry)


def content(path: Path, file_digest: FileDigest) -> str:
    """The digest of a file, or of all that is in a folder; of nothing where there is neither."""
    if path.is_file():
        return keys.content([("", file_digest(path))])
    found = sorted(p for p in path.rglob("*") if p.is_file())
    return keys.content([(p.relative_to(path).as_posix(), file_digest(p)) for p in found])
