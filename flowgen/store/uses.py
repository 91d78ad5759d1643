"""When blocks were last used, told between machines: each notes it in its own index, which may be lost, and
collecting asks for all.
"""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterable
from contextlib import suppress

from flowgen.store.patience import Unwritable
from flowgen.store.processes import machine
from flowgen.store.store import Store

FOLDER = "uses"
ROW = struct.Struct("<20sd")
"""a block's name, and seconds since 1970"""
MOST = 100_000
"""blocks that a machine tells of: those that it used last"""


def tell(store: Store, every: float = 0.0) -> None:
    """Tell which blocks this machine used since they were published. That it can't is no error.

    every: seconds for which it does that this process told so last.
    """
    if store.told and time.monotonic() - store.told < every:
        return
    store.told = time.monotonic()
    with suppress(OSError, Unwritable, sqlite3.OperationalError):
        take_over(store, [mine()])  # an index that was made anew since knows less
    used = [about for about in store.index.blocks() if about.used > about.published]
    used = sorted(used, key=lambda about: about.used)[-MOST:]
    with suppress(OSError, Unwritable):
        data = b"".join(ROW.pack(bytes.fromhex(about.name), about.used) for about in used)
        store.medium.put(mine(), data)


def hear(store: Store) -> None:
    """Take over what all machines told, this one too."""
    take_over(store, [entry.name for entry in store.medium.entries(FOLDER)])


def take_over(store: Store, names: Iterable[str]) -> None:
    """Note in the index what machines told, by the names of their objects."""
    latest: dict[str, float] = {}
    for got in store.medium.get(names).values():
        for block, used in ROW.iter_unpack(got.data[: len(got.data) // ROW.size * ROW.size]):
            latest[block.hex()] = max(used, latest.get(block.hex(), 0.0))
    known = {about.name: about.used for about in store.index.blocks()} if latest else {}
    if newer := {block: used for block, used in latest.items() if used > known.get(block, used)}:
        store.index.used(newer)


def mine() -> str:
    """The name of what this machine told."""
    return f"{FOLDER}/{machine()}"
