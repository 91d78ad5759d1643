"""When blocks were last used, told between machines: each notes it in its own index, and collecting asks for all."""

from __future__ import annotations

import struct
import time
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
    used = [about for about in store.index.blocks() if about.used > about.published]
    used = sorted(used, key=lambda about: about.used)[-MOST:]
    with suppress(OSError, Unwritable):
        data = b"".join(ROW.pack(bytes.fromhex(about.name), about.used) for about in used)
        store.medium.put(f"{FOLDER}/{machine()}", data)


def hear(store: Store) -> None:
    """Take over what other machines told."""
    names = [entry.name for entry in store.medium.entries(FOLDER) if entry.name != f"{FOLDER}/{machine()}"]
    latest: dict[str, float] = {}
    for got in store.medium.get(names).values():
        for block, used in ROW.iter_unpack(got.data[: len(got.data) // ROW.size * ROW.size]):
            latest[block.hex()] = max(used, latest.get(block.hex(), 0.0))
    store.index.used(latest)
