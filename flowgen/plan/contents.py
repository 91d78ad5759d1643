"""The files and folders that parameters name, and what is in them."""

from __future__ import annotations

import os
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
    return keys.content(list(inside(path, file_digest)) if path.is_dir() else [])


def inside(folder: Path, file_digest: FileDigest) -> Iterator[tuple[str, str]]:
    """(relative name, digest) of each file in a folder, at any depth and behind links to folders.

    A link that leads nowhere has what it says instead of a digest, and one to a folder that it lies in, which of these.
    """
    todo: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(folder, ())]
    while todo:
        here, above = todo.pop()
        way = (*above, identity(here))
        for path in listed(here):
            name = path.relative_to(folder).as_posix()
            if path.is_file():
                yield name, file_digest(path)
            elif path.is_dir() and identity(path) in way:
                yield name, f"link to level {way.index(identity(path))}"
            elif path.is_dir():
                todo.append((path, way))
            elif path.is_symlink() and not path.exists():
                yield name, f"link to {os.readlink(path)!a}"


def identity(folder: Path) -> tuple[int, int]:
    """What a folder is known by, whichever path leads to it."""
    about = folder.stat()
    return about.st_dev, about.st_ino


def listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing where that mayn't be seen."""
    try:
        return list(folder.iterdir())
    except PermissionError:
        return []
