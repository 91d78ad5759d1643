"""Digests of the user's files, remembered in the index while a file stays as it was."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from flowgen.store.index import Index

YOUNG = 2_000_000_000
"""nanoseconds after a change in which another may leave a file's times as they are: file systems count coarsely"""


def file_digest(index: Index, path: Path) -> str:
    """sha256 of a file's content, which isn't read while the path has the file that it had, unchanged."""
    absolute = str(Path(path).resolve())
    now = time.time_ns()
    about = os.stat(absolute)
    known = index.digest(absolute, stamp(about))
    if known is None:
        with open(absolute, "rb") as file:
            known = hashlib.file_digest(file, "sha256").hexdigest()
        if settled(about, now) and stamp(os.stat(absolute)) == stamp(about):
            index.remember(absolute, stamp(about), known)
    return known


def stamp(about: os.stat_result) -> str:
    """What differs once a file was changed or another took its place; no tool sets the time of change."""
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"


def settled(about: os.stat_result, now: int) -> bool:
    """Whether a change from now on shows in the stamp."""
    return now - about.st_ctime_ns > YOUNG and abs(now - about.st_mtime_ns) > YOUNG
