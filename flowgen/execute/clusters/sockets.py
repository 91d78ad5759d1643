"""A short folder for the socket of the process that workers are forked from.

The name of a Unix socket has room for about a hundred bytes, which one in the folder for temporary files exceeds where
that lies deep (``TMPDIR``).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from multiprocessing import process, util
from pathlib import Path

ROOM = 103
"""bytes of a socket's name on the system that has the least room"""
NAME = "listener-12345678"
"""as long as the names that Python gives"""
PLACES = ("/tmp", "/var/tmp", "/dev/shm")
"""where a short folder can be made, one of them"""


def make_room(places: tuple[str, ...] = PLACES) -> None:
    """Have Python's ``multiprocessing`` use a short folder if its own is too deep; if none can be made, that fails."""
    if fits(util.get_temp_dir()):
        return
    for place in places:
        with suppress(OSError):
            folder = tempfile.mkdtemp(prefix="pymp-", dir=place)
            util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
            process.current_process()._config["tempdir"] = folder  # type: ignore[attr-defined]
            return


def fits(folder: str) -> bool:
    """Whether a socket can lie in a folder."""
    return len(os.fsencode(Path(folder) / NAME)) <= ROOM
