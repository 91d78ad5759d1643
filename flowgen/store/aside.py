"""Writing a file aside: a rename gives it its name when it is whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from flowgen.store.patience import Unwritable
from flowgen.store.zarr_format import Buffer

TMP = "tmp"
"""folder of a store for what is being written"""
AT_ONCE = 1024
"""pieces of one call of the system, at most (IOV_MAX of Linux and macOS)"""

SAID = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "is full: your quota is used up",
    errno.EROFS: "can't be written: it is read-only",
    errno.EIO: "reports an error (EIO)",
}
"""the system's errors in words"""
ROOM = "make room ('flowgen cache collect') or give another place with --store; what was published is kept"
"""what helps against them"""


def unwritable(root: Path, error: OSError) -> Unwritable:
    """The system's error as one of the user's."""
    what = SAID.get(error.errno or 0, f"can't be written: {error.strerror or error}")
    return Unwritable(f"the disk of the store {root} {what}", hint=ROOM)


def write_file(path: str, data: Sequence[Buffer], lasting: bool) -> None:
    """Write a new file, in pieces. lasting: its content is on the disk when this returns. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        left = [memoryview(piece) for piece in data if len(piece)]
        while left:
            done = os.writev(descriptor, left[:AT_ONCE])
            while left and done >= len(left[0]):
                done -= len(left.pop(0))
            if done:
                left[0] = left[0][done:]
        if lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(path: str | Path) -> None:
    """Make sure that a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
