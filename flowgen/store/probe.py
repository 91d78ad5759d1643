"""A sign in the store by which two processes see that they use the same one: each leaves one that the other reads."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

LEFT = "here"


class Probe:
    """A folder in a store, for as long as the context, where others answer. Raises OSError if it can't be made."""

    def __init__(self, store: str | Path) -> None:
        self.store = str(store)
        self.name = f"probe-{uuid.uuid4().hex}"
        self.folder = folder_of(self.store, self.name)

    def __enter__(self) -> Self:
        self.folder.mkdir()
        (self.folder / LEFT).touch()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def answered(self, who: str) -> bool:
        """Whether somebody's answer is here: what he calls the store is this one, and he can write to it."""
        return (self.folder / who).is_file()


def answer(store: str, name: str, who: str) -> str:
    """Read a probe, and write, rename and delete beside it; what is wrong, or nothing."""
    folder = folder_of(store, name)
    aside = folder / f"{who}.aside"
    try:
        os.stat(folder / LEFT)
    except OSError as error:
        there = f"can't be read: {error.strerror}" if Path(store).exists() else "isn't there"
        other = f"the store {store} is another one there" if (Path(store) / "blocks").is_dir() else ""
        return other or f"the store {store} {there}"
    try:
        for path in (aside, folder / f"{who}.gone"):
            path.write_bytes(b"probe")
        aside.rename(folder / who)
        (folder / f"{who}.gone").unlink()
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        return f"the store {store} can't be written: {error.strerror}"
    return ""


def folder_of(store: str, name: str) -> Path:
    """Where a probe lies: with what is written aside, so that one left by a crash is removed with that."""
    return Path(store) / "tmp" / name
