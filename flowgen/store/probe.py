"""A sign in the store by which two processes see that they use the same one: each leaves one that the other reads."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from flowgen.errors import UserError
from flowgen.store.aside import TMP
from flowgen.store.medium import BLOCKS
from flowgen.store.patience import Unwritable, briefly
from flowgen.store.places import is_url, opened

LEFT = "here"
AGAIN = 3600.0
"""seconds after which it is written anew: what lies in TMP for a day is removed as what the dead left"""


class Probe:
    """A name in a store, for as long as the context, under which others answer. Raises Unwritable."""

    def __init__(self, store: str | Path) -> None:
        self.store = str(store)
        self.medium = opened(store)
        self.name = f"{TMP}/probe-{uuid.uuid4().hex}"  # one that a crash left is removed with what is written aside
        self.over = threading.Event()

    def __enter__(self) -> Self:
        self.leave()
        threading.Thread(target=self.stay, daemon=True, name="probe").start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        with briefly(), suppress(OSError, Unwritable):  # what is left, as by a late answer, is removed later
            self.medium.delete([entry.name for entry in self.medium.entries(self.name)])
            if not is_url(self.store):
                (Path(self.store) / self.name).rmdir()

    def leave(self) -> None:
        """Write what others look for. Raises Unwritable."""
        self.medium.put(f"{self.name}/{LEFT}", b"probe")

    def stay(self) -> None:
        """Write it anew, now and then, until the context ends. What fails is tried again the next time."""
        while not self.over.wait(AGAIN):
            with suppress(OSError, Unwritable):
                self.leave()

    def answered(self, who: str) -> bool:
        """Whether somebody's answer is here: what he calls the store is this one, and he can write to it."""
        return bool(self.medium.get([f"{self.name}/{who}"]))


def answer(store: str, name: str, who: str) -> str:
    """Read a probe, and write and delete beside it; what is wrong, or nothing."""
    try:
        medium = opened(store)
        if not medium.get([f"{name}/{LEFT}"]):
            return elsewhere(store)
        gone = f"{name}/{who}.gone"
        medium.put(gone, b"probe")
        medium.delete([gone])
        medium.put(f"{name}/{who}", b"probe")
    except UserError as error:
        return error.message
    except OSError as error:
        return f"the store {store} can't be read: {error.strerror}"
    return ""


def elsewhere(store: str) -> str:
    """What is at a store's place that lacks the probe."""
    if is_url(store) or (Path(store) / BLOCKS).is_dir():
        return f"the store {store} is another one there"
    return f"the store {store} isn't there"
